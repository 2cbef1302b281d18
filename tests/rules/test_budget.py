"""A model's budget of flash reaches the planner, which takes smaller kernels; and the gate says what it cannot know."""

import json
import re
from typing import Any

from tests.needs import need_target
from tests.rules.project import Project

TARGET = "target=cortex-m7"


def record(project: Project, name: str) -> Any:
    """One of the records of tiny's build."""
    return json.loads((project.top / f"build/tiny/cortex-m7/tiny.{name}.json").read_text())


def test_a_budget_is_kept_by_smaller_kernels(project: Project) -> None:
    need_target("cortex-m7")
    project.rebuild(TARGET, "model=tiny")
    plain, free = record(project, "measured"), record(project, "plan")
    total = plain["flash"]["total"]
    assert plain["room"] == free["room"]
    assert free["room"]["by"] != "budget"

    ran = project.rebuild(TARGET, "model=tiny", f"tiny.gate.flash={total - 1}")
    assert {"tiny plan", "tiny gate"} <= ran
    assert not ran & {"tiny train", "tiny quantize", "tiny lower"}
    kept, tight = record(project, "measured"), record(project, "plan")
    assert kept["flash"]["total"] < total
    assert tight["room"]["by"] == "budget"
    assert sum(layer["weight_bytes"] for layer in tight["layers"]) < sum(
        layer["weight_bytes"] for layer in free["layers"]
    )
    assert "that the budget leaves them" in (project.top / "build/tiny/cortex-m7/tiny.report.html").read_text()

    words = (TARGET, "model=tiny", f"tiny.gate.flash={total - 1}")
    done = project.build(*words, "tiny.plan.reserve=0")  # as if the rest of the program were nothing
    line = (
        rf"build/tiny/cortex-m7/tiny\.elf: flash {total:,} of {total - 1:,} bytes; "
        r"set (tiny\.plan\.reserve='\d+ KB'), and the planner takes smaller kernels\n"
    )
    match = re.fullmatch(line, done.stderr)
    assert (done.status, match is not None) == (2, True), done.stderr
    assert match is not None
    project.rebuild(*words, match[1].replace("'", ""))
    assert record(project, "measured")["flash"]["total"] < total
