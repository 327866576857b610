from pathlib import Path

import pytest

from conftest import HeldClock
from flaky import Flaky
from mooring.db.pool import Database
from world import World, disk_at


@pytest.fixture
async def world(db: Database, clock: HeldClock, tmp_path: Path) -> World:
    disk = disk_at(tmp_path / "disk", clock)
    await disk.setup(origins=[])
    return World.built(db, disk, clock)


@pytest.fixture
def unreachable(world: World) -> World:
    """The same world, whose storage does not answer."""
    return world.over(Flaky(world.disk, fails=10**6))
