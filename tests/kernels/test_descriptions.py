"""Kernel descriptions: expressions, refusals, and the messages for mistakes."""

from pathlib import Path

import pytest

from nnrules.catalog.expression import evaluate
from nnrules.catalog.kernel import Kernel, load_kernel, load_kernels
from nnrules.error import UserError

GOOD = 'op = "conv2d"\nisa = "portable"\nwhen = ["groups == 1"]\nscratch = "2 * k_h * (in_w + 1)"\ncost = "out_h"\n'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 * k + -1", 5),
        ("7 // 2 + 7 % 4", 6),
        ("k / 2", 1.5),
        ("1 < k <= 3 and not k == 4", True),
        ("k == 4 or k != 3", False),
        ("max(k, 7) - min(k, 2)", 5),
        ("sum(inner)", 6),
        ("1 if k > 2 else 0", 1),
    ],
)
def test_expressions(text: str, value: float) -> None:
    """Arithmetic, comparisons, logic and the three functions."""
    assert evaluate(text, {"k": 3, "inner": [1, 2, 3]}) == value


@pytest.mark.parametrize(
    "text", ["__import__('os')", "k.real", "(lambda: 1)()", "'text'", "k ** 9", "[k]", "max(k, key=k)"]
)
def test_expressions_reach_nothing_else(text: str) -> None:
    """No attributes, strings, calls of anything but the whitelist."""
    with pytest.raises(ValueError, match="may not contain"):
        evaluate(text, {"k": 3})


@pytest.mark.parametrize(
    ("text", "message"),
    [("k +", "'k +' is not an expression"), ("kk", "'kk' uses 'kk', which the operator does not have")],
)
def test_expression_mistakes(text: str, message: str) -> None:
    """The exact texts."""
    with pytest.raises(ValueError, match=r"is not|uses") as caught:
        evaluate(text, {"k": 3})
    assert str(caught.value) == message


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """A description as GOOD says."""
    return load_kernel(write(tmp_path, GOOD))


def write(folder: Path, text: str, name: str = "conv2d_s8__portable") -> Path:
    """A description and its template under kernels/conv2d."""
    place = folder / "kernels/conv2d"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{name}.c.j2").write_text("")
    path = place / f"{name}.toml"
    path.write_text(text)
    return path


def test_refusals_and_sizes(kernel: Kernel) -> None:
    """The first condition that does not hold is the reason."""
    parameters = {"groups": 2, "k_h": 3, "in_w": 4, "out_h": 5}
    assert kernel.refusal(parameters, ("portable",)) == "needs groups == 1"
    assert kernel.refusal({**parameters, "groups": 1}, ()) is None
    assert kernel.scratch_bytes(parameters) == 30
    assert kernel.instructions(parameters) == 5
    assert not kernel.runs_in_place(parameters)


def test_names_for_expressions(tmp_path: Path) -> None:
    """Each may use those before it; all expressions may use them."""
    let = 'let = { row = "in_w + 1", rows = "k_h * row" }\nwhen'
    kernel = load_kernel(write(tmp_path, GOOD.replace("when", let).replace("2 * k_h * (in_w + 1)", "2 * rows")))
    assert kernel.scratch_bytes({"k_h": 3, "in_w": 4}) == 30


def test_an_isa_that_the_target_lacks_is_refused() -> None:
    """Whatever the parameters."""
    fast = next(kernel for kernel in load_kernels() if kernel.isa == "armv7em")
    assert fast.refusal({}, ("rv32imc", "portable")) == "needs armv7em"


PLACE = "kernels/conv2d/conv2d_s8__portable.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "costs = 1\n", f"{PLACE}: there is no key 'costs'; did you mean 'cost'?"),
        (GOOD.replace("portable", "avx2"), f"{PLACE}: its name does not end in __avx2; "
         "name it <op>_<dtypes>__<isa>.toml"),
    ],
)  # fmt: skip
def test_mistakes_in_a_description(tmp_path: Path, text: str, message: str) -> None:
    """The exact texts."""
    with pytest.raises(UserError) as caught:
        load_kernel(write(tmp_path, text))
    assert str(caught.value) == message


def test_a_description_without_template(tmp_path: Path) -> None:
    """The exact text."""
    path = write(tmp_path, GOOD)
    path.with_name("conv2d_s8__portable.c.j2").unlink()
    with pytest.raises(UserError) as caught:
        load_kernel(path)
    assert str(caught.value) == f"{PLACE}: there is no conv2d_s8__portable.c.j2 beside it; write the kernel's template"
