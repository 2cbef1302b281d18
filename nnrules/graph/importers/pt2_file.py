"""`.pt2`: what torch.export.save writes, through torch's own exporter to ONNX.

torch's loader unpickles some parts of such an archive and evaluates others. Those parts are refused or left out here:
it is given a copy of the archive with plain tensors, known operators and no code.
"""

import contextlib
import io
import json
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx

from nnrules.error import UserError
from nnrules.graph.importers.pt2_ranges import clamp_ranges

SUFFIXES = (".pt2",)
LARGEST = 2**30  # of all that is in the archive
TARGETS = re.compile(r"torch\.ops\.(aten|quantized_decomposed)\.\w+(\.\w+)?|_operator\.(getitem|add|mul|sub|floordiv)")
SIZE = re.compile(  # of numbers and symbols, as with a batch that is not fixed; possessive: nothing is tried twice
    r"(?:[su]\d{1,6}|-?\d{1,18}|Symbol\('[su]\d{1,6}'(?:, (?:integer|positive|nonnegative)=True)*\)"
    r"|(?:Mul|Add|Integer)\(|[), ])++"
)
DAMAGE = (zipfile.BadZipFile, KeyError, ValueError, OSError, RuntimeError, NotImplementedError, EOFError)


def read(path: Path, name: str, beside: Sequence[Path]) -> onnx.ModelProto:
    """The exported program as ONNX. Raises UserError for a damaged archive, or parts that could run code."""
    content = _harmless(path, name)
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(ImportError):
            import torch.ao.quantization.fx._decomposed  # registers quantized_decomposed.*
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            program = torch.export.load(io.BytesIO(content))
        except Exception as error:  # torch's loader has no exception of its own
            raise UserError(str(path), "cannot be loaded by torch", _told(error)) from None
        try:
            clamp_ranges(program, name)
            exported = torch.onnx.export(program, dynamo=True, verbose=False)
        except UserError:
            raise
        except Exception as error:  # nor has its exporter for what it does not know
            raise UserError(str(path), "cannot be exported to ONNX by torch", _told(error)) from None
    assert exported is not None
    return onnx.load_from_string(exported.model_proto.SerializeToString())


def _harmless(path: Path, name: str) -> bytes:
    """The archive without code and pickled objects."""
    result = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(result, "w") as copy:
            if sum(each.file_size for each in archive.infolist()) > LARGEST:
                raise UserError(str(path), "holds more than 1 GB", "give a smaller model")
            parts = {each.filename: archive.read(each) for each in archive.infolist()}
            models = [part for part in parts if re.fullmatch(r"[^/]+/models/[^/]+\.json", part)]
            if len(models) != 1:
                fault = f"holds {len(models)} exported programs in the form of torch 2.9 and later"
                raise UserError(str(path), fault, "save one with torch.export.save")
            for part, content in parts.items():
                copy.writestr(part, _checked(path, name, part, content))
    except DAMAGE as error:
        raise UserError(str(path), "is not a whole .pt2 archive", _told(error)) from None
    return result.getvalue()


def _checked(path: Path, name: str, part: str, content: bytes) -> bytes:
    """One file of the archive."""
    if re.search(r"/models/[^/]+\.json$", part):
        return _without_code(name, json.loads(content))
    if part.endswith("_config.json"):
        for each in _members(json.loads(content)):
            if each.get("use_pickle"):
                raise UserError(str(path), f"holds a pickled object ({part})", "export the model with plain tensors")
    if "/sample_inputs/" in part:
        import torch

        try:
            torch.load(io.BytesIO(content), weights_only=True)
        except Exception:  # whatever the file makes it raise: only plain tensors are accepted
            raise UserError(str(path), f"holds a pickled object ({part})", "export it with plain tensors") from None
    if "/aotinductor/" in part or part.endswith((".so", ".py", ".cpp")):
        raise UserError(str(path), f"holds compiled code ({part})", "save it with torch.export.save")
    return content


def _without_code(name: str, program: Any) -> bytes:
    """A serialized program, whose operators are known ones and whose sizes are numbers or plain symbols."""
    if not isinstance(program, dict):
        raise ValueError("no program")
    program["guards_code"] = []
    for each in _members(program):
        target = each.get("target")
        if isinstance(target, str) and "inputs" in each and not TARGETS.fullmatch(target):
            fault = f"calls {target}"
            raise UserError(name, fault, "only torch's own operators (torch.ops.aten) are supported")
        for text in (each.get("expr_str", ""), *each.get("range_constraints", ())):
            if text and not SIZE.fullmatch(str(text)):
                raise UserError(name, f"has a size that is computed: {text!s:.60}", "export the model with fixed sizes")
        if "as_custom_obj" in each or "as_graph" in each:
            raise UserError(name, "holds objects or graphs of its own", "export the model without control flow")
    return json.dumps(program).encode()


def _members(value: Any) -> Iterator[dict[str, Any]]:
    """All JSON objects within a value."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def _told(error: Exception) -> str:
    plain = re.sub(r"\x1b\[[\d;]*m", "", str(error))  # torch writes in colours
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return f"it says: {(lines[0] if lines else type(error).__name__)[:200]}"
