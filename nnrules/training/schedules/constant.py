"""The peak, all the time."""


def share(progress: float) -> float:
    """1."""
    return 1.0
