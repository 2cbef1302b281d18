"""Mistakes that only a stage can find: its one line, exit code 2, and no second message."""

import json

import pytest

from tests.rules.project import Project


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "line"),
    [
        (
            "network.py",
            "nn.Linear",
            "nn.Lineal",
            "models/dense/network.py:12: AttributeError: module 'torch.nn' has no attribute 'Lineal'; "
            "fix the exception and build again",
        ),
        (
            "network.py",
            "class Dense",
            "raise ValueError('not today\\\\nnor tomorrow')\nclass Dense",
            "models/dense/network.py:7: ValueError: not today; fix the exception and build again",
        ),
        (
            "network.py",
            "class Dense",
            "class",
            "models/dense/network.py:7: SyntaxError: invalid syntax; fix the exception and build again",
        ),
        (
            "network.py",
            "class Dense",
            "class Dense2",
            "models/dense/network.py: has no 'Dense'; did you mean 'Dense2'?",
        ),
        (
            "network.py",
            "class Dense",
            "class Elsewhere",
            "models/dense/network.py: has no 'Dense'; define it or correct the SConscript",
        ),
        (
            "network.py",
            "def loss",
            "def lost",
            "Dense: has no loss; define loss(output, target)",
        ),
        (
            "dataset.py",
            "def __len__.*\n.*",
            "def __len__(self):\n        return 'many'",
            "Slopes: __len__: 'str' object cannot be interpreted as an integer; return the number of samples",
        ),
        (
            "network.py",
            "Linear\\(6, 3",
            "Linear(7, 3",
            "models/dense/network.py:15: RuntimeError: mat1 and mat2 shapes cannot be multiplied (16x6 and 7x3); "
            "fix the exception and build again",
        ),
        (
            "dataset.py",
            "self._first = 0",
            "self._first = split / 2 or 0",
            "models/dense/dataset.py:10: TypeError: unsupported operand type(s) for /: 'str' and 'int'; "
            "fix the exception and build again",
        ),
    ],
)
def test_user_code_that_raises(project: Project, file: str, pattern: str, replacement: str, line: str) -> None:
    project.edit(f"models/dense/{file}", pattern, replacement)
    done = project.build("model=dense")
    assert (done.status, done.stderr) == (2, line + "\n")
    assert done.stdout.startswith("[dense] train failed; to repeat it alone: ")
    assert len(done.stdout.splitlines()) == 1


def test_over_budget(project: Project) -> None:
    done = project.build("model=tiny", "tiny.gate.ram=20")
    assert done.status == 2
    *_, heading, row, note, repeat = done.stdout.splitlines()
    assert repeat.startswith("[tiny x86-64] gate failed; to repeat it alone: ")
    assert heading.split()[:2] == ["model", "target"]
    assert "+/20!" in row
    assert note == "+ and the stack, which is not known"
    (line,) = done.stderr.splitlines()
    assert line.startswith("build/tiny/x86-64/tiny.elf: RAM ")
    assert " of 20 bytes; the least is " in line
    assert line.endswith(": make that layer's image or channels smaller, or raise budget=")
    assert not (project.top / "build/tiny/x86-64/tiny.budget.json").exists()
    assert '<td class="n bad">' in (project.top / "build/tiny/x86-64/tiny.report.html").read_text()


def test_not_good_enough(project: Project) -> None:
    project.edit("models/tiny/SConscript", 'ram="16 KB"', 'ram="16 KB", metric_at_least=1.5')
    done = project.build("model=tiny")
    score = json.loads((project.top / "build/tiny/tiny.metric.json").read_text())["integer"]
    cure = "train longer, prune or quantize less, or ask for less in budget="
    line = f"build/tiny/x86-64/tiny.elf: cells right {score:g} is below 1.5; {cure}\n"
    assert (done.status, done.stderr) == (2, line)
    assert f" {score:.4f}! " in done.stdout
    assert not (project.top / "build/tiny/x86-64/tiny.budget.json").exists()
    assert '<td class="n bad">' in (project.top / "build/tiny/x86-64/tiny.report.html").read_text()
