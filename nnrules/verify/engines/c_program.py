"""The C engine: a program of the generated C, on the host or under the target's emulator.

The program reads "inputs.bin" in its working directory (the samples, every input of one sample after the other, before
them the selector of a format where there are several) and writes "outputs.bin" (the outputs likewise) and, when built
for tracing, "trace.bin": records of three little-endian u32 (node index, row, bytes) and the row's bytes, a row being
one line along the height, or the whole tensor.
"""

import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nnrules.error import UserError
from nnrules.graph.ir import Graph, Tensor
from nnrules.verify.program import Program

Tensors = dict[str, npt.NDArray[np.int8]]
RECORD = struct.Struct("<III")


def trace(graph: Graph, program: Program, samples: Mapping[str, npt.NDArray[np.int8]]) -> Tensors:
    """Output of every node for int8 (N, ...) inputs, from the rows that the program streams as it makes them."""
    count = len(next(iter(samples.values())))
    finished = program.run({"inputs.bin": interleave(graph, samples)}, ["trace.bin"])
    return read_trace(graph, finished.files["trace.bin"], count, program.name)


def outputs(graph: Graph, program: Program, samples: Mapping[str, npt.NDArray[np.int8]]) -> Tensors:
    """The graph's outputs for int8 (N, ...) inputs, from a program without tracing: the shipped objects."""
    count = len(next(iter(samples.values())))
    finished = program.run({"inputs.bin": interleave(graph, samples)}, ["outputs.bin"])
    tensors = [graph.tensors[name] for name in graph.outputs]
    sizes = [tensor.bytes for tensor in tensors]
    data = np.frombuffer(finished.files["outputs.bin"], np.int8)
    if data.size != count * sum(sizes):
        raise _cut_off(program.name, f"outputs.bin has {data.size} bytes, not {count * sum(sizes)}")
    parts = np.split(data.reshape(count, -1), np.cumsum(sizes)[:-1], axis=1)
    return {tensor.name: _values(tensor, part) for tensor, part in zip(tensors, parts, strict=True)}


def read_trace(graph: Graph, data: bytes, count: int, program: str) -> Tensors:
    """Parse trace.bin of `count` samples; a tensor's rows may come in any order, but one sample after the other.

    Raises UserError when a record names no node, leaves its tensor, or when any tensor is not complete.
    """
    shapes = [graph.tensors[node.output].shape for node in graph.nodes]
    sizes = [graph.tensors[node.output].bytes for node in graph.nodes]
    values = [np.zeros(count * size, np.int8) for size in sizes]
    filled = [0] * len(sizes)
    position = 0
    while position + RECORD.size <= len(data):
        tensor, row, length = RECORD.unpack_from(data, position)
        position += RECORD.size
        if tensor >= len(sizes) or position + length > len(data):
            raise _cut_off(program, f"trace.bin breaks off at byte {position}")
        offset = row * (sizes[tensor] // shapes[tensor][0] if len(shapes[tensor]) > 1 else sizes[tensor])
        sample = filled[tensor] // sizes[tensor]
        if offset + length > sizes[tensor] or sample >= count:
            raise _cut_off(program, f"trace.bin: row {row} of '{graph.nodes[tensor].name}' lies outside its tensor")
        start = sample * sizes[tensor] + offset
        values[tensor][start : start + length] = np.frombuffer(data, np.int8, length, position)
        filled[tensor] += length
        position += length
    for node, done, size in zip(graph.nodes, filled, sizes, strict=True):
        if done != count * size:
            raise _cut_off(program, f"trace.bin has {done} bytes of '{node.name}', not {count * size}")
    return {
        node.output: _values(graph.tensors[node.output], array.reshape(count, -1))
        for node, array in zip(graph.nodes, values, strict=True)
    }


def _values(tensor: Tensor, data: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """(N, bytes) as the tensor's values."""
    stored = np.dtype(tensor.dtype).newbyteorder("<")
    values = np.ascontiguousarray(data).view(stored).astype(tensor.dtype)
    return values.reshape(len(data), *tensor.shape)


def interleave(graph: Graph, samples: Mapping[str, npt.NDArray[np.int8]]) -> bytes:
    """The samples back to back, each with the selector, if there is one, and all its inputs in the graph's order."""
    names = [graph.selector, *graph.inputs] if graph.selector else graph.inputs
    return np.concatenate([samples[name].reshape(len(samples[name]), -1) for name in names], axis=1).tobytes()


def _cut_off(program: str, fault: str) -> UserError:
    return UserError(program, fault, "the program and this graph do not belong together, or it stopped early")
