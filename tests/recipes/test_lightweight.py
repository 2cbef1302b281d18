"""docs/lightweight.md is true: its tables have every option, its text every method, and its recipes work."""

import re
from pathlib import Path

import pytest

from nnrules.catalog import pruners, quantizers
from nnrules.catalog.reference import TABLES, renewed, table, written
from tests.recipes.test_readme import LISTING, passed, with_tests
from tests.rules.project import TOP, Project

PAGE = (TOP / "docs/lightweight.md").read_text(encoding="utf-8")


def _table(step: str) -> str:
    return PAGE[PAGE.index(f"| `{step}` |") :].partition("\n\n")[0]


def test_the_tables_are_those_of_the_stages() -> None:
    assert renewed(PAGE) == PAGE, "run `python -m nnrules.catalog.reference docs/lightweight.md`"


@pytest.mark.parametrize("step", TABLES)
def test_every_option_is_described(step: str) -> None:
    found = written(_table(step))
    assert found.keys() == written(table(step, {})).keys()
    assert not [name for name, meaning in found.items() if not meaning]


def test_an_option_that_is_new_and_one_that_is_gone_are_seen() -> None:
    line = next(each for each in _table("Train").splitlines() if "`k_i`" in each)
    for other in ("", f"{line}\n{line.replace('k_i', 'k_x')}\n"):
        changed = PAGE.replace(f"{line}\n", other)
        assert changed != PAGE
        assert renewed(changed) != changed
    assert written(renewed(PAGE.replace(f"{line}\n", "")))["k_i"] == ""
    assert renewed(PAGE.replace("`0.9`", "`0.8`", 1)) == PAGE


def test_every_method_has_a_chapter_or_a_line() -> None:
    training = TOP / "nnrules/training"
    files = [*training.glob("optimizers/[!_]*.py"), *training.glob("schedules/[!_]*.py")]
    names = [*(each.stem for each in files), *pruners.methods(), *quantizers.methods()]
    heads = re.findall(r"^(?:### |\| )`(\w+)`", PAGE, re.MULTILINE)
    schedules = PAGE.partition("### Schedules")[2].partition("\n#")[0]
    for name in names:
        assert name in heads or f"`{name}`" in schedules, f"{name} is not in docs/lightweight.md"


def test_methods_of_ones_own(tmp_path: Path) -> None:
    project = with_tests(Project.create(tmp_path / "project"))
    listings = dict(LISTING.findall(PAGE))
    assert set(listings) == {"nnrules/compress/pruners/rows.py", "nnrules/compress/quantizers/half.py"}
    for name, text in listings.items():
        (project.top / name).write_text(text)
    tests = ("tests/compress/test_pruners.py", "tests/compress/test_after_training.py")
    assert passed(project, *tests, "-k", "(contract and rows) or (ranges and half)") == 4
