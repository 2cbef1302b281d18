"""Half a cosine (Loshchilov and Hutter, SGDR, ICLR 2017), down to a hundredth of the peak."""

import math


def share(progress: float) -> float:
    """1 at the beginning."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
