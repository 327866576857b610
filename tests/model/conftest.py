import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from conftest import HeldClock
from mooring.db.pool import open_database
from world import World, disk_at

from .scene import TERMS, Scene


@dataclass
class Stage:
    """Where scenes are played: one loop, one database and one disk for all of them, emptied before each."""

    runner: asyncio.Runner
    world: World
    clock: HeldClock

    async def scene(self, *, people: int = 2) -> Scene:
        self.clock.at = HeldClock.at
        return await Scene.opened(self.world, self.clock, people=people)


@pytest.fixture
def stage(
    anyio_backend: str, database_url: str, tmp_path: Path, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    # Names decide the order in which objects are listed: a failing example must find the same ones again.
    monkeypatch.setattr("mooring.uploads.service.uuid_of", lambda _: UUID(int=random.getrandbits(128), version=4))
    with asyncio.Runner() as runner:
        db = runner.run(open_database(f"{database_url}&synchronous_commit=off", most=6, least=1))
        disk = disk_at(tmp_path / "disk", clock)
        runner.run(disk.setup(origins=[]))
        yield Stage(runner, World.built(db, disk, clock, terms=TERMS), clock)
        runner.run(db.close())
