"""Options as they are written on the command line."""

from typing import Any

from nnrules.rules.arguments import options


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
