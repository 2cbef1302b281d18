"""The report of a search: its trials in one HTML file with pictures, and as a short table for the terminal."""

import base64
import io
from collections.abc import Callable
from typing import Any

import msgspec

from nnrules.verify.style import STYLE

SHOWN = 8  # trials in the terminal's table
_COLOURS = {"complete": "#4c78a8", "pruned": "#b8b8b8", "best": "#d1495b"}

TEMPLATE = (
    """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>search {{ search.model }}</title>
<style>
"""
    + STYLE
    + """\
</style>
<h1>Search for {{ search.model }}</h1>
<p class="about">{{ counts }}. Metrics are of the validation part of the training data.</p>

<h2>Winner</h2>
<p>Trial {{ winner.number }}: {{ search.metric }} {{ number(winner.metric) }}
{%- if search.cost %}, {{ number(winner.cost) }} {{ search.cost }}, the least of those whose
{{ search.metric }} is at most {{ "%g" | format(search.drop) }} below the best{% endif %}.</p>
<div class="wide"><table>
<tr><th>option<th>value
{% for name, value in winner.chosen.items() %}
<tr><td>{{ name }}<td>{{ value }}
{% endfor %}
</table></div>

{% for title, picture in pictures %}
<h2>{{ title }}</h2>
<img alt="{{ search.model }}: {{ title | lower }}" src="data:image/png;base64,{{ picture }}">
{% endfor %}
{% if not search.importances %}
<h2>Importances</h2>
<p>Too few trials came to their end to say which parameter matters.</p>
{% endif %}

<h2>Trials</h2>
<div class="wide"><table class="dense">
<tr><th class="n">trial<th>state<th class="n">{{ search.metric }}
{%- if search.cost %}<th class="n">{{ search.cost }}{% endif %}
<th class="n">epochs<th class="n">seconds
{%- for name in names %}<th>{{ name }}{% endfor %}
{% for trial in search.trials %}
<tr><td class="n">{{ trial.number }}
{% if trial.number == search.best %}<td class="good">winner{% else %}<td>{{ state(trial) }}{% endif %}

<td class="n">{{ number(trial.metric) }}
{%- if search.cost %}<td class="n">{{ number(trial.cost) }}{% endif %}
<td class="n">{{ trial.epochs }}<td class="n">{{ "%.1f" | format(trial.seconds) }}
{%- for name in names %}<td>{{ trial.chosen.get(name, "") }}{% endfor %}
{% endfor %}
</table></div>
{% for trial in search.trials if trial.fault %}
<p class="bad">Trial {{ trial.number }}: {{ trial.fault }}</p>
{% endfor %}
</html>
"""
)


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `metric`: its name; `cost`: what the second objective counts, empty for none; `drop`: how far the
    winner's metric may then be below the best; `trials`: see nnrules.training.search.study.Trial; `best`, `front`:
    numbers of trials; `importances`: share of the metric's variance by parameter, empty where it is not known."""

    model: str
    metric: str
    cost: str
    drop: float
    trials: list[dict[str, Any]]
    best: int
    front: list[int]
    importances: dict[str, float]

    def of(self, number: int) -> dict[str, Any]:
        """The trial of a number."""
        return next(trial for trial in self.trials if trial["number"] == number)


def render(search: Search) -> str:
    """The page; names are escaped, pictures are embedded."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pictures = [("History", history), *([("Pareto front", pareto)] if search.cost else [])]
    pictures += [("Importances", importances)] if search.importances else []
    return environment.from_string(TEMPLATE).render(
        search=search,
        winner=search.of(search.best),
        names=_names(search),
        counts=_counts(search),
        pictures=[(title, _embedded(draw, search)) for title, draw in pictures],
        number=_number,
        state=_state,
    )


def table(search: Search) -> str:
    """The winner and the next best trials, as text."""
    from rich.console import Console
    from rich.table import Table

    found = Table(title=f"search {search.model}: {_counts(search)}", title_justify="left", box=None, pad_edge=False)
    found.add_column("trial", justify="right")
    for name in (search.metric, *([search.cost] if search.cost else [])):
        found.add_column(name, justify="right")
    for name in _names(search):
        found.add_column(name)
    complete = [trial for trial in search.trials if trial["state"] == "complete"]
    winner = search.of(search.best)
    others = sorted(
        (trial for trial in complete if trial is not winner), key=lambda trial: (-trial["metric"], trial["number"])
    )
    for trial in [winner, *others][:SHOWN]:
        objectives = [_number(trial["metric"]), *([_number(trial["cost"])] if search.cost else [])]
        found.add_row(
            str(trial["number"]), *objectives, *(str(trial["chosen"].get(name, "")) for name in _names(search))
        )
    stream = io.StringIO()
    Console(file=stream, width=200, color_system=None, highlight=False, emoji=False).print(found)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def history(search: Search, figure: Any) -> None:
    """The metric of each trial, and the best so far."""
    axes = figure.add_subplot()
    complete = [trial for trial in search.trials if trial["state"] == "complete"]
    for state in ("complete", "pruned"):
        some = [trial for trial in search.trials if trial["state"] == state and trial["metric"] is not None]
        points = [trial["number"] for trial in some], [trial["metric"] for trial in some]
        if some:
            axes.scatter(*points, color=_COLOURS[state], label={"pruned": "ended early"}.get(state, state), zorder=3)
    best = [max(each["metric"] for each in complete[: index + 1]) for index in range(len(complete))]
    numbers = [trial["number"] for trial in complete]
    axes.step(numbers, best, where="post", color=_COLOURS["best"], linewidth=1, label="best so far")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("trial")
    axes.set_ylabel(search.metric)
    axes.legend(frameon=False)


def pareto(search: Search, figure: Any) -> None:
    """Metric against cost; the front as a line, the winner marked."""
    axes = figure.add_subplot()
    complete = [trial for trial in search.trials if trial["state"] == "complete"]
    others = [trial for trial in complete if trial["number"] not in search.front]
    if others:
        points = [trial["cost"] for trial in others], [trial["metric"] for trial in others]
        axes.scatter(*points, color=_COLOURS["pruned"], label="others")
    front = [search.of(number) for number in search.front]
    points = [trial["cost"] for trial in front], [trial["metric"] for trial in front]
    axes.plot(*points, color=_COLOURS["complete"], marker="o", label="front")
    winner = search.of(search.best)
    axes.scatter([winner["cost"]], [winner["metric"]], color=_COLOURS["best"], zorder=3, label="winner")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel(search.cost)
    axes.set_ylabel(search.metric)
    axes.legend(frameon=False)


def importances(search: Search, figure: Any) -> None:
    """How much of the metric's variance each parameter explains."""
    axes = figure.add_subplot()
    names = list(search.importances)
    bars = axes.barh(names, [search.importances[name] for name in names], color=_COLOURS["complete"])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel(f"share of the variance of {search.metric}")


def _embedded(draw: Callable[[Search, Any], None], search: Search) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = 0.8 + 0.4 * len(search.importances) if draw is importances else 3.6
    figure = Figure(figsize=(8, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    draw(search, figure)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _names(search: Search) -> list[str]:
    return list(dict.fromkeys(name for trial in search.trials for name in trial["chosen"]))


def _counts(search: Search) -> str:
    """`20 trials, 6 of them ended early, 1 failed`."""
    states = [trial["state"] for trial in search.trials]
    parts = {"pruned": "ended early", "failed": "failed"}
    told = [f"{states.count(state)} {text}" for state, text in parts.items() if state in states]
    return f"{len(states)} trials" + (f" ({', '.join(told)})" if told else "")


def _state(trial: dict[str, Any]) -> str:
    return {"pruned": "ended early"}.get(trial["state"], trial["state"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value == int(value) and abs(value) > 1 else f"{value:.4f}"
