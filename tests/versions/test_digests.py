"""A Python file has one digest on every Python that can run nnrules, so that they share a cache.

corpus/*.txt are sources with what the grammar has; digests.json says what each gives, whichever Python runs the tests.
A change of nnrules.catalog.syntax that is meant: `pytest tests/versions --update-golden`.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nnrules.catalog.syntax import digest_and_imports

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
GOLDEN = HERE / "digests.json"
VERSIONS = ("3.11", "3.12", "3.13")

MADE = {
    "deep": b"total = (" + b" + ".join([b"1"] * 1500) + b")\n",  # deeper than Python's stack of calls
    "huge": b"many = 0x" + b"c0ffee" * 1000 + b"\n",  # more digits than str() gives
    "empty": b"",
    "line_ends": b'text = """one\r\ntwo"""\r\nif text:\r\n\tpass\r\n',
    "mark": b'\xef\xbb\xbftext = "x"\n',
    "encoding": b'# -*- coding: latin-1 -*-\ntext = "\xe9\xfc"\n',
}

ASK = """
import json, sys
from pathlib import Path
from nnrules.catalog.syntax import digest_and_imports
json.dump({path: digest_and_imports(Path(path)) for path in sys.argv[1:]}, sys.stdout)
"""


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """All sources by name."""
    for name, text in MADE.items():
        (tmp_path / f"{name}.txt").write_bytes(text)
    return {path.stem: path for path in (*sorted(HERE.glob("corpus/*.txt")), *sorted(tmp_path.glob("*.txt")))}


def test_each_source_has_its_recorded_digest(sources: dict[str, Path], request: pytest.FixtureRequest) -> None:
    found = {name: digest_and_imports(path)[0] for name, path in sources.items()}
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert found == json.loads(GOLDEN.read_text())
    assert len(set(found.values())) == len(found)


def test_each_source_but_one_is_python(sources: dict[str, Path]) -> None:
    by_bytes = {
        name
        for name, path in sources.items()
        if digest_and_imports(path)[0] == hashlib.sha256(path.read_bytes()).hexdigest()
    }
    assert by_bytes == {"broken"}


@pytest.mark.filterwarnings("error")
def test_what_python_warns_of_does_not_count(tmp_path: Path) -> None:
    assert digest(r'a = "\d"', tmp_path) == digest(r'a = "\\d"', tmp_path)


@pytest.mark.parametrize("version", [each for each in VERSIONS if each != ".".join(map(str, sys.version_info[:2]))])
def test_another_python_finds_the_same(sources: dict[str, Path], version: str) -> None:
    """Of the sources and of all of nnrules and its models; the records above hold it where there is no other Python."""
    files = [*sources.values(), *TOP.glob("nnrules/**/*.py"), *TOP.glob("models/**/*.py"), *TOP.glob("tests/**/*.py")]
    paths = [str(path) for path in files]
    here = {path: digest_and_imports(Path(path)) for path in paths}
    assert json.loads(ask(other_python(version), ASK, *paths)) == json.loads(json.dumps(here))


def other_python(version: str) -> str:
    """An interpreter: one of NNRULES_OTHER_PYTHON (paths, `:` between them) or of the PATH; a skip where none is."""
    for name in (*os.environ.get("NNRULES_OTHER_PYTHON", "").split(os.pathsep), f"python{version}"):
        found = shutil.which(name)
        if found and _version(found) == version:
            return found
    pytest.skip(f"there is no Python {version}; name one with NNRULES_OTHER_PYTHON")


def ask(python: str, program: str, *arguments: str) -> str:
    """What a program prints that finds this checkout's nnrules."""
    environment = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-W", "ignore", "-c", program, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _version(python: str) -> str:
    show = "import sys; print(*sys.version_info[:2], sep='.')"
    return subprocess.run([python, "-c", show], capture_output=True, text=True, check=False).stdout.strip()


EQUAL = [
    ('a = "\\u0041"', 'a = "A"'),
    ("a = 0x10", "a = 16"),
    ("a = 1_0.0", "a = 10."),
    ("a = ('b'\n  'c')", 'a = """bc"""'),
    ('f"{a}" "b" ""', 'f"{a}b"'),
    ('def f():\n """Words."""\n return 1', "def f():\n return 1  # words"),
    ('a = u"b"', 'a = "b"'),
]
UNEQUAL = [
    ("def f(*, a, b=1): pass", "def f(*, a=1, b): pass"),
    ("{**a, b: c}", "{b: a, **c}"),
    ("a = 1", "a = True"),
    ("a = 1", "a = 1.0"),
    ("a = 0", "a = 0j"),
    ("a = b''", "a = ''"),
    ('f"{a}b"', "f\"{a}{'b'}\""),
    ('f"{a!r}"', 'f"{a!s}"'),
    ('"{a}"', 'f"{a}"'),
    ("a = b = c", "a = b; a = c"),
    ("def f():\n a\n b", "def f():\n a\nb"),
    ("match a:\n case None: pass", "match a:\n case False: pass"),
    ("import a.b", "import a, b"),
    ("from . import a", "from .. import a"),
    ("def f(a, /, b): pass", "def f(a, b, /): pass"),
    ("async def f(): pass", "def f(): pass"),
    ("try: pass\nexcept a: pass", "try: pass\nexcept* a: pass"),
    ("a: int", "a: int = None"),
    ("(a): int", "a: int"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_spelling_does_not_count(one: str, other: str, tmp_path: Path) -> None:
    assert digest(one, tmp_path) == digest(other, tmp_path)


@pytest.mark.parametrize(("one", "other"), UNEQUAL)
def test_meaning_counts(one: str, other: str, tmp_path: Path) -> None:
    assert digest(one, tmp_path) != digest(other, tmp_path)


def digest(text: str, folder: Path) -> str:
    path = folder / "source.py"
    path.write_text(text)
    return digest_and_imports(path)[0]
