"""The entry's bytes against the protobuf library, which reads and writes the messages as the Remote Execution API has
them (https://github.com/bazelbuild/remote-apis, remote_execution.proto)."""

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from nnrules.cache.action_result import decode, encode
from nnrules.cache.entry import EMPTY, BadEntry, Entry, Output
from tests.cache.box import key, sha256

_FIELDS = {  # message -> (field, number, type or message, repeated)
    "Digest": [("hash", 1, "string", False), ("size_bytes", 2, "int64", False)],
    "OutputFile": [
        ("path", 1, "string", False),
        ("digest", 2, "Digest", False),
        ("is_executable", 4, "bool", False),
        ("contents", 5, "bytes", False),
    ],
    "Duration": [("seconds", 1, "int64", False), ("nanos", 2, "int32", False)],
    "ExecutedActionMetadata": [
        ("worker", 1, "string", False),
        ("queued_timestamp", 2, "Duration", False),
        ("virtual_execution_duration", 12, "Duration", False),
    ],
    "ActionResult": [
        ("output_files", 2, "OutputFile", True),
        ("exit_code", 4, "int32", False),
        ("stdout_raw", 5, "bytes", False),
        ("execution_metadata", 9, "ExecutedActionMetadata", False),
    ],
}


def _message(name: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="reapi.proto", package="reapi", syntax="proto3")
    kind = descriptor_pb2.FieldDescriptorProto
    for message, fields in _FIELDS.items():
        described = file.message_type.add(name=message)
        for field, number, of, repeated in fields:
            added = described.field.add(name=field, number=number)
            added.label = kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            if of in _FIELDS:
                added.type, added.type_name = kind.TYPE_MESSAGE, f".reapi.{of}"
            else:
                added.type = getattr(kind, f"TYPE_{of.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"reapi.{name}"))


ActionResult = _message("ActionResult")

names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
contents = st.one_of(st.just((EMPTY, 0)), st.tuples(st.binary(min_size=1).map(sha256), st.integers(1, (1 << 63) - 1)))
outputs = st.builds(lambda name, content, run: Output(name, *content, run), names, contents, st.booleans())
nanoseconds = st.integers(0, 10**15)
entries = st.builds(
    lambda files, ns: Entry(tuple(files), ns / 1e9),
    st.lists(outputs, min_size=1, max_size=5, unique_by=lambda output: output.name),
    nanoseconds,
)


@given(entries)
def test_the_library_reads_what_is_written(entry: Entry) -> None:
    read = ActionResult.FromString(encode(key(1), entry))
    found = [(each.path, each.digest.hash, each.digest.size_bytes, each.is_executable) for each in read.output_files]
    assert found == [(each.name, each.sha256, each.size, each.executable) for each in entry.outputs]
    took = read.execution_metadata.virtual_execution_duration
    assert took.seconds + took.nanos / 1e9 == pytest.approx(entry.seconds, abs=1e-6)
    assert (read.exit_code, read.stdout_raw, read.execution_metadata.worker) == (0, key(1).encode(), "nnrules")
    assert read.SerializeToString(deterministic=True) == encode(key(1), entry)


@given(entries)
def test_what_is_written_is_read(entry: Entry) -> None:
    read = decode(key(1), encode(key(1), entry))
    assert read.outputs == entry.outputs
    assert read.seconds == pytest.approx(entry.seconds, abs=1e-6)


def test_what_a_server_adds_is_left_aside() -> None:
    entry = Entry((Output("weights", sha256(b"w"), 1),), 2.5)
    read = ActionResult.FromString(encode(key(1), entry))
    read.execution_metadata.worker = "10.0.0.1"
    read.execution_metadata.queued_timestamp.seconds = 1
    read.output_files[0].contents = b"w"
    assert decode(key(1), read.SerializeToString()) == entry


@given(st.binary())
def test_any_bytes_are_an_entry_or_bad(data: bytes) -> None:
    with pytest.raises(BadEntry):
        decode(key(1), data)


@given(entries, st.data())
def test_a_changed_byte_is_harmless(entry: Entry, data: st.DataObject) -> None:
    """What is read from damaged bytes is checked, and the library would read nothing else from them."""
    whole = bytearray(encode(key(1), entry))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = decode(key(1), bytes(whole))
    except BadEntry:
        return
    try:
        expected = ActionResult.FromString(bytes(whole))
    except DecodeError:
        return
    assert [output.name for output in read.outputs] == [each.path for each in expected.output_files]
    assert [output.sha256 for output in read.outputs] == [each.digest.hash for each in expected.output_files]
