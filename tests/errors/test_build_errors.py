"""Mistakes in words of the command line and in SConscripts: one line each, exit code 2, before anything runs."""

import shutil
from pathlib import Path

import pytest

from tests.rules.project import Project

TINY = 'tiny = env.Model("tiny", network="network.py:Tiny", dataset="dataset.py:Bars")\n'


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with nothing built."""
    return Project.create(tmp_path_factory.mktemp("fresh") / "project")


def refused(project: Project, *words: str, path: str | None = None) -> str:
    """The one line of a build that must be refused before any stage runs."""
    done = project.build(*words, path=path)
    assert done.status == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.rstrip("\n")


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("modle=tiny", "modle=tiny: there is no such variable; did you mean 'model'?"),
        (
            "epochs=3",
            "epochs=3: there is no such variable; choose from build_dir, cache, data, model, onnx, samples, target, "
            "or MODEL.STAGE.OPTION as in dense.train.epochs=3",
        ),
        ("model=tinny", "model=tinny: there is no model 'tinny'; did you mean 'tiny'?"),
        ("model=tiny,zzz", "model=tiny,zzz: there is no model 'zzz'; choose from dense, tiny"),
        ("target=cortex-m8", "target=cortex-m8: there is no target 'cortex-m8'; did you mean 'cortex-m7'?"),
        ("data=nowhere", "data=nowhere: there is no such folder; correct the path"),
        ("data=..", "data=..: the folder holds this project; name a folder of nothing but data"),
        ("build_dir=", "build_dir=: is the project's own folder; name one that holds nothing else"),
        ("build_dir=SConstruct", "build_dir=SConstruct: cannot be written (File exists); choose another folder"),
        ("tiny.gate.ram=many", 'tiny.gate.ram=many: \'many\' is not a size; write it like "48 KB", "4 MB" or 65536'),
        (
            "tiny.plan.ram=LEAST",
            "tiny.plan.ram=LEAST: 'LEAST' is not a size; "
            'write it like "48 KB", "4 MB" or 65536, or say least, or say little',
        ),
        (
            "tiny.plan.stream=on",
            "tiny.plan.stream=on: plan option 'stream': 'on' is none of its values; choose from auto, off",
        ),
        (
            "tiny.train.learning_rat=1",
            "tiny.train.learning_rat=1: train has no option 'learning_rat'; did you mean 'learning_rate'?",
        ),
        (
            "tiny.train.epochs=many",
            "tiny.train.epochs=many: train option 'epochs': 'many' is not a whole number; correct the value",
        ),
        ("tiny.quantise.samples=1", "tiny.quantise.samples=1: tiny has no stage 'quantise'; did you mean 'quantize'?"),
        ("tinny.train.epochs=1", "tinny.train.epochs=1: no model 'tinny' is built; did you mean 'tiny'?"),
        ("train.epochs=1", "train.epochs=1: is not an option of a stage; write model.stage.option=value"),
        (
            "tiny.quantize.method=percentil",
            "tiny.quantize.method=percentil: quantize has no method 'percentil'; did you mean 'percentile'?",
        ),
    ],
)
def test_command_line(fresh: Project, word: str, line: str) -> None:
    assert refused(fresh, word) == line


@pytest.mark.parametrize(
    ("option", "value", "fault"),
    [
        ("train.epochs", "-1", "-1 is out of range; choose 0 or more"),
        ("train.batch_size", "0", "0 is out of range; choose 1 or more"),
        ("train.learning_rate", "-0.1", "-0.1 is out of range; choose more than 0"),
        ("train.learning_rate", "nan", "nan is out of range; choose more than 0"),
        ("train.learning_rate", "inf", "inf is not a finite number; choose more than 0"),
        ("train.weight_decay", "-1", "-1 is out of range; choose 0 or more"),
        ("train.threads", "0", "0 is out of range; choose 1 or more"),
        ("prune.sparsity", "1", "1 is out of range; choose 0 or more and less than 1"),
        ("prune.norm", "3", "3 is out of range; choose 1 or more and at most 2"),
        ("quantize.samples", "0", "0 is out of range; choose 1 or more"),
        ("quantize.percentile", "200", "200 is out of range; choose more than 50 and at most 100"),
        ("quantize.layers", "fc:4", "'fc:4' is no table; write NAME:BITS:BITS,... of weights and inputs"),
        (
            "quantize.layers",
            "fc:4:9",
            "{'fc': (4, 9)} is out of range; choose 1 or more and at most 8, then 2 or more and at most 8",
        ),
        ("sample.count", "0", "0 is out of range; choose 1 or more"),
        ("verify.host_samples", "-1", "-1 is out of range; choose 1 or more"),
        ("verify.target_samples", "-1", "-1 is out of range; choose 0 or more"),
        ("measure.timeout", "0", "0 is out of range; choose more than 0"),
        ("gate.instructions", "-1", "-1 is out of range; choose 0 or more"),
        ("gate.metric_at_least", "nan", "nan is not a finite number; choose a finite number"),
    ],
)
def test_numbers_out_of_range(fresh: Project, option: str, value: str, fault: str) -> None:
    verb, name = option.split(".")
    word = f"tiny.{option}={value}"
    assert refused(fresh, "model=tiny", word) == f"{word}: {verb} option {name!r}: {fault}"


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("tiny.train.momentum=0.5", "adamw does not use momentum; it is for pid, sgd"),
        ("tiny.train.patience=2", "patience has no effect; say validation=0.2 or the like too"),
    ],
)
def test_options_without_effect(fresh: Project, word: str, fault: str) -> None:
    assert refused(fresh, "model=tiny", word) == f"{word}: {fault}"


SCRIPTS = [
    (
        'm.Train().Quantize("percentile", percentle=1)',
        "HERE: quantize has no option 'percentle'; did you mean 'percentile'?",
    ),
    (
        'm.Train(epochs="ten")',
        "HERE: train option 'epochs': 'ten' is not a whole number; correct the value",
    ),
    (
        "m.Train(learning_rate=0)",
        "HERE: train option 'learning_rate': 0 is out of range; choose more than 0",
    ),
    (
        "m.Train().Prune(sparsity=1.5)",
        "HERE: prune option 'sparsity': 1.5 is out of range; choose 0 or more and less than 1",
    ),
    (
        "m.Train(k_i=3)",
        "HERE: adamw does not use k_i; it is for pid",
    ),
    (
        'm.Train().Prune("channel", sparsity=0.5, optimizer="sgd", dampening=0.5)',
        "HERE: sgd does not use dampening; it is for pid",
    ),
    (
        "m.Train(patience=3)",
        "HERE: patience has no effect; say validation=0.2 or the like too",
    ),
    ("m.Train(temperature=2)", "HERE: temperature has no effect; say teacher too"),
    (
        "m.Train().Quantize('minmax', temperature=2)",
        "HERE: minmax does not use temperature; it is for dorefa, lsq, pact, qil",
    ),
    (
        'm.Train(outputs=["history.json"])',
        "HERE: outputs has no effect; say script too: they are what a script writes",
    ),
    (
        'm.Train().Quantize("lsq", method="qil")',
        "HERE: multiple values for argument 'method'; the arguments are method",
    ),
    (
        "env.Search(m)",
        "HERE: missing a required argument: 'space'; the arguments are step, space, budget, train, prune, quantize",
    ),
    (
        'env.Model("bad2", network="network.py:Tiny", dataset="dataset.py:Bars", weight="a.pth")',
        "HERE: there is no argument 'weight'; did you mean 'weights'?",
    ),
    (
        'm.Train().Prune("channel", n=4)',
        "HERE: channel does not use n; it is for pointwise",
    ),
    (
        'm.Train().Prune("channel", sparsity=0.5).Prune("magnitude", sparsity=0.5)',
        'HERE: MODEL has a prune already; give this one a variant: .Variant("name") before it',
    ),
    (
        'm.Train().Prune("spatial", round_to=8)',
        "HERE: spatial does not use round_to; it is for channel",
    ),
    (
        'm.Train().Prune("spatial", sparsity=0.5, scope="lamp")',
        "HERE: spatial has no scope 'lamp'; choose from layer, global",
    ),
    (
        "m.Train().Quantize().Firmware(verify={'host_samples': 0})",
        "HERE: verify option 'host_samples': 0 is out of range; choose 1 or more",
    ),
    (
        'm.Train().Quantize("lsq", weight_bits=1)',
        "HERE: lsq has no 1-bit weights; choose 2, 3, 4, 8",
    ),
    (
        'm.Train().Quantize("lsq", layers={"fc": (1, 4)})',
        "HERE: layer 'fc': lsq has no 1-bit weights; choose 2, 3, 4, 8",
    ),
    (
        'm.Train().Quantize("ptq", weight_bits=4, activation_bits=5)',
        "HERE: ptq has no 5-bit inputs; choose 2, 3, 4, 8",
    ),
    (
        'm.Train().Quantize("lsq", rounding="adaptive")',
        "HERE: lsq does not use rounding; it is for entropy, minmax, mse, percentile, ptq",
    ),
    (
        'm.Train().Quantize("lsq", clip_decay=0.1)',
        "HERE: lsq does not use clip_decay; it is for pact",
    ),
    (
        'm.Train().Quantize("minmax", epochs=3)',
        "HERE: minmax does not use epochs; it is for dorefa, lsq, pact, qil",
    ),
    (
        'm.Train().Quantize("minmax", range="mse")',
        "HERE: minmax does not use range; it is for ptq",
    ),
    (
        'm.Train().Quantize("minmax", rounding="adaptive")',
        "HERE: rounding has no effect; say weight_bits, fewer than 8, too",
    ),
    (
        'm.Train().Quantize("ptq", percentile=99)',
        "HERE: percentile has no effect; say range='percentile' too",
    ),
    (
        'm.Train().Quantize("mixed_precision")',
        'HERE: mixed_precision has no limit; say size="20 KB" or the like',
    ),
    (
        'm.Train().Quantize("mixed_precision", size="20 KB", target="cortex-m55")',
        "HERE: target has no effect; say instructions too",
    ),
    (
        'm.Train().Quantize("mixed_precision", instructions=500000, target="cortex-m77")',
        "target=cortex-m77: there is no such target; did you mean 'cortex-m7'?",
    ),
    (
        'm.Train().Quantize("mixed_precision", size="20 KB", base="lsk")',
        "HERE: mixed_precision has no base 'lsk'; did you mean 'lsq'?",
    ),
    (
        'm.Train().Quantize("mixed_precision", size="20 KB", weight_bits=4)',
        "HERE: mixed_precision does not use weight_bits; "
        "it is for dorefa, dynamic_qformat, entropy, lsq, minmax, mse, pact, percentile, ptq, qil",
    ),
    (
        'm.Train().Quantize("minmax", seed=2)',
        "HERE: seed has no effect; say rounding='adaptive' too",
    ),
    (
        'm.Train().Quantize("percentil")',
        "HERE: quantize has no method 'percentil'; did you mean 'percentile'?",
    ),
    ("m.Trian()", "HERE: model has no step 'Trian'; did you mean 'Train'?"),
    (
        "m.Train().Firmware()",
        "HERE: trained has no step 'Firmware'; choose from Prune, Quantize, Variant",
    ),
    (
        "m.Train().Quantize().Firmware(verifi={})",
        "HERE: Firmware has no option 'verifi'; did you mean 'verify'?",
    ),
    (
        'm.Train().Quantize().Firmware(aplication=["main.c"])',
        "HERE: Firmware has no option 'aplication'; did you mean 'application'?",
    ),
    ('Budget(rom="1 KB")', "HERE: Budget has no limit 'rom'; did you mean 'ram'?"),
    (
        'Budget(ram="48 kilobytes")',
        'HERE: \'48 kilobytes\' is not a size; write it like "48 KB", "4 MB" or 65536',
    ),
    (
        'm.Train().Quantize().Firmware(budget=Budget(metric_drop="2 %"))',
        "HERE: gate option 'metric_drop': '2 %' is not a number; correct the value",
    ),
    (
        'm.Train().Quantize().Firmware(application=["other/main.c", "main.c"])',
        "HERE: two C files are named 'main.c'; rename one of them",
    ),
    (
        'm.Train().Quantize().Firmware(application=["mian.c"])',
        "HERE: there is no file models/bad/mian.c; create it or correct the name",
    ),
]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a build says about each of SCRIPTS."""
    project = with_script(Project.create(tmp_path_factory.mktemp("refused") / "project"), "")
    return project.refusals([text for text, _ in SCRIPTS])


@pytest.mark.parametrize("number", range(len(SCRIPTS)), ids=[text for text, _ in SCRIPTS])
def test_sconscript(refusals: list[str], number: int) -> None:
    line = SCRIPTS[number][1].replace("MODEL", f"bad{number}")
    assert refusals[number] == line.replace("HERE", "models/bad/SConscript:4")


def test_options_of_pruners_are_theirs(fresh: Project) -> None:
    """Values other than the defaults of options that the method has are not refused, whatever the optimizer is."""
    options = '"pointwise", sparsity=0.5, n=4, scope="global", importance="skeleton", optimizer="pid", k_i=3'
    done = with_script(fresh, f"{TINY}tiny.Train().Prune({options}).Quantize()\n").build("-n", "model=bad")
    assert done.status == 0, done.stderr


LONG = "a" * 49


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (LONG, f"the model name {LONG!r} has 49 characters; use at most 48"),
        ("2fast", "'2fast' is not a model name; start with a letter and use letters, digits, '-', '_' and '.'"),
        ("a b", "'a b' is not a model name; start with a letter and use letters, digits, '-', '_' and '.'"),
        ("Tiny", "the model names 'tiny' and 'Tiny' both become TINY in C; rename one of them"),
        ("tiny", "there are two models 'tiny'; rename one of them"),
    ],
)
def test_model_names(fresh: Project, name: str, fault: str) -> None:
    script = TINY + f'env.Model("{name}", network="network.py:Tiny", dataset="dataset.py:Bars")\n'
    assert refused(with_script(fresh, script), "model=bad") == f"models/bad/SConscript:4: {fault}"


@pytest.mark.parametrize(
    ("network", "fault"),
    [
        ("netwrk.py:Tiny", "there is no file models/bad/netwrk.py; create it or correct the name"),
        ("network.py", "'network.py' is not a reference to a class; write it like \"network.py:Net\""),
    ],
)
def test_references(fresh: Project, network: str, fault: str) -> None:
    script = f'env.Model("bad", network="{network}", dataset="dataset.py:Bars")\n'
    assert refused(with_script(fresh, script), "model=bad") == f"models/bad/SConscript:3: {fault}"


@pytest.mark.parametrize(
    ("target", "missing", "line"),
    [
        (
            "cortex-m7",
            "arm-none-eabi-gcc",
            "compiler arm-none-eabi-gcc is not installed; apt-get install gcc-arm-none-eabi",
        ),
        ("cortex-m7", "qemu-system-arm", "emulator qemu-system-arm is not installed; apt-get install qemu-system-arm"),
        (
            "riscv32",
            "qemu-system-riscv32",
            "emulator qemu-system-riscv32 is not installed; apt-get install qemu-system-misc",
        ),
        ("x86-64", "gcc", "compiler gcc is not installed; apt-get install gcc"),
    ],
)
def test_missing_tools(fresh: Project, tmp_path: Path, target: str, missing: str, line: str) -> None:
    tools = {"gcc", "arm-none-eabi-gcc", "riscv64-unknown-elf-gcc", "qemu-system-arm", "qemu-system-riscv32"}
    for tool in tools - {missing}:
        (tmp_path / tool).symlink_to(shutil.which("true") or "/bin/true")
    assert refused(fresh, f"target={target}", path=str(tmp_path)) == f"target={target}: the {line}"


def test_a_broken_toolchain(fresh: Project) -> None:
    path = fresh.top / "toolchains/broken.toml"
    path.write_text('[target]\ndescription = "x"\nias = []\n')
    line = "toolchains/broken.toml: [target] has no key 'ias'; did you mean 'isa'?"
    assert refused(fresh, "target=broken") == line
    path.unlink()


def with_script(project: Project, text: str) -> Project:
    """The project with a model `bad`, whose SConscript has two lines above `text`."""
    folder = project.top / "models/bad"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(project.top / "models/tiny", folder)
    (folder / "other").mkdir()
    for name in ("main.c", "other/main.c"):
        (folder / name).touch()
    (folder / "SConscript").write_text('Import("env", "Budget")\n\n' + text)
    return project


@pytest.fixture(autouse=True)
def without_bad(fresh: Project) -> None:
    """No leftover of another test."""
    shutil.rmtree(fresh.top / "models/bad", ignore_errors=True)
