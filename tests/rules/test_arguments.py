"""Options as they are written on the command line and in a SConscript."""

from typing import Any

import pytest

from nnrules.catalog.names import check_model_name
from nnrules.catalog.stages import PruneOptions, QuantizeOptions, TrainOptions
from nnrules.error import UserError
from nnrules.rules.arguments import options
from nnrules.rules.recipes import require_effect


def written(verb: str, **words: str) -> Any:
    return options("here", verb, {}, words, "model")


def test_lists_and_tables_have_commas() -> None:
    found = written("quantize", skip="stem,fc", layers="a.conv1:2:4,fc:8:8")
    assert found.skip == ("stem", "fc")
    assert found.layers == {"a.conv1": (2, 4), "fc": (8, 8)}
    assert written("quantize", skip="", layers="").layers == {}
    assert written("quantize", skip="").skip == ()
    assert written("plan", isa="armv7em,portable").isa == ("armv7em", "portable")
    assert written("plan", ram="6 KB").ram == 6144


@pytest.mark.parametrize(
    ("verb", "name", "value", "line"),
    [
        ("train", "precision", 16, "16 is none of its values; did you mean 'fp16'?"),
        ("train", "optimizer", 3, "3 is not a text; correct the value"),
        ("quantize", "equalize", "yes", "'yes' is not True or False; correct the value"),
        ("prune", "skip", "stem", "'stem' is no list of names; write it like [\"one\", \"two\"]"),
        ("prune", "skip", [1], "[1] is no list of names; write it like [\"one\", \"two\"]"),
        *(
            (
                "quantize", "layers", given,
                f"{given!r} is no table; write it like {{\"conv1\": (4, 8)}}, bits of weights and inputs",
            )
            for given in (["stem"], {"stem": 4}, {"stem": (4,)}, {"stem": "4:8"})
        ),
    ],
)  # fmt: skip
def test_values_of_another_type(verb: str, name: str, value: Any, line: str) -> None:
    with pytest.raises(UserError) as raised:
        options("here", verb, {name: value}, {}, "model")
    assert str(raised.value) == f"here: {verb} option {name!r}: {line}"


@pytest.mark.parametrize(
    ("chosen", "name", "needed", "cure"),
    [
        (TrainOptions(patience=2), "patience", "validation", "say validation=0.2 or the like too"),
        (TrainOptions(temperature=2), "temperature", "teacher", "say teacher too"),
        (QuantizeOptions(method="lsq", teacher_share=0.7), "teacher_share", "teacher", "say teacher too"),
        (PruneOptions(skeleton_penalty=0.1), "skeleton_penalty", "importance", "say importance='skeleton' too"),
        (PruneOptions(importance="skeleton", norm=2), "norm", "importance", "say importance='norm' too"),
        (TrainOptions(rendezvous="a:1"), "rendezvous", "launcher", "say launcher='torchrun' too"),
        (PruneOptions(ramp=0.2, retrain_epochs=0), "ramp", "retrain_epochs", "say retrain_epochs too"),
    ],
)
def test_options_that_need_another(chosen: Any, name: str, needed: str, cure: str) -> None:
    """Which a search may choose."""
    require_effect("here", "m.train", chosen, {}, (needed,))
    for overrides, place in (({}, "here"), ({name: "1"}, f"m.train.{name}={getattr(chosen, name)}")):
        with pytest.raises(UserError) as raised:
            require_effect("here", "m.train", chosen, overrides)
        assert str(raised.value) == f"{place}: {name} has no effect; {cure}"


def test_options_that_have_what_they_need() -> None:
    require_effect("here", "m.train", TrainOptions(patience=2, validation=0.1, teacher="self", temperature=2), {})
    require_effect("here", "m.prune", PruneOptions(importance="skeleton", skeleton_penalty=0.1, ramp=0.2), {})


def test_the_word_for_all_models_is_no_model() -> None:
    with pytest.raises(UserError) as raised:
        check_model_name("here", "all", {})
    assert str(raised.value) == "here: 'all' is not a model name; model=all stands for all of them; choose another"
