"""What enters the signature of a stage, without building anything."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nnrules.catalog import identity, stages
from nnrules.catalog.sources import _FORMAT, Sources
from nnrules.rules.stage import Stage
from tests.rules.project import TOP

MODULES = {
    "root.py": "from pack import (\n    one,\n    two,\n)\nimport lone, negation\n",
    "pack/__init__.py": "",
    "pack/one.py": "from . import three\n",
    "pack/two.py": "def late():\n    from pack.deep import four\n    return four\n",
    "pack/three.py": "A = 1\n",
    "pack/deep/__init__.py": "",
    "pack/deep/four.py": "from ..five import B\n",
    "pack/five.py": "B = 1\n",
    "lone.py": "import json, other\nif TYPE_CHECKING:\n    import unused\nelse:\n    import chosen\n",
    "negation.py": "if not TYPE_CHECKING:\n    import negated\n",
    "chosen.py": "",
    "negated.py": "",
    "other.py": "C = 1\n",
    "unused.py": "D = 1\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", [name for name in MODULES if name != "unused.py"])
def test_every_imported_module_counts(folder: Path, name: str) -> None:
    before = Sources().fingerprint([folder / "root.py"])
    (folder / name).write_text(MODULES[name] + "E = 2\n")
    assert Sources().fingerprint([folder / "root.py"]) != before


def test_other_files_comments_docstrings_and_layout_do_not(folder: Path) -> None:
    before = Sources().fingerprint([folder / "root.py"])
    (folder / "unused.py").write_text("D = 3\n")
    (folder / "other.py").write_text('"""Words."""\n\n# more words\nC = (\n    1\n)\n')
    (folder / "pack/two.py").write_text(
        'def late():\n    """Words."""\n    from pack.deep import four\n    return four\n'
    )
    assert Sources().fingerprint([folder / "root.py"]) == before


def test_the_place_of_the_files_does_not(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "deeper"
    folder.rename(elsewhere)
    moved = Sources().fingerprint([elsewhere / "root.py"])
    elsewhere.rename(folder)
    assert Sources().fingerprint([folder / "root.py"]) == moved


def test_remembered_files_are_not_parsed_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = folder / "memory.json"
    settle(folder)
    sources = Sources(memory)
    before = sources.fingerprint([folder / "root.py"])
    sources.save()
    monkeypatch.setattr("nnrules.catalog.sources.digest_and_imports", lambda path: pytest.fail(f"parsed {path}"))
    assert Sources(memory).fingerprint([folder / "root.py"]) == before


def test_a_file_that_has_just_changed_is_not_remembered(folder: Path) -> None:
    memory, root = folder / "memory.json", folder / "root.py"
    settle(folder)
    root.write_text("A = 1\n")
    sources = Sources(memory)
    before, state = sources.fingerprint([root]), root.stat()
    sources.save()
    root.write_text("A = 2\n")
    os.utime(root, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert Sources(memory).fingerprint([root]) != before


def settle(folder: Path) -> None:
    """As if nobody had touched the files for a while."""
    for file in folder.rglob("*.py"):
        os.utime(file, (1_000_000_000, 1_000_000_000))


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{{"format": {0}, "facts": 3}}', '{{"format": {0}, "facts": {{"{1}": 3}}}}']
)
def test_an_unreadable_memory_is_ignored(folder: Path, text: str) -> None:
    memory, root = folder / "memory.json", folder / "root.py"
    memory.write_text(text.format(_FORMAT, root) if "format" in text else text)
    assert Sources(memory).fingerprint([root]) == Sources().fingerprint([root])


def test_options_versions_and_libraries_count_and_paths_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def signature(**changes: Any) -> str:
        usual = {"inputs": {"graph": ["a/g.json"]}, "outputs": {"samples": "a/s.npz"}, "tools": {"qemu": "7"}}
        known: dict[str, Any] = {**usual, "options": stages.SampleOptions(count=3), "references": {}, **changes}
        return Stage(model="m", target=None, name="sample", sources=Sources(), **known).signature

    before = signature()
    assert signature(inputs={"graph": ["b/g.json"]}, outputs={"samples": "b/s.npz"}, fresh=True) == before
    assert str(Path.cwd()) not in before
    assert signature(options=stages.SampleOptions(count=4)) != before
    assert signature(inputs={"graph": ["a", "b"]}) != before
    assert signature(tools={"qemu": "8"}) != before
    known = stages.STAGES["sample"]
    with monkeypatch.context() as patch:
        patch.setitem(stages.STAGES, "sample", msgspec.structs.replace(known, version=known.version + 1))
        assert signature() != before
    with monkeypatch.context() as patch:
        patch.setattr(identity, "installed_versions", lambda: {"numpy": "0.1"})
        assert signature() != before
    assert signature() == before


def test_libraries_that_only_the_users_files_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, network = tmp_path / "lib/site-packages", tmp_path / "network.py"
    site.mkdir(parents=True)
    network.write_text("import extlib.parts, json\nimport scipy.ndimage as nd\nclass Net: pass\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])

    def libraries(version: str) -> dict[str, str]:
        for old in site.glob("*.dist-info"):
            shutil.rmtree(old)
        (site / f"other_name-{version}.dist-info").mkdir()
        (site / f"other_name-{version}.dist-info/METADATA").write_text(f"Name: Other.Name\nVersion: {version}\n")
        (site / f"other_name-{version}.dist-info/top_level.txt").write_text("extlib\n")
        identity.installed_versions.cache_clear()
        identity._all_modules.cache_clear()
        options = stages.STAGES["train"].options()
        found = identity.stage_identity("train", options, {"network": f"{network}:Net"}, Sources())
        return dict(found["libraries"])

    assert libraries("1.0")["other_name"] == "1.0"
    assert libraries("2.0")["other_name"] == "2.0"
    assert libraries("2.0")["scipy"] == identity.installed_versions()["scipy"]
    assert "pillow" not in libraries("2.0")
    monkeypatch.undo()
    identity.installed_versions.cache_clear()
    identity._all_modules.cache_clear()


def test_what_nnrules_imports_itself_is_declared_and_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (TOP, TOP / "tests"):  # a checkout's own project, and one beside an installed nnrules
        monkeypatch.chdir(folder)
        for verb, known in stages.STAGES.items():
            libraries = identity.stage_identity(verb, known.options(), {}, Sources())["libraries"]
            assert set(libraries) == {name.replace("-", "_") for name in known.libraries}


NO_MATTER = {
    "msgspec",
    "rich",
    "typing_extensions",
}  # records, progress bars, types: no output depends on their version
DISTRIBUTIONS = {
    "torch_pruning": "torch-pruning",
    "elftools": "pyelftools",
    "lightning_fabric": "lightning-fabric",
}


@pytest.mark.parametrize("verb", sorted(stages.STAGES))
def test_the_libraries_that_a_stage_imports_are_declared(verb: str) -> None:
    known, sources = stages.STAGES[verb], Sources()
    options = known.options(**({"method": "lsq"} if verb == "fit" else {}))  # only methods that train come there
    sources.fingerprint(identity.python_files(verb, options, {}))
    imports = [each for _, found in sources._facts.values() for each in found]
    modules = {module.partition(".")[0] for level, module, _ in imports if level == 0}
    outside = modules - sys.stdlib_module_names - {"nnrules"} - NO_MATTER
    assert {DISTRIBUTIONS.get(name, name) for name in outside} <= set(known.libraries)


def test_declared_libraries_are_installed() -> None:
    declared = {name.replace("-", "_") for known in stages.STAGES.values() for name in known.libraries}
    assert declared <= set(identity.installed_versions())
