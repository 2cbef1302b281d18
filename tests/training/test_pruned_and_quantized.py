"""Pruners followed by quantizers, trained ones and others: the integer program is exact, and what was zero is."""

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file

from nnrules.catalog.stages import ExportOptions, LowerOptions, PruneOptions, QuantizeOptions, SampleOptions
from nnrules.graph.ir import load
from nnrules.stages import export, fit, lower, prune, quantize, sample
from nnrules.training.weights import save_weights
from nnrules.verify.engines import torch_simulation

from .task_files import Residual

RECIPE = {"batch_size": 16, "workers": 0, "threads": 1}


@pytest.mark.parametrize(
    ("pruner", "quantizer", "bits", "more"),
    [
        ("spatial", "lsq", 4, {}),
        ("pointwise", "dorefa", 2, {}),
        ("channel", "qil", 3, {}),
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
    narrow = {"weight_bits": bits, "first_bits": bits} if bits < 8 else {}
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
    sampled = {"graph": tmp_path / "graph.json", **data}
    sample.run(request_for("sample", SampleOptions(count=16), {"samples": "s.npz"}, **sampled))

    graph = load(tmp_path / "graph.json")
    first = graph.nodes[0].operator.weights.transpose(0, 3, 1, 2)
    assert zeros.any() or pruner == "channel"
    assert (first[zeros] == 0).all()
    x = np.load(tmp_path / "s.npz")["x"]
    integers = graph.run(x)[graph.outputs[0]]
    session = onnxruntime.InferenceSession(tmp_path / "integer.onnx")
    (other,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
    simulated = torch_simulation.run(graph, {graph.inputs[0]: x})[graph.outputs[0]]
    np.testing.assert_array_equal(simulated, integers)
    np.testing.assert_array_equal(other.reshape(integers.shape), integers)
