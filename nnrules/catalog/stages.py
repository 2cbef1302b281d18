"""The stages: options, version, and the libraries whose versions belong to the signature.

A stage's `version` is raised when its meaning changes although no Python
file of it did (an outside tool, a file format).
"""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from nnrules.catalog.space import Parameter

Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[float, Meta(ge=0)]
AboveZero = Annotated[float, Meta(gt=0)]
Bits = Annotated[int, Meta(ge=1, le=8)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stage's options; every field has a default, so that a stage runs from an empty `{}`. `without_effect`: those
    for which no output is made again."""

    without_effect: ClassVar[tuple[str, ...]] = ()


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    """Of an option."""
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


class Recipe(Options, frozen=True):
    """How training goes. `optimizer`, `schedule`: see training/optimizers and training/schedules; `momentum` is that of
    sgd and pid, `dampening`, `k_i` and `k_d` are pid's. `warmup_epochs`: the learning rate rises over these, then
    follows the schedule. `gradient_clip`: largest L2 norm of all gradients together, 0: no limit. `average`: share that
    an exponential moving average of the weights keeps at each step, 0: the weights themselves are the result.
    `label_smoothing`: share of the target that all classes get alike, for outputs that are logits of classes.

    `validation`: share of the training items that is kept apart; `patience`: epochs without a lower loss on these after
    which training ends, with the weights of the best one; 0: all epochs.

    `teacher`: whose outputs are learnt beside the targets, see training/distillation.py: "self", the network as it was
    before this stage, or a step of the SConscript, which becomes "other"; `teacher_share`: of the loss, the rest is the
    network's own; `temperature`: by which logits of classes are divided for it.

    `precision`: of the arithmetic, where autocast allows it (fp16 needs a GPU). `devices`, `nodes`: processes in all
    are their product; each takes its part of every batch. `strategy`: how they work together. `launcher`, `rendezvous`:
    who starts them, see training/launchers.py. `threads`: torch threads; part of the options because trained weights
    depend on it. `workers`: processes that prepare batches; the weights do not depend on it."""

    without_effect: ClassVar[tuple[str, ...]] = ("launcher", "rendezvous", "workers")

    batch_size: Positive = 32
    learning_rate: AboveZero = 0.003
    optimizer: str = "adamw"
    schedule: str = "cosine"
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    dampening: Annotated[float, Meta(ge=0, le=1)] = 0.0
    k_i: NotNegative = 5.0
    k_d: NotNegative = 10.0
    weight_decay: NotNegative = 0.01
    warmup_epochs: NotNegative = 1.0
    gradient_clip: NotNegative = 5.0
    average: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    validation: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    patience: Natural = 0
    teacher: Literal["none", "self", "other"] = "none"
    teacher_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    temperature: AboveZero = 4.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    devices: Positive = 1
    nodes: Positive = 1
    strategy: Literal["ddp"] = "ddp"
    launcher: Literal["spawn", "torchrun", "srun", "kubernetes"] = "spawn"
    rendezvous: str = ""
    seed: Natural = 1
    threads: Positive = 1
    workers: Natural = 1


class TrainOptions(Recipe, frozen=True):
    """`epochs`: passes over the training split."""

    epochs: Natural = 24


class LoadOptions(Options, frozen=True):
    """None."""


class ScriptOptions(Options, frozen=True):
    """`seed`, `threads`: what the user's script is told, see stages/script.py; `words`: its arguments."""

    seed: Natural = 1
    threads: Positive = 1
    words: tuple[str, ...] = ()


class SeedOptions(Options, frozen=True):
    """`seed`: what the weights follow from."""

    seed: Natural = 0


class ConvertOptions(Options, frozen=True):
    """`count`: how many inputs are drawn where no samples are given; `timeout`: seconds that reading may take."""

    without_effect: ClassVar[tuple[str, ...]] = ("timeout",)

    count: Positive = 64
    timeout: AboveZero = 300.0


class PruneOptions(Recipe, frozen=True):
    """`method`: see compress/pruners; each has its own of the options. `sparsity`: share of what the method removes
    (channels, weights, vectors of weights; multiplications with spatial), 0 <= sparsity < 1; it rises over the share
    `ramp` of the `retrain_epochs`. `norm`: 1 or 2, by which they are compared, within each layer or (`scope`) over all,
    with "lamp" as shares of what is not lower in their layer. `n`: input channels of a vector, 0: all. `importance`:
    "skeleton" compares vectors by a factor that each learns under an L1 penalty, of `skeleton_penalty`. `skip`: layers
    whose filters stay. What remains of channels is rounded up to a multiple of `round_to`."""

    method: str = "channel"
    sparsity: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    norm: Annotated[int, Meta(ge=1, le=2)] = 1
    scope: Literal["layer", "global", "lamp"] = "layer"
    n: Natural = 0
    importance: Literal["norm", "skeleton"] = "norm"
    skeleton_penalty: NotNegative = 0.0001
    skip: tuple[str, ...] = ()
    ramp: Annotated[float, Meta(ge=0, le=1)] = 0.5
    round_to: Positive = 4
    retrain_epochs: Natural = 6
    learning_rate: AboveZero = 0.001
    warmup_epochs: NotNegative = 0.5


class ExportOptions(Options, frozen=True):
    """None."""


class QuantizeOptions(Recipe, frozen=True):
    """`method`: see compress/quantizers. `weight_bits`, `activation_bits`: of the weights and inputs of convolutions
    and fully connected layers, but for the weights of the first layer and the last one, which have `first_bits` and
    `last_bits`, and what the first one sees, which has 8. `layers`: bits of the weights and inputs of single layers;
    `skip`: layers that have 8 of both, from calibration whatever the method is. `per_channel`: scales of weights by
    output channel; None: for all methods but qil, pact and dorefa. `symmetric`: the levels of activations that
    have values below zero lie alike on both sides of it.

    After training, `samples`: how many training images calibrate; `range`: how method ptq chooses the ranges of
    activations; `percentile`: percent of these kept inside, either tail counted alone; `equalize`: even out the
    channels of neighbouring layers; with fewer than 8 bits, `rounding`: of the weights, and `correct_bias`: for what
    that adds. Method dynamic_qformat has `formats` formats, each of twice the range of the one before, the last
    `brighter` of them beyond the range of the training images. With a method that trains, `epochs` and the rest of the
    recipe; `clip_decay`: of PACT's alpha; `progressive_epochs`: how many of them QIL spends at each width from 5 bits
    down to the one wanted, 0: it begins with that.

    Mixed precision: `base`: the method that has the bits then; `size`: bytes that all weights may take; `instructions`:
    that an inference may take on `target`, by the costs that its kernels were measured to have on whole tensors."""

    method: str = "percentile"
    weight_bits: Bits = 8
    activation_bits: Annotated[int, Meta(ge=2, le=8)] = 8
    first_bits: Bits = 8
    last_bits: Bits = 8
    skip: tuple[str, ...] = ()
    layers: dict[str, tuple[Bits, Annotated[int, Meta(ge=2, le=8)]]] = {}
    per_channel: bool | None = None
    symmetric: bool = False
    range: Literal["minmax", "percentile", "mse", "entropy"] = "mse"
    equalize: bool = False
    rounding: Literal["nearest", "adaptive"] = "nearest"
    correct_bias: bool = True
    percentile: Annotated[float, Meta(gt=50, le=100)] = 99.99
    samples: Positive = 256
    formats: Annotated[int, Meta(ge=2, le=16)] = 7
    brighter: Natural = 2
    epochs: Positive = 8
    learning_rate: AboveZero = 0.001
    warmup_epochs: NotNegative = 0.5
    clip_decay: NotNegative = 0.0002
    progressive_epochs: Natural = 0
    base: str = "lsq"
    size: Positive | None = None
    instructions: Positive | None = None
    target: str = "cortex-m7"


class SearchOptions(Options, frozen=True):
    """`space`: what is chosen; `train`, `prune`, `quantize`: the options of the stages that a trial has, with what is
    chosen in their place; None: it has none of that kind. The metric to be maximized is that of the items that the
    dataset's split "validation" has, or of the first `validation` (a share) of its training split, which trials do not
    train on.

    `minimize`: a second objective; "instructions": those of `target` as its plan estimates them. Of the trials that no
    other beats in both, the winner is then the smallest whose metric is at most `drop` below the best.

    The study is over after so many `trials`, or once they took so many `seconds` or `epochs`, all of them together.
    `sampler`, `pruner`: see training/search; with a second objective no trial ends early. `jobs`: trials at a time;
    with more than one, what is drawn depends on which is done first. `storage`: URL of a database, or $NAME of the
    environment variable that holds it; empty: a file in .nnrules/studies."""

    without_effect: ClassVar[tuple[str, ...]] = ("jobs", "storage")

    space: tuple[Parameter, ...] = ()
    train: TrainOptions | None = None
    prune: PruneOptions | None = None
    quantize: QuantizeOptions | None = None
    validation: Annotated[float, Meta(gt=0, lt=1)] = 0.2
    minimize: Literal["", "weight_bytes", "macs", "instructions"] = ""
    target: str = ""
    drop: NotNegative = 0.01
    trials: Positive | None = None
    seconds: AboveZero | None = None
    epochs: Positive | None = None
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["median", "hyperband", "none"] = "median"
    seed: Natural = 1
    jobs: Positive = 1
    storage: str = ""


class LowerOptions(Options, frozen=True):
    """None."""


class SampleOptions(Options, frozen=True):
    """`count`: how many held-out images are kept for verification."""

    count: Positive = 64


class EvaluateOptions(Options, frozen=True):
    """None."""


class PlanOptions(Options, frozen=True):
    """`portable`: leave the target's SIMD kernels out, to compare with them. `isa`: kernel features instead of the
    target's. `extra_weights`: how much larger than as int8 the weights may be stored for speed (1.0: twice).
    `budget`: bytes of flash that the whole program may take; the rules enter the model's. `reserve`: how many of them
    are for what is not kernels and their constants; None: 4 KB and the self test's sample.

    `stream`: "off" keeps all tensors in one piece, with "auto" rows stream where that helps; None: "auto", but "off" on
    a target that does not say how much RAM it has (a PC), unless RAM is asked for. `ram`: bytes that the arena may
    take, for the fewest instructions that keep it; "least": as few as can be; "little": as few as cost up to 5 % more
    instructions, which the budget may not allow; None: the budget's, or where there is none "little". `ram_budget`:
    bytes of RAM that the whole program may take; the rules enter the model's. `ram_reserve`: how many of them are for
    stack and data; None: 768."""

    portable: bool = False
    isa: tuple[str, ...] | None = None
    extra_weights: NotNegative = 1.0
    budget: Natural | None = None
    reserve: Natural | None = None
    stream: Literal["auto", "off"] | None = None
    ram: Natural | Literal["least", "little"] | None = None
    ram_budget: Natural | None = None
    ram_reserve: Natural | None = None


class GenerateOptions(Options, frozen=True):
    """None."""


class VerifyOptions(Options, frozen=True):
    """Images compared on the host and (0: none) under the target's runner; `timeout`: seconds a program may run."""

    without_effect: ClassVar[tuple[str, ...]] = ("timeout",)

    host_samples: Positive = 64
    target_samples: Natural = 4
    timeout: AboveZero = 600.0


class MeasureOptions(Options, frozen=True):
    """`timeout`: seconds that one run of a program may take."""

    without_effect: ClassVar[tuple[str, ...]] = ("timeout",)

    timeout: AboveZero = 600.0


class GateOptions(Options, frozen=True):
    """The budget in bytes and instructions per inference; None: no limit. `metric_at_least`: of the integer model;
    `metric_drop`: most that it may be worse than the float one."""

    ram: Natural | None = None
    flash: Natural | None = None
    instructions: Natural | None = None
    metric_at_least: float | None = None
    metric_drop: NotNegative | None = None


class BenchOptions(Options, frozen=True):
    """None."""


class ReleaseOptions(Options, frozen=True):
    """None."""


class ReportOptions(GateOptions, frozen=True):
    """The limits, to be shown beside what was measured: those of the gate."""


FLOAT = "float"  # the method of a row of the network before it is quantized


class RowOptions(Options, frozen=True):
    """Of a row of a study: what it is called by. `sparsity`: what was asked for."""

    model: str = ""
    method: str = ""
    weight_bits: Natural = 8
    activation_bits: Natural = 8
    sparsity: Annotated[float, Meta(ge=0, lt=1)] = 0.0


class StudyOptions(Options, frozen=True):
    """`title`: of the tables; `notes`: what stands between it and them, Markdown."""

    title: str = ""
    notes: str = ""


class TuneOptions(Options, frozen=True):
    """None."""


class Stage(msgspec.Struct, frozen=True):
    """`libraries`: distributions (names on PyPI) whose versions can change the stage's output.

    `plugins`: files the stage loads by name, which an import scan cannot see: globs relative to the package,
    `{option}` filled in.
    """

    options: type[Options]
    version: int = 1
    libraries: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()


_DATASET = ("torch", "numpy")  # and what the user's files import
_TRAINING = ("safetensors", "lightning-fabric", *_DATASET)
_RECIPE = ("training/optimizers/{optimizer}.py", "training/schedules/{schedule}.py")
_OPERATORS = ("graph/ops/*.py",)

STAGES: dict[str, Stage] = {
    "train": Stage(TrainOptions, libraries=_TRAINING, plugins=_RECIPE),
    "load": Stage(LoadOptions, libraries=("safetensors", *_DATASET)),
    "script": Stage(ScriptOptions, libraries=("safetensors", *_DATASET)),
    "seed": Stage(SeedOptions, libraries=("torch", "numpy", "safetensors")),
    "convert": Stage(
        ConvertOptions,
        libraries=("numpy", "onnx", "onnxruntime", "onnxscript", "torch", "tflite", "flatbuffers"),
        plugins=(*_OPERATORS, "graph/importers/*.py", "graph/passes/*.py"),
    ),
    "prune": Stage(
        PruneOptions, libraries=("torch-pruning", *_TRAINING), plugins=("compress/pruners/{method}.py", *_RECIPE)
    ),
    "search": Stage(
        SearchOptions,
        libraries=(
            "optuna",
            "sqlalchemy",
            "jinja2",
            "matplotlib",
            "torch-pruning",
            "onnx",
            "onnxruntime",
            "onnxscript",
            *_TRAINING,
        ),
        plugins=(
            "training/optimizers/*.py",
            "training/schedules/*.py",
            "compress/pruners/*.py",
            "compress/quantizers/*.py",
            *_OPERATORS,
        ),
    ),
    "fit": Stage(QuantizeOptions, libraries=_TRAINING, plugins=("compress/quantizers/{method}.py", *_RECIPE)),
    "allot": Stage(
        QuantizeOptions,
        libraries=("onnx", "onnxruntime", "safetensors", "matplotlib", *_DATASET),
        plugins=("compress/quantizers/{method}.py", *_OPERATORS),
    ),
    "export": Stage(ExportOptions, libraries=("onnx", "onnxruntime", "onnxscript", "safetensors", *_DATASET)),
    "quantize": Stage(
        QuantizeOptions,
        libraries=("onnx", "onnxruntime", "safetensors", *_DATASET),
        plugins=("compress/quantizers/{method}.py",),
    ),
    "lower": Stage(LowerOptions, libraries=("numpy", "onnx", "onnxruntime"), plugins=_OPERATORS),
    "sample": Stage(SampleOptions, libraries=_DATASET, plugins=_OPERATORS),
    "evaluate": Stage(EvaluateOptions, libraries=("onnxruntime", *_DATASET), plugins=_OPERATORS),
    "plan": Stage(PlanOptions, libraries=("numpy",), plugins=(*_OPERATORS, "codegen/packing/*.py")),
    "generate": Stage(GenerateOptions, libraries=("numpy", "jinja2"), plugins=(*_OPERATORS, "codegen/packing/*.py")),
    "verify": Stage(VerifyOptions, libraries=("numpy", "torch", "onnx", "onnxruntime"), plugins=_OPERATORS),
    "measure": Stage(MeasureOptions, libraries=("numpy", "pyelftools"), plugins=_OPERATORS),
    "gate": Stage(GateOptions, libraries=("numpy",)),
    "bench": Stage(BenchOptions, libraries=("numpy", "matplotlib"), plugins=_OPERATORS),
    "row": Stage(RowOptions, libraries=("numpy", "onnx")),
    "study": Stage(StudyOptions, libraries=("matplotlib",)),
    "tune": Stage(
        TuneOptions, libraries=("numpy", "jinja2", "matplotlib"), plugins=(*_OPERATORS, "codegen/packing/*.py")
    ),
    "release": Stage(ReleaseOptions, libraries=("jinja2", "numpy")),
    "report": Stage(ReportOptions, libraries=("jinja2", "matplotlib", *_DATASET), plugins=_OPERATORS),
}
