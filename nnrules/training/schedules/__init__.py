"""Learning rates over time: a module ``<name>.py`` here is what ``Train(schedule="<name>")`` follows after warming up.

It defines ``share(progress)``: of the peak, from progress 0 to 1.
"""

from nnrules.training.plugins import method


def learning_rate_at(step: int, steps: int, warmup: int, peak: float, schedule: str) -> float:
    """Rises in a line over `warmup` steps, then follows the schedule.

    >>> [learning_rate_at(step, 12, 2, 1.0, "cosine") for step in (0, 1, 2, 7)]
    [0.5, 1.0, 1.0, 0.505]

    Raises UserError for a name that no file has.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    share: float = method(__name__, "schedule", schedule).share((step - warmup) / max(1, steps - warmup))
    return peak * share
