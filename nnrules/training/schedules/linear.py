"""A line down to a hundredth of the peak."""


def share(progress: float) -> float:
    """1 at the beginning."""
    return 1 - 0.99 * progress
