"""A model's accuracy against the limits of its budget; the standard library alone, because the rules import it."""

from collections.abc import Mapping
from typing import Any

LIMITS = ("metric_at_least", "metric_drop")
EXACT = 1e-9  # differences of decimal fractions are off by less


def shortfalls(metric: Mapping[str, Any], limits: Mapping[str, float | None]) -> list[str]:
    """What is wrong with `metric` (name, float, integer; more is better), in words; none: it is within the limits.

    >>> shortfalls({"name": "AP", "float": 0.66, "integer": 0.61}, {"metric_at_least": 0.65, "metric_drop": 0.02})
    ['AP 0.61 is below 0.65', 'AP falls by 0.05 from float to integer, more than 0.02']
    """
    least, most = (limits.get(name) for name in LIMITS)
    found = []
    if least is not None and metric["integer"] < least:
        found.append(f"{metric['name']} {metric['integer']:g} is below {least:g}")
    if most is not None and drop(metric) > most + EXACT:
        found.append(f"{metric['name']} falls by {drop(metric):g} from float to integer, more than {most:g}")
    return found


def drop(metric: Mapping[str, Any]) -> float:
    """How much worse the integer model is than the float one; negative where it is better."""
    return float(metric["float"] - metric["integer"])
