"""Damaged and hostile files: a UserError or a model that is understood; never a traceback, a hang or a crash."""

import random
import time
from pathlib import Path

import onnx
import pytest

from nnrules.catalog.stages import QuantizeOptions
from nnrules.error import UserError
from nnrules.graph.importers import import_model
from nnrules.graph.importers.guard import guarded
from nnrules.graph.importers.samples import drawn
from nnrules.graph.lowering import lower
from nnrules.stages.quantize import completed
from tests.importers.pipeline import FILES, Given

NAMES = ("tf2onnx_int8.onnx", "keras_int8.tflite", "brevitas_qcdq.onnx", "nncf.onnx")
NUMBERS = (0, -1, 1, 2, 7, 2**15, 2**31 - 1, -(2**31), 2**40, 2**62)
SECONDS = 20.0


def altered_bytes(content: bytes, chance: random.Random) -> bytes:
    """Cut off, some bits turned, or some bytes replaced by extreme ones."""
    data, kind = bytearray(content), chance.randrange(4)
    if kind == 0:
        return bytes(data[: chance.randrange(len(data))])
    if kind == 1:
        at = chance.randrange(len(data))
        data[at : at + chance.choice([1, 4, 8])] = chance.choice([b"\0", b"\xff\xff\xff\xff", b"\x7f", b"\x80\x80"])
        return bytes(data)
    for _ in range(1 if kind == 2 else 8):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def altered_model(model: onnx.ModelProto, chance: random.Random) -> bytes:
    """A field of the model with another value: dims, attributes, names, whole nodes."""
    graph = model.graph
    node = chance.choice(graph.node)
    kind = chance.randrange(7)
    if kind == 0:
        tensor = chance.choice(graph.initializer)
        if tensor.dims:
            tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(NUMBERS)
    elif kind == 1 and node.attribute:
        attribute = chance.choice(node.attribute)
        attribute.i = chance.choice(NUMBERS)
        if attribute.ints:
            attribute.ints[chance.randrange(len(attribute.ints))] = chance.choice(NUMBERS)
    elif kind == 2:
        value = chance.choice([*graph.input, *graph.output])
        dims = value.type.tensor_type.shape.dim
        if dims:
            chance.choice(dims).dim_value = chance.choice(NUMBERS)
    elif kind == 3:
        node.op_type = chance.choice([each.op_type for each in graph.node] + ["Loop", "Erf", ""])
    elif kind == 4 and node.input:
        other = chance.choice(graph.node)
        node.input[chance.randrange(len(node.input))] = chance.choice([*other.output, *other.input, ""])
    elif kind == 5:
        graph.node.remove(node)
    else:
        tensor = chance.choice(graph.initializer)
        tensor.data_type = chance.randrange(24)
    return model.SerializeToString()


def understand(path: Path) -> None:
    """Everything up to the integer graph."""
    model = import_model(path, "net")
    finished, _ = completed(model, Given(drawn(model, "net", 2)), QuantizeOptions(method="minmax", samples=2), "net")
    lower(finished, "net")


def endure(folder: Path, seeds: range) -> int:
    """How many of these mutations were understood all the same."""
    good = 0
    for seed in seeds:
        chance = random.Random(seed)
        source = FILES / NAMES[seed % len(NAMES)]
        if source.suffix == ".onnx" and chance.randrange(2):
            content = altered_model(onnx.load(source), chance)
        else:
            content = altered_bytes(source.read_bytes(), chance)
        path = folder / f"m{source.suffix}"
        path.write_bytes(content)
        start = time.monotonic()
        try:
            guarded("file", lambda path=path: understand(path), SECONDS)
            good += 1
        except UserError as fault:
            if "\n" in str(fault):
                pytest.fail(f"mutation {seed}: several lines")
        except RuntimeError as bug:
            pytest.fail(f"mutation {seed}: {bug}")
        assert time.monotonic() - start < SECONDS / 2, f"mutation {seed} is slow"
    return good


def test_sixty_mutations(tmp_path: Path) -> None:
    assert endure(tmp_path, range(60)) > 0


@pytest.mark.soak
def test_two_thousand_mutations(tmp_path: Path) -> None:
    assert endure(tmp_path, range(2000)) > 100
