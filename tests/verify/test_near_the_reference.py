"""A layer may round otherwise than the QDQ model, and no more than that."""

import pytest

from nnrules.error import UserError
from nnrules.stages.verify import require_near


def test_two_steps_are_too_many() -> None:
    layers = [{"name": "a", "qdq": None}, {"name": "b", "qdq": {"differing": 3, "largest": 1}}]
    require_near(layers, "verify m on t")
    with pytest.raises(UserError) as caught:
        require_near([*layers, {"name": "c", "qdq": {"differing": 1, "largest": 2}}], "verify m on t")
    assert str(caught.value) == (
        "verify m on t: layer 'c' is 2 steps from the QDQ model, given equal inputs; "
        "at most 1 is rounding: report this model"
    )
