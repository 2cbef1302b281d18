"""train, prune, export, sample and evaluate on a small task, from one to the next."""

import json

import numpy as np
import onnx
import pytest
from onnxruntime import InferenceSession

from nnrules.catalog.stages import (
    EvaluateOptions,
    ExportOptions,
    LowerOptions,
    PruneOptions,
    QuantizeOptions,
    SampleOptions,
    TrainOptions,
)
from nnrules.graph.ir import load
from nnrules.stages import evaluate, export, lower, prune, quantize, sample, train
from nnrules.training.report import write_log

TRAIN = TrainOptions(epochs=6, batch_size=16, learning_rate=0.02, workers=0, threads=1)


@pytest.fixture
def files(tmp_path, monkeypatch, reference, request_for):
    """The stages from train to lower in a folder of their own; returns the folder."""
    monkeypatch.chdir(tmp_path)
    task = {"network": reference("Residual"), "dataset": reference("Halves")}
    data = {"dataset": task["dataset"]}
    train.run(request_for("train", TRAIN, {"weights": "t.safetensors", "log": "train.json"}, **task))
    pruning = PruneOptions(sparsity=0.4, retrain_epochs=2, batch_size=16, workers=0, threads=1)
    outputs = {"weights": "p.safetensors", "log": "prune.json"}
    prune.run(request_for("prune", pruning, outputs, weights=tmp_path / "t.safetensors", **task))
    for name in ("float.onnx", "again.onnx"):
        export.run(request_for("export", ExportOptions(), {"model": name}, weights=tmp_path / "p.safetensors", **task))
    outputs = {"qparams": "qparams.json", "model": "qdq.onnx"}
    quantize.run(request_for("quantize", QuantizeOptions(), outputs, model=tmp_path / "float.onnx", **data))
    outputs = {"graph": "graph.json", "integer": "integer.onnx"}
    lower.run(request_for("lower", LowerOptions(), outputs, model=tmp_path / "qdq.onnx"))
    graph = {"graph": tmp_path / "graph.json", **data}
    sample.run(request_for("sample", SampleOptions(count=5), {"samples": "s.npz"}, **graph))
    models = {"float": tmp_path / "float.onnx", "integer": tmp_path / "integer.onnx"}
    evaluate.run(request_for("evaluate", EvaluateOptions(), {"metric": "metric.json"}, **graph, **models))
    return tmp_path


def test_the_road_from_network_to_integers(files, reference):
    log = json.loads((files / "train.json").read_text())
    assert len(log["loss"]) == TRAIN.epochs
    assert log["metric"]["name"] == "accuracy"
    assert log["metric"]["value"] > 0.9

    pruned = json.loads((files / "prune.json").read_text())["pruned"]
    assert pruned["layers"] == {"stem.0": [12, 8], "depthwise.0": [12, 8], "pointwise.0": [12, 8], "head": [1, 1]}

    assert (files / "float.onnx").read_bytes() == (files / "again.onnx").read_bytes()
    model = onnx.load(files / "float.onnx")
    assert {node.op_type for node in model.graph.node} <= {"Conv", "Relu", "Add", "Flatten", "Reshape", "Gemm"}
    assert {"stem.0", "depthwise.0", "pointwise.0", "head"} <= {node.name for node in model.graph.node}
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert not model.metadata_props
    batch = np.zeros((3, 1, 8, 8), np.float32)
    assert InferenceSession(files / "float.onnx").run(None, {"x": batch})[0].shape == (3, 1)

    graph = load(files / "graph.json")
    samples = np.load(files / "s.npz")["x"]
    source = graph.tensors[graph.inputs[0]]
    assert samples.dtype == np.int8
    assert samples.shape == (5, 8, 8, 1)
    assert (source.scale, source.zero_point) == (pytest.approx(1 / 255), -128)

    metric = json.loads((files / "metric.json").read_text())
    assert metric["name"] == "accuracy"
    assert metric["samples"] == 64
    assert abs(metric["float"] - metric["integer"]) <= 0.05


def test_the_metric_is_told_with_what_it_is_of(tmp_path, capsys):
    write_log({}, {"name": "right", "value": 0.5, "samples": 8}, tmp_path / "log.json", "train a")
    assert capsys.readouterr().err == "train a: right 0.5 on 8 test samples\n"
