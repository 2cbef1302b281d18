"""Colours that are as light as each other: Oklch to sRGB (Ottosson, 2020, "A perceptual color space for image
processing")."""

import math

GOLDEN_ANGLE = 137.508  # degrees: however many hues there are, they lie far apart


def nth(index: int, lightness: float, chroma: float) -> str:
    """The colour of the thing number ``index``, for SVG."""
    return oklch(lightness, chroma, index * GOLDEN_ANGLE + 25.0)


def oklch(lightness: float, chroma: float, hue: float) -> str:
    """`#rrggbb`; ``hue`` in degrees. What no screen shows is clipped."""
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long, medium, short = (
        (lightness + first * a + second * b) ** 3
        for first, second in (
            (0.3963377774, 0.2158037573),
            (-0.1055613458, -0.0638541728),
            (-0.0894841775, -1.2914855480),
        )
    )
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _gamma(min(max(value, 0.0), 1.0))):02x}" for value in linear)


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
