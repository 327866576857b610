"""BlurHash: a picture's colours in some 28 characters, for what is shown while it loads. The algorithm is public:
a two-dimensional cosine transform of linear light, its few lowest frequencies written in base 83."""

from math import cos, pi, sqrt
from typing import NamedTuple

ACROSS, DOWN = 4, 3  # components

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_LINEAR = [value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in range(256)]


class Colour(NamedTuple):
    """In linear light, 0 to 1; of a component also below."""

    red: float
    green: float
    blue: float


def blurhash(rgb: bytes, width: int, height: int) -> str:
    """Of a small picture: 32 pixels each way are plenty."""
    average, *others = _components(rgb, width, height)
    most = max(abs(value) for colour in others for value in colour)
    scale = max(0, min(82, int(most * 166 - 0.5)))
    written = _base83(ACROSS - 1 + (DOWN - 1) * 9, 1) + _base83(scale, 1) + _base83(_plain(average), 4)
    return written + "".join(_base83(_relative(colour, (scale + 1) / 166), 2) for colour in others)


def _components(rgb: bytes, width: int, height: int) -> list[Colour]:
    """Lines first, then columns: the transform can be taken apart."""
    waves = [[cos(pi * i * x / width) for x in range(width)] for i in range(ACROSS)]
    lines = []
    for y in range(height):
        line = rgb[y * width * 3 : (y + 1) * width * 3]
        channels = [[_LINEAR[value] for value in line[channel::3]] for channel in range(3)]
        lines.append([[_dot(wave, channel) for channel in channels] for wave in waves])
    found = []
    for j in range(DOWN):
        wave = [cos(pi * j * y / height) for y in range(height)]
        for i in range(ACROSS):
            weight = (1 if i == j == 0 else 2) / (width * height)
            found.append(Colour(*(weight * _dot(wave, [line[i][channel] for line in lines]) for channel in range(3))))
    return found


def _dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _plain(colour: Colour) -> int:
    red, green, blue = (_as_byte(value) for value in colour)
    return red << 16 | green << 8 | blue


def _as_byte(linear: float) -> int:
    value = max(0.0, min(1.0, linear))
    return int((value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055) * 255 + 0.5)


def _relative(colour: Colour, most: float) -> int:
    red, green, blue = (max(0, min(18, int(_signed_root(value / most) * 9 + 9.5))) for value in colour)
    return red * 19 * 19 + green * 19 + blue


def _signed_root(value: float) -> float:
    return sqrt(value) if value >= 0 else -sqrt(-value)


def _base83(number: int, length: int) -> str:
    return "".join(_DIGITS[number // 83**place % 83] for place in reversed(range(length)))
