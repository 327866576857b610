"""What becomes of each kind of file: which module works on it, what that makes, and what it may cost."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    module: str  # of this package, with `develop`
    makes: tuple[str, ...]
    seconds: int  # of CPU, for each thread
    memory_bytes: int  # of address space
    limits: Mapping[str, int]  # what more it is told
    threads: int = 1
    has_spare: bool = False  # somebody waits for it: a child that has loaded everything stands by


def photo(*, seconds: int, memory_bytes: int, max_pixels: int) -> Recipe:
    return Recipe("photo", ("thumb", "large", "clean"), seconds, memory_bytes, {"max_pixels": max_pixels})


def recording(*, seconds: int, memory_bytes: int, max_seconds: int, has_spare: bool = True) -> Recipe:
    limits = {"max_seconds": max_seconds}
    return Recipe("recording", ("audio", "peaks"), seconds, memory_bytes, limits, has_spare=has_spare)


def video(*, seconds: int, memory_bytes: int, max_seconds: int, max_pixels: int, threads: int) -> Recipe:
    limits = {"max_seconds": max_seconds, "max_pixels": max_pixels}
    return Recipe("video", ("poster", "720p"), seconds, memory_bytes, limits, threads)
