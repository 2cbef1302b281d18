"""The report of one firmware as a single HTML file: no scripts, nothing fetched, light and dark.

The template is Python text, so that the build sees an edit of it as an edit of this stage.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnrules.catalog import quality
from nnrules.plan.record import Plan, Room
from nnrules.verify import arena_section
from nnrules.verify.style import STYLE

TEMPLATE = (
    """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ measured.model }} on {{ measured.target }}</title>
<style>
"""
    + STYLE
    + """\
</style>
<h1>{{ measured.model }} on {{ measured.target }}</h1>
<p class="about">{{ "{:,}".format(measured.macs) }} multiply-accumulates per inference
{%- if measured.note %}, {{ measured.note }}{% endif %}</p>

<h2>Summary</h2>
<div class="wide"><table>
<tr><th>figure<th class="n">value<th class="n">budget
{% for label, value, limit, verdict in summary %}
<tr><td>{{ label }}<td class="n {{ verdict }}">{{ value }}<td class="n">{{ limit }}
{% endfor %}
</table></div>

<h2>{{ pictured }}</h2>
<img alt="{{ measured.model }}: {{ pictured | lower }}" src="data:image/png;base64,{{ picture }}">

<h2>Verification</h2>
<p class="good">{{ "{:,}".format(verify.differing) }} of {{ "{:,}".format(verify["values"]) }}
values differ over {{ verify.samples }} {{ samples }}
{%- if verify.target_samples %} ({{ verify.target_samples }} of them on the target){% endif %}.</p>
<p>Engines: {{ verify.engines | join(", ") }}.</p>

<h2>Layers</h2>
<div class="wide"><table class="dense">
<tr><th>layer<th>operator<th>kernel<th>output
<th class="n">MACs<th class="n">instructions<th class="n">per MAC<th class="n">SQNR dB
<th class="n">QDQ differs
{% for layer in layers %}
<tr><td class="name">{{ layer.name }}<td>{{ layer.op }}<td class="name">{{ layer.kernel }}
<td>{{ layer.shape }}<td class="n">{{ layer.macs }}
<td class="n">{{ layer.instructions }}<td class="n">{{ layer.per_mac }}<td class="n">{{ layer.sqnr }}
<td class="n">{{ layer.qdq }}
{% endfor %}
</table></div>

<p class="about">QDQ differs: how many values {{ measured.model }}.onnx, the model for other tools, rounds
otherwise, given the same inputs at each layer
{%- if qdq_largest %}; the largest difference is {{ qdq_largest }}{% endif %}.</p>

{% if bits %}
<h2>Bits of each layer</h2>
<div class="wide"><table class="dense">
<tr><th>layer<th class="n">bits of weights<th class="n">of the input<th class="n">bytes of weights
{% for width in bits.widths %}<th class="n">loss with {{ width }} bits
{% endfor %}
{% if bits.counted %}<th class="n">instructions{% endif %}
{% for layer in bits.layers %}
<tr><td class="name">{{ layer.name }}<td class="n">{{ layer.weights }}<td class="n">{{ layer.inputs }}
<td class="n">{{ layer.bytes }}
{% for growth in layer.growth %}<td class="n">{{ growth }}
{% endfor %}
{% if bits.counted %}<td class="n">{{ layer.instructions }}{% endif %}
{% endfor %}
</table></div>
<p class="about">Loss: by how much it grows on calibration data when the weights of that layer alone have these bits
{%- if bits.counted %}; instructions: as they were counted on to choose the bits{% endif %}.</p>
<img alt="bits of each layer, and by how much the loss grows" src="data:image/png;base64,{{ bits.picture }}">
{% endif %}

<h2>Memory</h2>
<div class="wide"><table>
<tr><th>memory<th>part<th class="n">bytes
{% for memory, parts in [("RAM", measured.ram), ("flash", measured.flash)] %}
{% for part, size in parts.items() if part != "stack_is" %}
{% set note = ", reserved" if part == "stack" and parts.stack_is == "reserved" else "" %}
<tr><td>{{ memory }}<td>{{ part }}{{ note }}<td class="n">{{ "not measured" if size is none else "{:,}".format(size) }}
{% endfor %}
{% endfor %}
</table></div>
<p class="about">{{ room }}</p>

<h2>Arena</h2>
<p>{{ arena.peak }}</p>
{{ arena.picture | safe }}
{% for sentence in arena.sentences %}
<p>{{ sentence }}</p>
{% endfor %}
<div class="side">
<div>
<h3>In use at the peak</h3>
<table class="dense">
<tr><th>what<th>kind<th class="n">bytes
{% for row in arena.owners %}
<tr><td class="name"><span class="swatch" style="background:{{ row.colour }}"></span>{{ row.name }}<td>{{ row.kind }}
<td class="n">{{ row.bytes }}
{% endfor %}
</table>
</div>
{% if arena.front %}
<div>
<h3>RAM against instructions</h3>
{{ arena.front | safe }}
</div>
{% endif %}
</div>
<h3>Lifetimes</h3>
<p class="about">Working memory and sums are a layer's, all else a tensor's. Names are those of
{{ measured.model }}.onnx; name/more is what was put behind it for this program.</p>
<div class="wide"><table class="dense">
<tr><th>tensor or layer<th>kind<th class="n">rows<th class="n">bytes<th class="n">offset<th class="n">first step
<th class="n">last step<th class="n">steps in use
{% for row in arena.lifetimes %}
<tr><td class="name"><span class="swatch" style="background:{{ row.colour }}"></span>{{ row.name }}<td>{{ row.kind }}
<td class="n">{{ row.rows }}<td class="n">{{ row.bytes }}<td class="n">{{ row.offset }}<td class="n">{{ row.first }}
<td class="n">{{ row.last }}<td class="n">{{ row.steps }}
{% endfor %}
</table></div>

<h2>Console</h2>
<pre>{{ console or "The target was built, not run." }}</pre>
</html>
"""
)


@dataclass(frozen=True)
class Build:
    """What a page is about: the records of one firmware's build, its console's text, and a PNG's bytes. `pictured`: the
    heading of that. `samples`: what the model was verified on. `allotted`: by layer, what mixed precision chose and
    measured, as a PNG (`sensitivities`) too; empty where the bits were given."""

    measured: Mapping[str, Any]
    verify: Mapping[str, Any]
    plan: Plan
    limits: Mapping[str, float | None]
    console: str
    picture: bytes
    pictured: str
    samples: str = "held-out samples"
    allotted: Mapping[str, Any] = field(default_factory=dict)
    sensitivities: bytes = b""


def render(build: Build) -> str:
    """The page; names and the console are escaped, the picture is embedded."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(TEMPLATE).render(
        measured=build.measured,
        verify=build.verify,
        summary=_summary(build.measured, build.limits),
        layers=_layers(build.measured, build.verify),
        qdq_largest=max((layer["qdq"]["largest"] for layer in build.verify["layers"] if layer["qdq"]), default=0),
        arena=arena_section.about(build.plan),
        bits=_bits(build.allotted, build.sensitivities) if build.allotted else None,
        room=_bounded(build.plan.room),
        console=build.console,
        pictured=build.pictured,
        samples=build.samples,
        picture=base64.b64encode(build.picture).decode("ascii"),
    )


def _bounded(room: Room) -> str:
    """What the kernels were chosen within, and what more of it would buy."""
    if not room.by:
        return "Nothing bounds the kernels: each layer has its fastest."
    what = "Packed weights" if room.by == "extra_weights" else "Kernels and constants"
    whose = {"extra_weights": "plan.extra_weights", "budget": "the budget", "target": "the target"}[room.by]
    text = f"{what} take {room.used:,} of the {room.room:,} bytes that {whose} leaves them"
    if not room.more:
        return f"{text}; a little more would buy nothing."
    kilobytes = room.more // 1024
    each = f", {room.saved / kilobytes:,.0f} each" if kilobytes > 1 else ""
    return f"{text}; {kilobytes} KB more would save {room.saved:,.0f} instructions{each}."


def _summary(measured: Mapping[str, Any], limits: Mapping[str, float | None]) -> list[tuple[str, str, str, str]]:
    """Label, value, budget and CSS class of every figure: "good" within its limit, "bad" beyond it."""
    rows = []
    if measured["metric"]:
        metric = measured["metric"]
        least, most = (limits.get(name) for name in quality.LIMITS)
        rows += [
            (f"{metric['name']}, float model", f"{metric['float']:.4f}", "", ""),
            (f"{metric['name']}, integer model", f"{metric['integer']:.4f}", *_goal("at least", least, metric)),
            (f"{metric['name']}, float less integer", f"{quality.drop(metric):.4f}", *_goal("at most", most, metric)),
        ]
    figures = {
        "RAM, bytes" if measured["ram"]["stack_is"] else "RAM without stack, bytes": (
            measured["ram"]["total"],
            limits.get("ram"),
        ),
        "flash, bytes": (measured["flash"]["total"], limits.get("flash")),
        "instructions": (measured["instructions"], limits.get("instructions")),
    }
    for label, (value, limit) in figures.items():
        verdict = "" if limit is None or value is None else "bad" if value > limit else "good"
        rows.append((label, _number(value), _number(limit), verdict))
    if measured["instructions"] is not None:
        rows.append(("instructions per MAC", _ratio(measured["instructions"], measured["macs"]), "", ""))
    return rows


def _layers(measured: Mapping[str, Any], verify: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "name": layer["name"],
            "op": layer["op"],
            "kernel": layer["kernel"],
            "shape": "x".join(map(str, proof["shape"])),
            "macs": _number(layer["macs"]),
            "instructions": _number(layer["instructions"]),
            "per_mac": _ratio(layer["instructions"], layer["macs"]),
            "qdq": "" if proof["qdq"] is None else _number(proof["qdq"]["differing"]),
            "sqnr": "" if proof["sqnr_db"] is None else f"{proof['sqnr_db']:.1f}",
        }
        for layer, proof in zip(measured["layers"], verify["layers"], strict=True)
    ]


def _bits(allotted: Mapping[str, Any], picture: bytes) -> dict[str, Any]:
    """The table of what mixed precision chose, and the picture."""
    widths = sorted({width for layer in allotted.values() for width in layer["growth"]}, key=int)
    rows = [
        {
            "name": name,
            "weights": layer["weights"],
            "inputs": layer["inputs"],
            "bytes": _number(layer["bytes"]),
            "growth": [f"{layer['growth'][each]:.5f}" if each in layer["growth"] else "" for each in widths],
            "instructions": _number(layer["instructions"].get(str(layer["weights"]))),
        }
        for name, layer in allotted.items()
    ]
    counted = any(layer["instructions"] for layer in allotted.values())
    return {"widths": widths, "layers": rows, "counted": counted, "picture": base64.b64encode(picture).decode("ascii")}


def _goal(words: str, limit: float | None, metric: Mapping[str, Any]) -> tuple[str, str]:
    """Budget and CSS class of one limit of a metric."""
    if limit is None:
        return "", ""
    name = quality.LIMITS[0] if words == "at least" else quality.LIMITS[1]
    return f"{words} {limit:g}", "bad" if quality.shortfalls(metric, {name: limit}) else "good"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}"


def _ratio(instructions: int | None, macs: int) -> str:
    return f"{instructions / macs:.2f}" if instructions is not None and macs else ""
