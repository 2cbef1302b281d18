"""Where an axis has its numbers."""


def step_of(least: float) -> int:
    """From one number to the next: 1, 2 or 5 and zeros, the first that is not less.

    >>> [step_of(value) for value in (0.3, 12, 37)]
    [1, 20, 50]
    """
    ten = 1
    while True:
        for digit in (1, 2, 5):
            if digit * ten >= least:
                return digit * ten
        ten *= 10
