"""Pruners followed by quantizers, trained ones and others: all engines and the C are exact, and what was zero is."""

import pytest
import torch
from msgspec.structs import replace
from safetensors.numpy import load_file

from nnrules.catalog.stages import ExportOptions, LowerOptions, PruneOptions, QuantizeOptions
from nnrules.graph.ir import load
from nnrules.stages import export, fit, lower, prune, quantize
from nnrules.training.weights import save_weights
from tests.codegen.plans import whole_plan
from tests.codegen.test_random_graphs import check
from tests.needs import need_target

from .task_files import Residual

RECIPE = {"batch_size": 16, "workers": 0, "threads": 1}


@pytest.mark.parametrize(
    ("pruner", "quantizer", "bits", "more"),
    [
        ("spatial", "lsq", 4, {}),
        ("pointwise", "qil", 3, {}),
        ("channel", "dorefa", 1, {}),
        ("magnitude", "pact", 4, {}),
        ("spatial", "ptq", 4, {"rounding": "adaptive"}),
        ("magnitude", "percentile", 8, {}),
    ],
)
def test_pairs(pruner, quantizer, bits, more, tmp_path, monkeypatch, reference, request_for):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nnrules.compress.rounding.STEPS", 20)
    torch.manual_seed(5)
    save_weights(Residual(), tmp_path / "t.safetensors")
    task = {"network": reference("Residual"), "dataset": reference("Halves")}
    data = {"dataset": task["dataset"]}
    scope = "layer" if pruner == "spatial" else "lamp"
    chosen = PruneOptions(method=pruner, sparsity=0.5, scope=scope, retrain_epochs=1, **RECIPE)
    outputs = {"weights": "p.safetensors", "log": "prune.json"}
    prune.run(request_for("prune", chosen, outputs, weights=tmp_path / "t.safetensors", **task))
    zeros = load_file(tmp_path / "p.safetensors")["stem.0.weight"] == 0

    trained = quantizer in ("lsq", "dorefa", "qil", "pact")
    recipe = {"epochs": 1, **RECIPE} if trained else {}
    narrow = {"weight_bits": bits, "first_bits": bits, "activation_bits": max(bits, 2)} if bits < 8 else {}
    how = QuantizeOptions(method=quantizer, **narrow, **recipe, **more)
    extra, weights = {}, "p.safetensors"
    if trained:
        made = {
            "weights": "f.safetensors", "codes": "c.safetensors", "quantizers": "q.json", "log": "fit.json",
        }  # fmt: skip
        fit.run(request_for("fit", how, made, weights=tmp_path / weights, **task))
        extra = {"codes": tmp_path / "c.safetensors", "quantizers": tmp_path / "q.json"}
        weights = "f.safetensors"
    given = {"weights": tmp_path / weights, **({"quantizers": extra["quantizers"]} if extra else {})}
    export.run(request_for("export", ExportOptions(), {"model": "float.onnx"}, **given, **task))
    outputs = {"qparams": "qparams.json", "model": "qdq.onnx"}
    quantize.run(request_for("quantize", how, outputs, model=tmp_path / "float.onnx", **extra, **data))
    outputs = {"graph": "graph.json", "integer": "integer.onnx"}
    lower.run(request_for("lower", LowerOptions(), outputs, model=tmp_path / "qdq.onnx"))

    graph = replace(load(tmp_path / "graph.json"), name="random")
    first = graph.nodes[0].operator.weights.transpose(0, 3, 1, 2)
    assert zeros.any() or pruner == "channel"
    assert (first[zeros] == 0).all()
    check(graph, "cortex-m7", whole_plan(graph, need_target("cortex-m7").isa))
