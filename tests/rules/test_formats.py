"""A model of several formats through the whole build, for the host and for a core."""

import json

import numpy as np
import pytest

from tests.needs import need_target
from tests.rules.project import Project

FIVE = ("tiny.quantize.method=dynamic_qformat", "tiny.quantize.formats=5")


@pytest.mark.parametrize("target", ["x86-64", "cortex-m7"])
def test_all_engines_agree_in_all_formats(project: Project, target: str) -> None:
    need_target(target)
    done = project.build("model=tiny", f"target={target}", "tiny.verify.target_samples=5", *FIVE)
    assert done.status == 0, done.stdout + done.stderr
    with np.load(project.top / "build/tiny/tiny.samples.npz") as samples:
        assert samples["format"].reshape(-1).tolist() == [2, 3, 4, 0, 1, 2, 3, 4]
    verify = json.loads((project.top / f"build/tiny/{target}/tiny.verify.json").read_text())
    assert (verify["samples"], verify["target_samples"], verify["differing"]) == (8, 5, 0)
    assert {"torch", "numpy", "onnxruntime", "c-host", "c-target"} == set(verify["engines"])
    metric = json.loads((project.top / "build/tiny/tiny.metric.json").read_text())
    assert abs(metric["integer"] - metric["float"]) < 0.05
    assert "#define TINY_FORMATS 5\n" in (project.top / f"build/tiny/{target}/tiny.h").read_text()


def test_options_that_the_method_does_not_have_are_one_line(project: Project) -> None:
    done = project.build("model=tiny", *FIVE, "tiny.quantize.weight_bits=4")
    assert done.status == 2
    line = "tiny.quantize.weight_bits=4: dynamic_qformat has no 4-bit weights; choose 8"
    assert line in done.stderr.splitlines()
