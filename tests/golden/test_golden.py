"""The C of a small model, word for word; `pytest --update-golden` accepts a change of templates or codegen."""

from pathlib import Path

import numpy as np
import pytest

from nnrules.catalog.kernel import load_kernels
from nnrules.codegen.model import ModelCode
from nnrules.plan.planner import make_plan
from tests.verify.graphs import INPUT, small_graph

HERE = Path(__file__).parent


@pytest.mark.parametrize("isa", ["armv7em", "portable"])
def test_generated_c(isa: str, request: pytest.FixtureRequest) -> None:
    graph = small_graph()
    code = ModelCode(graph, make_plan(graph, load_kernels(), isa, (isa, "portable")))
    texts = {"small.c": code.source(), "small.h": code.header()}
    texts["small_selftest.c"] = code.selftest(np.random.default_rng(3).integers(-128, 128, INPUT).astype(np.int8))
    for name, text in texts.items():
        golden = HERE / isa / name
        if request.config.getoption("--update-golden"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(text)
        assert text == golden.read_text(), f"{golden.name} differs; if it should, run pytest --update-golden"
