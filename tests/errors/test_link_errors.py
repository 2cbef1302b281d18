"""The target's TOML is the one place that says how much memory there is; what does not fit is one line."""

import re

import pytest

from tests.needs import need_target
from tests.rules.project import Project

TOO_LARGE = (
    r"build/dense/small/dense\.trace\.elf: needs [\d,]+ bytes more {}; "
    r"shrink the model or its application, or choose a larger target\n"
)


def with_target(project: Project, *edits: tuple[str, str]) -> Project:
    """The project with a copy of cortex-m7, edited, as the target `small`."""
    need_target("cortex-m7")
    text = (project.top / "toolchains/cortex-m7.toml").read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    (project.top / "toolchains/small.toml").write_text(text)
    return project


@pytest.mark.parametrize(
    ("edits", "text"),
    [
        ([('ram = "4 MB"', 'ram = "8 KB"')], "RAM than the target's 8,192"),
        ([('flash = "4 MB"', 'flash = "600"')], "FLASH than the target's 600"),
        (
            [('ram = "4 MB"', 'ram = "16 KB"'), ('flash = "4 MB"', "flash = 512")],
            r"(FLASH|RAM) than the target's [\d,]+ and [\d,]+ bytes more (FLASH|RAM) than the target's [\d,]+",
        ),
    ],
)
def test_a_program_too_large_for_the_target(project: Project, edits: list[tuple[str, str]], text: str) -> None:
    done = with_target(project, *edits).build("target=small", "model=dense")
    assert done.status == 2
    assert re.fullmatch(TOO_LARGE.format(text), done.stderr), done.stderr
    assert not list((project.top / "build/dense/small").glob("*.elf"))
    assert {row["stage"] for row in project.last_build() if row["result"] == "failed"} == {"link dense.trace.elf"}


def test_other_link_errors_are_shown_whole(project: Project) -> None:
    project = with_target(project, ("-nolibc", "-Wl,--no-such-flag"))
    done = project.build("target=small", "model=dense")
    assert done.status == 2
    assert "unrecognized option '--no-such-flag'" in done.stderr
    assert (
        "[dense small] link dense.trace.elf failed with status 1; to repeat it alone: arm-none-eabi-gcc " in done.stdout
    )


def test_memory_that_nobody_says(project: Project) -> None:
    done = with_target(project, ('ram = "4 MB"\n', "")).build("target=small", "model=dense")
    line = "toolchains/small.toml: [memory] has no ram; say how much there is for the linker script to place\n"
    assert (done.status, done.stderr) == (2, line)


def test_another_size_links_again(project: Project) -> None:
    project = with_target(project)
    elf = "build/dense/small/dense.check.elf"
    assert project.build("target=small", "model=dense", elf).status == 0
    project.edit("toolchains/small.toml", 'ram = "4 MB"', 'ram = "2 MB"')
    assert project.build("target=small", "model=dense", elf).status == 0
    assert "dense link dense.check.elf" in project.compiled()
    seconds = {row["stage"]: float(row["seconds"]) for row in project.last_build()}
    assert seconds["link dense.check.elf"] > 0
