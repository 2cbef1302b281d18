"""`scons study`: variants of a model, rows of several seeds, and the tables."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.needs import need_target
from tests.rules.project import TOP, Project

METHODS = ("lsq", "qil", "pact", "dorefa")
PRUNERS = ("magnitude", "channel", "pointwise", "spatial")
STUDY = """Import("env")

study = env.Study("docs/study", title="Bars", notes="Of two seeds.")
tiny = env.Model("tiny", network="#models/tiny/network.py:Tiny", dataset="#models/tiny/dataset.py:Bars")
checks = {"sample": {"count": 4}, "verify": {"host_samples": 4, "target_samples": 1}}
for seed in (1, 2):
    trained = tiny.Variant(f"s{seed}").Train(epochs=1, batch_size=16, seed=seed)
    study.Row(trained.Variant("float").Quantize("minmax"), "tiny", "float", **checks)
    narrow = trained.Variant("lsq").Quantize("lsq", weight_bits=4, activation_bits=4, epochs=1)
    study.Row(narrow, "tiny", "lsq", 4, 4, **checks)
"""


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose study is wrong."""
    return with_study(tmp_path_factory.mktemp("refusing") / "project")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project with a study; not built."""
    return with_study(tmp_path / "project")


def with_study(top: Path) -> Project:
    """In a new folder."""
    project = Project.create(top)
    (project.top / "benchmarks/study").mkdir(parents=True)
    (project.top / "benchmarks/study/SConscript").write_text(STUDY)
    return project


def figures(project: Project, variant: str) -> dict[str, float]:
    """What was measured of a variant."""
    path = project.top / f"build/study/{variant}/cortex-m7/{variant}.measured.json"
    found: dict[str, float] = json.loads(path.read_text())
    return found


def test_a_row_is_a_target_and_a_study_has_all(project: Project) -> None:
    need_target("cortex-m7")
    done = project.build("study:tiny-float")
    assert done.status == 0, done.stdout + done.stderr
    assert "lsq" not in done.stdout
    assert not (project.top / "docs").exists()
    first = done.stdout
    done = project.build("study")
    assert done.status == 0, done.stdout + done.stderr
    assert "[tiny-s1] train" in first
    assert "[tiny-s1] train" not in done.stdout
    rows = json.loads((project.top / "docs/study.json").read_text())["rows"]
    assert [(row["method"], row["weight_bits"], row["seeds"], row["differing"]) for row in rows] == [
        ("float", 32, 2, 0),
        ("lsq", 4, 2, 0),
    ]
    both = [figures(project, f"tiny-s{seed}-lsq") for seed in (1, 2)]
    scores = [each["metric"]["integer"] for each in both]  # type: ignore[index]
    assert rows[1]["metric_mean"] == pytest.approx(sum(scores) / 2)
    assert rows[1]["metric_std"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert rows[1]["instructions"] == round(sum(each["instructions"] for each in both) / 2)
    assert rows[0]["instructions"] is None
    tables = (project.top / "docs/study.md").read_text()
    assert tables.startswith("# Bars\n\nOf two seeds.\n\n## tiny\n")
    assert tables.strip() in done.stdout
    assert (project.top / "docs/study.svg").read_text().count("<svg") == 1
    done = project.build("study")
    assert done.status == 0
    assert "is up to date" in done.stdout


def test_what_leaves_something_out_stays_in_the_build(project: Project) -> None:
    done = project.build("-n", "study", "target=x86-64")
    assert done.status == 0, done.stdout + done.stderr
    listed = project.build("-n", "--tree=all", "study", "target=x86-64").stdout
    assert "build/study/study.json" in listed
    assert "docs/study.json" not in listed


ROW = 'study.Row(trained.Variant("a").Quantize("minmax"), '


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('study.Row(trained, "tiny", "lsq")', "a row needs a quantized model; give it what Quantize returned"),
        ('trained.Variant("lsq")', "there are two models 'tiny-s2-lsq'; rename one of them"),
        (f'{ROW}"tiny", "minmax", "4")', "row option 'weight_bits': '4' is not a whole number; correct the value"),
        (
            f'{ROW}"tiny", "minmax", sparsity=50)',
            "row option 'sparsity': 50 is out of range; choose 0 or more and less than 1",
        ),
        (f'{ROW}"tiny", "a/b")', "row option 'method': 'a/b' is no name; write letters, digits and _ . + -"),
        (
            f'{ROW}"tiny", "a+b"); study.Row(narrow, "tiny", "a-b")',
            "rows of a+b and a-b would both be called tiny-a-b-w8a8; call one of them otherwise",
        ),
        ('env.Study("")', 'the study has no file; name one, without its ending, like "docs/study"'),
        ('env.Study("docs/other")', "the study has no rows; enter some by Row()"),
    ],
)
def test_what_is_no_row_is_refused(refusing: Project, text: str, line: str) -> None:
    (refusing.top / "benchmarks/study/SConscript").write_text(f"{STUDY}{text}\n")
    done = refusing.build("-n", "study")
    assert done.status == 2
    assert done.stderr.splitlines()[-1] == f"benchmarks/study/SConscript:11: {line}"


@pytest.fixture(scope="module")
def shipped() -> dict[str, dict[str, Any]]:
    """The rows of docs/study.json, named as the build calls them."""
    rows: list[dict[str, Any]] = json.loads((TOP / "docs/study.json").read_text())["rows"]
    return {named(row): row for row in rows}


def named(row: dict[str, Any]) -> str:
    """As the build calls it."""
    width = "" if row["method"] == "float" else f"-w{row['weight_bits']}a{row['activation_bits']}"
    sparsity = f"-{100 * row['sparsity']:g}" if row["sparsity"] else ""
    return f"{row['model']}-{row['method']}{sparsity}{width}".replace("+", "-")


@pytest.fixture
def study(tmp_path: Path) -> Project:
    """The study that is shipped, and what it needs; not built."""
    project = Project.create(tmp_path / "project")
    shutil.rmtree(project.top / "models")
    for folder in ("models/mnist", "models/facedet", "benchmarks/study"):
        shutil.copytree(TOP / folder, project.top / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return project


def test_the_study_that_is_shipped_has_all_its_rows(study: Project, shipped: dict[str, dict[str, Any]]) -> None:
    """Each from three seeds."""
    done = study.build("-n", "study")
    assert done.status == 0, done.stdout + done.stderr
    planned = re.findall(r"^\[(.*)\] row: run$", done.stdout, re.MULTILINE)
    assert sorted(planned) == sorted(shipped)
    methods = {f"mnist-{each}-w{bits}a{bits}" for each in METHODS for bits in (8, 4, 3, 2)}
    pruned = {f"mnist-{each}-{part}-w8a8" for each in PRUNERS for part in (50, 75, 90)}
    pruned |= {"mnist-pointwise-by-layer-75-w8a8"}
    both = {f"mnist-{each}-lsq-75-w4a4" for each in PRUNERS}
    found = {each for each in planned if each.startswith("mnist-")}
    assert found == {"mnist-float", "mnist-ptq-w8a8"} | methods | pruned | both
    assert len(planned) - len(found) == 8
    for name in planned:
        model, _, rest = name.partition("-")
        bits = "" if rest != "float" else "-w8a8"
        runs = [f"[{model}-s{seed}-{rest}{bits} cortex-m7] measure: run" for seed in (1, 2, 3)]
        assert all(each in done.stdout for each in runs), name


def test_two_rows_of_it(study: Project, shipped: dict[str, dict[str, Any]]) -> None:
    """Hardly trained, from one seed."""
    need_target("cortex-m7")
    script = "benchmarks/study/SConscript"
    study.edit(script, r"SEEDS = .*", "SEEDS = (1,)")
    study.edit(script, r'"mnist": {"epochs": 100', '"mnist": {"epochs": 1')
    study.edit(script, r"2: 20,", "2: 1,")
    names = ["mnist-ptq-w8a8", "mnist-dorefa-w2a2"]
    done = study.build(*(f"study:{name}" for name in names))
    assert done.status == 0, done.stdout + done.stderr
    for name in names:
        row = json.loads((study.top / f"build/study/{name}/{name}.row.json").read_text())
        assert row.keys() == shipped[name].keys()
        assert (row["seeds"], row["differing"], row["macs"]) == (1, 0, shipped[name]["macs"])
        assert 0.1 < row["metric_mean"] < shipped[name]["metric_mean"]


def test_what_was_studied_is_exact(shipped: dict[str, dict[str, Any]]) -> None:
    assert {(row["seeds"], row["differing"]) for row in shipped.values()} == {(3, 0)}


def test_few_bits_cost_little(shipped: dict[str, dict[str, Any]]) -> None:
    """On digits of which a float network gets at most 96 % right."""
    mean = {name: row["metric_mean"] for name, row in shipped.items()}
    exact = mean["mnist-float"]
    assert exact <= 0.96
    for bits, most in ((8, 0.005), (4, 0.005), (2, 0.02)):
        assert max(mean[f"mnist-{each}-w{bits}a{bits}"] for each in METHODS) >= exact - most, bits


def test_vectors_cost_less_than_channels(shipped: dict[str, dict[str, Any]]) -> None:
    """At the same number of products, and little where all of a network's vectors are weighed against each other."""
    vectors, channels = shipped["mnist-pointwise-by-layer-75-w8a8"], shipped["mnist-channel-50-w8a8"]
    assert vectors["macs"] == pytest.approx(channels["macs"], rel=0.03)
    assert vectors["metric_mean"] > channels["metric_mean"]
    assert shipped["mnist-pointwise-75-w8a8"]["metric_mean"] >= shipped["mnist-float"]["metric_mean"] - 0.01


def test_what_is_skipped_is_saved(shipped: dict[str, dict[str, Any]]) -> None:
    """At 75 and 90 %, against a program with Winograd's kernels where they are faster; at 50 % it is a little less."""
    dense = shipped["mnist-ptq-w8a8"]
    for name in (
        "mnist-spatial-75-w8a8",
        "mnist-spatial-90-w8a8",
        "mnist-pointwise-75-w8a8",
        "mnist-pointwise-90-w8a8",
    ):
        saved = {each: 1 - shipped[name][each] / dense[each] for each in ("instructions", "macs")}
        assert saved["instructions"] >= 0.7 * saved["macs"], name
