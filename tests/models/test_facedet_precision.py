"""Average precision on cases worked out by hand."""

import numpy as np
import pytest
from precision import average_precision, intersection_over_union

BOX = (0, 0, 10, 10)


def found(*rows):
    return np.array(rows, np.float32).reshape(-1, 5)


def truth(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("detections", "boxes", "wanted"),
    [
        ([found((*BOX, 1))], [truth(BOX)], 1.0),
        ([found()], [truth(BOX)], 0.0),
        ([found((*BOX, 1))], [truth()], 0.0),
        ([found((*BOX, 1), (*BOX, 0.5))], [truth(BOX)], 1.0),  # the second is wrong, but after full recall
        ([found((50, 50, 60, 60, 2), (*BOX, 1))], [truth(BOX)], 0.5),
        ([found((*BOX, 1)), found()], [truth(BOX), truth(BOX)], 0.5),
        ([found((*BOX, 1)), found((*BOX, 2))], [truth(BOX), truth()], 0.5),
    ],
)
def test_average_precision(detections, boxes, wanted):
    assert average_precision(detections, boxes, 0.4) == pytest.approx(wanted)


def test_the_better_of_two_detections_takes_the_box():
    half = (0, 0, 10, 5)
    assert average_precision([found((*half, 1), (*BOX, 2))], [truth(BOX)], 0.4) == pytest.approx(1.0)


def test_intersection_over_union():
    ratio = intersection_over_union(np.array(BOX, np.float32), truth(BOX, (5, 0, 15, 10), (20, 20, 30, 30)))
    assert ratio == pytest.approx([1, 1 / 3, 0])
