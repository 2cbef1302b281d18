"""Lines where a build is read by another program, rows of running stages where somebody looks on."""

import os
import pty
import re
import subprocess
import sys

import pytest

from tests.rules.project import TOP

SCRIPT = """\
import sys, time
from nnrules.rules.terminal import Terminal
terminal = Terminal()
terminal.started("[a] train")
terminal.started("[b] train")
terminal.progress("[a] train", 0.5, "epoch 1/2 loss [bold]", "train a epoch 1/2")
time.sleep(0.2)
terminal.say("said [bold] " + 100 * "x")
terminal.error("wrong \\u65e5")
print("printed")
terminal.ended("[a] train")
terminal.ended("[b] train")
terminal.say("[a] train: 1.0 s")
print("rich" in sys.modules)
"""


def on_terminal(**environment: str) -> str:
    """What a terminal of 200 columns gets from the script."""
    ours, theirs = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=theirs, stdout=theirs, stderr=theirs, cwd=TOP,
        env={**variables, "TERM": "xterm", "COLUMNS": "90", **environment},
    )  # fmt: skip
    os.close(theirs)
    text = b""
    while data := _read(ours):
        text += data
    os.close(ours)
    assert process.wait() == 0
    return text.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""


COLOR = re.compile(r"\x1b\[(3[0-8]|9[0-7])[0-9;]*m")
LINES = ["said [bold] " + 100 * "x", "wrong \u65e5", "printed", "[a] train: 1.0 s"]


def test_a_row_for_each_stage_and_whole_lines_above() -> None:
    text = on_terminal()
    assert [line in text for line in LINES] == [True] * 4
    assert "[a] train" in text.partition("said")[0]
    assert "50%" in text
    assert "epoch 1/2 loss [bold]" in text
    assert "train a epoch" not in text
    assert COLOR.search(text)
    assert text.endswith("[a] train: 1.0 s\nTrue\n")


def test_no_color() -> None:
    text = on_terminal(NO_COLOR="1")
    assert "50%" in text
    assert not COLOR.search(text)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"CI": "true"}])
def test_a_terminal_that_cannot_draw(environment: dict[str, str]) -> None:
    assert on_terminal(**environment) == "\n".join(["train a epoch 1/2", *LINES, "False", ""])


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_pipes(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict", "TERM": "xterm"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, cwd=TOP, env=environment, check=False)
    wrong = "wrong \u65e5" if encoding == "utf-8" else "wrong \\u65e5"
    assert done.stderr.decode() == f"train a epoch 1/2\n{wrong}\n"
    assert done.stdout.decode() == "\n".join([LINES[0], *LINES[2:], "False", ""])


def test_nobody_reads_any_more() -> None:
    code = "from nnrules.rules.terminal import Terminal\nfor _ in range(99): Terminal().say('y' * 9999)\nexit(3)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=TOP)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() in (3, 120)  # 120: Python itself could not flush at the end
