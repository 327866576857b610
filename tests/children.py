"""Recipes run as a worker runs them: in the child process, on files that have no names."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mooring.processing import recipes
from mooring.processing.recipes import Recipe
from mooring.processing.sandbox import Done, Sandbox, Spoiled, nameless


@dataclass(frozen=True)
class Developed:
    facts: Mapping[str, Any]
    files: Mapping[str, bytes]
    types: Mapping[str, str]
    sizes: Mapping[str, tuple[int | None, int | None]]

    @property
    def peaks(self) -> dict[str, Any]:
        drawn: dict[str, Any] = json.loads(self.files["peaks"])
        return drawn


def photo_recipe(*, memory_bytes: int = 2**30, seconds: int = 60, max_pixels: int = 1_000_000) -> Recipe:
    return recipes.photo(seconds=seconds, memory_bytes=memory_bytes, max_pixels=max_pixels)


def recording_recipe(*, memory_bytes: int = 2**30, seconds: int = 60, max_seconds: int = 600) -> Recipe:
    return recipes.recording(seconds=seconds, memory_bytes=memory_bytes, max_seconds=max_seconds)


def video_recipe(
    *,
    memory_bytes: int = 2**31,
    seconds: int = 60,
    max_seconds: int = 600,
    max_pixels: int = 2_100_000,
    threads: int = 1,
) -> Recipe:
    return recipes.video(
        seconds=seconds, memory_bytes=memory_bytes, max_seconds=max_seconds, max_pixels=max_pixels, threads=threads
    )


def full() -> IO[bytes]:
    """A file on a disk that has no room left."""
    return Path("/dev/full").open("w+b")


RECIPES = {"photo": photo_recipe(max_pixels=10**8), "recording": recording_recipe(), "video": video_recipe()}


async def run(
    recipe: Recipe, kind: str, body: bytes, content_type: str, told: list[int] | None = None
) -> Developed | Spoiled:
    async def hear(percent: int) -> None:
        if told is not None:
            told.append(percent)

    sandbox = Sandbox({kind: recipe})
    try:
        with ExitStack() as closing:
            original = closing.enter_context(nameless())
            original.write(body)
            original.flush()
            outcome = await sandbox.develop(kind, original, content_type, closing, hear)
            return _read(outcome) if isinstance(outcome, Done) else outcome
    finally:
        await sandbox.close()


def _read(done: Done) -> Developed:
    files = {}
    for made in done.made:
        made.file.seek(0)
        files[made.name] = made.file.read()
    return Developed(
        dict(done.facts),
        files,
        {made.name: made.content_type for made in done.made},
        {made.name: (made.width, made.height) for made in done.made},
    )


async def developed(recipe: Recipe, kind: str, body: bytes, content_type: str, **more: Any) -> Developed:
    outcome = await run(recipe, kind, body, content_type, **more)
    assert isinstance(outcome, Developed), outcome
    return outcome


async def spoiled(recipe: Recipe, kind: str, body: bytes, content_type: str) -> Spoiled:
    outcome = await run(recipe, kind, body, content_type)
    assert isinstance(outcome, Spoiled), outcome
    return outcome
