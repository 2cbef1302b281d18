"""An entry as the bytes of an ActionResult of the Remote Execution API, version 2: what bazel-remote keeps under /ac/.

The few messages are written and read here, in Protocol Buffers' wire format: the protobuf library takes 20 ms to
import, as long as restoring a whole build takes. Tests hold this against that library.

    ActionResult            2 output_files, 4 exit_code, 5 stdout_raw, 9 execution_metadata
    OutputFile              1 path, 2 digest, 4 is_executable
    Digest                  1 hash, 2 size_bytes
    ExecutedActionMetadata  1 worker, 12 virtual_execution_duration
    Duration                1 seconds, 2 nanos

`stdout_raw` holds the key: a server that answers every address with one entry is found out.
"""

from collections.abc import Iterator

from nnrules.cache.entry import ENTRY_LIMIT, BadEntry, Entry, Output, check_entry

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FOREIGN = {3: "folders", 10: "symbolic links", 11: "symbolic links", 12: "symbolic links"}
_WORKER = b"nnrules"  # where it is empty, bazel-remote writes the address of the client
_LONGEST_VARINT = 10  # bytes

Value = int | bytes


def encode(key: str, entry: Entry) -> bytes:
    """The serialized ActionResult."""
    seconds, nanos = divmod(round(entry.seconds * 1e9), 10**9)
    metadata = _field(1, _WORKER) + _field(12, _field(1, seconds) + _field(2, nanos))
    files = b"".join(_field(2, _output_file(output)) for output in entry.outputs)
    return files + _field(5, key.encode()) + _field(9, metadata)


def decode(key: str, data: bytes) -> Entry:
    """The entry of a key. Raises BadEntry for anything that `encode` would not write, unknown fields left aside."""
    if len(data) > ENTRY_LIMIT:
        raise BadEntry(f"{len(data)} bytes")
    outputs, owner, seconds = [], b"", 0.0
    for number, value in _fields(data):
        if number == 2:
            outputs.append(_read_output(_bytes(value)))
        elif number == 4 and value:
            raise BadEntry("a step that failed")
        elif number == 5:
            owner = _bytes(value)
        elif number == 9:
            seconds = _read_seconds(_bytes(value))
        elif number in _FOREIGN:
            raise BadEntry(_FOREIGN[number])
    if owner != key.encode():
        raise BadEntry("the entry of another key")
    return check_entry(Entry(tuple(outputs), seconds))


def _output_file(output: Output) -> bytes:
    digest = _field(1, output.sha256.encode()) + _field(2, output.size)
    return _field(1, output.name.encode()) + _field(2, digest) + _field(4, int(output.executable))


def _read_output(data: bytes) -> Output:
    fields = dict(_fields(data))
    digest = dict(_fields(_bytes(fields.get(2, b""))))
    return Output(
        name=_text(fields.get(1, b"")),
        sha256=_text(digest.get(1, b"")),
        size=_integer(digest.get(2, 0)),
        executable=bool(_integer(fields.get(4, 0))),
    )


def _read_seconds(metadata: bytes) -> float:
    duration = dict(_fields(_bytes(dict(_fields(metadata)).get(12, b""))))
    return _integer(duration.get(1, 0)) + _integer(duration.get(2, 0)) / 1e9


def _field(number: int, value: Value) -> bytes:
    """One field; a default value is left out, as proto3 does."""
    if not value:
        return b""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Number and value of each field; those of fixed width count as bytes."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise BadEntry("no ActionResult")
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _read_varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise BadEntry("no ActionResult")
        if size > len(data) - at:
            raise BadEntry("it ends in mid-field")
        yield number, data[at : at + size]
        at += size


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The value and where it ends."""
    value = 0
    for place, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise BadEntry("it ends in mid-field")


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise BadEntry("a number where bytes belong")
    return value


def _integer(value: Value) -> int:
    if not isinstance(value, int) or value >= 1 << 63:
        raise BadEntry("no count where one belongs")
    return value


def _text(value: Value) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise BadEntry("no text where some belongs") from None
