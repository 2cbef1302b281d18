"""Which component made the miss: two logs, and what is said of them."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nnrules.cache.compare import compare
from nnrules.error import UserError
from tests.cache.box import sha256

Log = dict[str, Any]


def digest(text: str) -> str:
    """Of a content."""
    return sha256(text.encode())


def step(label: str, inputs: dict[str, list[str]], outputs: dict[str, str], **components: Any) -> dict[str, Any]:
    """A record; the key follows from the components, as it does in a build."""
    made = {"stage": label.rpartition(" ")[2], "version": 1, "options": {}, **components, "inputs": inputs}
    return {"label": label, "result": "ran", "key": "", "components": made, "outputs": outputs}


def usual() -> Log:
    """train -> export -> quantize."""
    train = step(
        "[facedet] train",
        {"data": [f"data:a.png {digest('a')}", f"data:b.png {digest('b')}"]},
        {"weights": digest("weights")},
        options={"epochs": 24, "learning_rate": 0.003, "layers": {"first": 8}},
        libraries={"torch": "2.13.0", "numpy": "2.4.6"},
        sources=digest("sources"),
        references={"network": "FaceDet"},
    )
    export = step("[facedet] export", {"weights": [digest("weights")]}, {"onnx": digest("onnx"), "log": digest("log")})
    quantize = step("[facedet] quantize", {"onnx": [digest("onnx")]}, {"parameters": digest("parameters")})
    return {"format": 1, "steps": [train, export, quantize]}


def keyed(log: Log) -> Log:
    """The keys that go with the components."""
    for record in log["steps"]:
        if record["components"] is not None:
            record["key"] = digest(json.dumps(record["components"], sort_keys=True))
    return log


def told(tmp_path: Path, *changes: Callable[[Log], object]) -> list[str]:
    """What is said of the usual log and a changed one."""
    now = copy.deepcopy(usual())
    for change in changes:
        change(now)
    (tmp_path / "first.json").write_text(json.dumps(keyed(usual())))
    (tmp_path / "second.json").write_text(json.dumps(keyed(now)))
    return compare(tmp_path / "first.json", tmp_path / "second.json").replace(f"{tmp_path}/", "").splitlines()


def component(number: int, name: str) -> Callable[[Log], Any]:
    """A component of a step."""
    return lambda log: log["steps"][number]["components"][name]


def downstream(log: Log) -> None:
    """Other weights, and what follows from them."""
    for number, names in enumerate(([], ["weights"], ["onnx"])):
        record = log["steps"][number]
        record["components"]["inputs"] |= {name: [digest(f"other {name}")] for name in names}
        record["outputs"] = {name: digest(f"other {name}") for name in record["outputs"]}


def test_nothing_differs(tmp_path: Path) -> None:
    assert told(tmp_path) == ["all 3 steps have the same key"]


def test_an_option_and_what_follows(tmp_path: Path) -> None:
    lines = told(tmp_path, lambda log: component(0, "options")(log).update(learning_rate=0.001), downstream)
    assert lines == [
        "[facedet] train: option learning_rate: 0.003 -> 0.001",
        "and 2 steps that follow",
        "3 of 3 steps have another key",
    ]


def test_a_step_is_named_once(tmp_path: Path) -> None:
    for version in ("1", "2"):
        train = step("[a] train", {}, {"weights": digest(version)}, version=version)
        objects = [step(f"[a] {name}", {"of": [digest(version)]}, {"o": digest(version + name)}) for name in "xy"]
        link = step("[a] link", {"objects": [digest(version + name) for name in "xy"]}, {}, version=version)
        (tmp_path / version).write_text(json.dumps(keyed({"format": 1, "steps": [train, *objects, link]})))
    assert compare(tmp_path / "1", tmp_path / "2").splitlines() == [
        "[a] train: version: 1 -> 2",
        "[a] link: version: 1 -> 2",
        "[a] link: follows from [a] train",
        "and 2 steps that follow",
        "4 of 4 steps have another key",
    ]


def test_python_files_by_name(tmp_path: Path) -> None:
    before = {"models/a/network.py": digest("a"), "models/a/old.py": digest("b"), "models/a/same.py": digest("c")}
    after = {"models/a/network.py": digest("A"), "models/a/new.py": digest("b"), "models/a/same.py": digest("c")}
    logs = {"first": usual(), "second": usual()}
    for name, modules in (("first", before), ("second", after)):
        logs[name]["steps"][0]["modules"] = modules
        logs[name]["steps"][0]["components"]["sources"] = digest(name)
        (tmp_path / name).write_text(json.dumps(keyed(logs[name])))
    assert compare(tmp_path / "first", tmp_path / "second").splitlines() == [
        "[facedet] train: models/a/network.py changed",
        "[facedet] train: models/a/new.py is new",
        "[facedet] train: models/a/old.py is no longer used",
        "1 of 3 steps have another key",
    ]
    for modules in ({}, before):
        logs["second"]["steps"][0]["modules"] = modules
        (tmp_path / "second").write_text(json.dumps(logs["second"]))
        line = f"[facedet] train: sources: {digest('first')[:12]} -> {digest('second')[:12]}"
        assert compare(tmp_path / "first", tmp_path / "second").splitlines()[0] == line


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("libraries", {"torch": "2.14.0"}, "library torch: 2.13.0 -> 2.14.0"),
        ("libraries", {"scipy": "1.0"}, "library scipy: (none) -> 1.0"),
        ("options", {"layers": {"first": 16}}, "option layers.first: 8 -> 16"),
        ("options", {"epochs": None}, "option epochs: 24 -> null"),
        ("options", {"optimizer": "sgd"}, "option optimizer: (none) -> sgd"),
        ("references", {"network": "Other"}, "reference network: FaceDet -> Other"),
    ],
)
def test_a_part_of_a_component(tmp_path: Path, name: str, change: dict[str, Any], text: str) -> None:
    assert told(tmp_path, lambda log: component(0, name)(log).update(change))[0] == f"[facedet] train: {text}"


def test_several_causes(tmp_path: Path) -> None:
    def change(log: Log) -> None:
        made = log["steps"][0]["components"]
        made["version"], made["sources"] = 2, digest("edited")
        made["target"] = "cortex-m7"
        del made["options"]["epochs"]

    assert told(tmp_path, change) == [
        "[facedet] train: version: 1 -> 2",
        "[facedet] train: option epochs: 24 -> (none)",
        f"[facedet] train: sources: {digest('sources')[:12]} -> {digest('edited')[:12]}",
        "[facedet] train: target: (none) -> cortex-m7",
        "1 of 3 steps have another key",
    ]


def test_a_file_of_the_user(tmp_path: Path) -> None:
    lines = told(tmp_path, lambda log: component(0, "inputs")(log)["data"].__setitem__(1, f"data:b.png {digest('B')}"))
    old, new = f"data:b.png {digest('b')[:12]}", f"data:b.png {digest('B')[:12]}"
    assert lines[0] == f"[facedet] train: input data: {old} -> {new}"


def test_a_file_more_and_another_order(tmp_path: Path) -> None:
    lines = told(tmp_path, lambda log: component(0, "inputs")(log)["data"].append("data:c.png 1"))
    assert lines[0] == "[facedet] train: input data: (none) -> data:c.png 1"
    lines = told(tmp_path, lambda log: component(0, "inputs")(log)["data"].reverse())
    assert lines[0] == "[facedet] train: input data: another order"


def test_a_cause_of_its_own_beside_what_follows(tmp_path: Path) -> None:
    def change(log: Log) -> None:
        log["steps"][0]["components"]["version"] = 2
        downstream(log)
        log["steps"][1]["components"]["options"]["opset"] = 21

    assert told(tmp_path, change) == [
        "[facedet] train: version: 1 -> 2",
        "[facedet] export: option opset: (none) -> 21",
        "[facedet] export: follows from [facedet] train",
        "and 1 step that follows",
        "3 of 3 steps have another key",
    ]


def test_a_step_that_does_not_repeat_its_bytes(tmp_path: Path) -> None:
    assert told(tmp_path, downstream) == [
        "[facedet] export: input weights: [facedet] train made another one, though its key is the same",
        "and 1 step that follows",
        "2 of 3 steps have another key",
    ]


def test_steps_of_one_build_only(tmp_path: Path) -> None:
    def change(log: Log) -> None:
        log["steps"][2]["label"] = "[facedet] lower"

    assert told(tmp_path, change) == [
        "[facedet] quantize: only in first.json",
        "[facedet] lower: only in second.json",
        "all 2 steps have the same key",
    ]
    assert told(tmp_path, lambda log: log["steps"].clear())[-1] == "no step is in both logs"


def test_a_step_that_was_not_reached(tmp_path: Path) -> None:
    def change(log: Log) -> None:
        log["steps"][2] |= {"key": None, "components": None, "outputs": {}}

    text = "its key is not known in one of the builds, which did not come so far"
    assert told(tmp_path, change) == [f"[facedet] quantize: {text}", "1 of 3 steps have another key"]


def test_two_steps_of_one_label(tmp_path: Path) -> None:
    def change(log: Log) -> None:
        log["steps"][1]["label"] = log["steps"][2]["label"] = "compile"

    (tmp_path / "log.json").write_text(json.dumps(keyed(usual())))
    lines = told(tmp_path, change)
    assert "compile (2): only in second.json" in lines


def test_a_log_that_goes_in_circles(tmp_path: Path) -> None:
    def change(log: Log) -> None:
        downstream(log)
        log["steps"][1]["components"]["inputs"] = {"onnx": [digest("other onnx")]}

    assert told(tmp_path, change)[-1] == "2 of 3 steps have another key"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is no cache log (Input data was truncated)"),
        (b"\xff\xfe", "is no cache log (JSON is malformed: invalid character (byte 0))"),
        (b"[]", "is no cache log (Expected `object`, got `array`)"),
        (b'{"format": 1}', "is no cache log (Object missing required field `steps`)"),
        (
            b'{"format": 1, "steps": [{"key": null}]}',
            "is no cache log (Object missing required field `label` - at `$.steps[0]`)",
        ),
        *(
            (
                b'{"format": 1, "steps": [{"label": "a", "components": {"inputs": %s}}]}' % value,
                f"is no cache log (Expected `{wanted}`, got `{kind}` - at `$.inputs{place}`)",
            )
            for value, wanted, kind, place in (
                (b"5", "object", "int", ""),
                (b'{"a": {}}', "array", "object", "[...]"),
                (b'{"a": [5]}', "str", "int", "[...][0]"),
            )
        ),
        (
            b'{"format": 1, "steps": [{"label": "a", "modules": {"a.py": 1}}]}',
            "is no cache log (Expected `str`, got `int` - at `$.steps[0].modules[...]`)",
        ),
    ],
)
def test_a_bad_log(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        compare(path, path)
    assert str(raised.value) == f"{path}: {fault}; write it with scons --cache-log=FILE"


def test_a_log_of_another_format(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text('{"format": 7, "steps": []}')
    with pytest.raises(UserError) as raised:
        compare(path, path)
    assert str(raised.value) == f"{path}: has format 7, not 1; compare logs that one version of nnrules wrote"


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        compare(tmp_path / "no.json", tmp_path / "no.json")
    fault = "cannot be read (No such file or directory)"
    assert str(raised.value) == f"{tmp_path / 'no.json'}: {fault}; write it with scons --cache-log=FILE"
