"""The face detector's modules import one another as neighbours, as they do in a stage."""

import sys
from pathlib import Path

import pytest

FACEDET = Path(__file__).parents[2] / "models/facedet"
sys.path.insert(1, str(FACEDET))


@pytest.fixture(scope="session")
def facedet() -> Path:
    """The folder of the face detector."""
    return FACEDET
