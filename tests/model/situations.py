"""How things stand before somebody does something."""

from collections.abc import Awaitable, Callable

from . import in_parts, working
from .scene import Known, Scene

Situation = Callable[[Scene], Awaitable[Known]]


async def waiting(scene: Scene) -> Known:
    assert await scene.issue(scene.world, 0, [3_000])
    return scene.known[-1]


async def came(scene: Scene) -> Known:
    it = await waiting(scene)
    await scene.put(scene.world, it)
    return it


async def arrived(scene: Scene) -> Known:
    it = await came(scene)
    await scene.confirm(scene.world, it)
    return it


async def failed(scene: Scene) -> Known:
    it = await arrived(scene)
    await working.work_in_vain(scene, scene.world, it)
    return it


async def completed(scene: Scene) -> Known:
    it = await arrived(scene)
    await working.work(scene, scene.world, it)
    return it


async def lapsed(scene: Scene) -> Known:
    it = await waiting(scene)
    scene.clock.forward(minutes=16)
    return it


async def released(scene: Scene) -> Known:
    """Its quota was given back at the lapse, and is reserved anew by a renewal."""
    it = await lapsed(scene)
    await scene.sweep(scene.world)
    scene.clock.forward(hours=25)
    return it


async def came_and_lapsed(scene: Scene) -> Known:
    it = await came(scene)
    scene.clock.forward(minutes=16)
    return it


async def on_its_way_and_lapsed(scene: Scene) -> Known:
    it = await waiting(scene)
    await scene.begin_slow_put(scene.world, it)
    scene.clock.forward(minutes=16)
    return it


async def overdue(scene: Scene) -> Known:
    it = await waiting(scene)
    scene.clock.forward(hours=25)
    return it


async def overdue_and_on_its_way(scene: Scene) -> Known:
    """Renewed just before it would have been given up: a PUT to the new URL is under way when that lapses."""
    it = await waiting(scene)
    scene.clock.forward(hours=23, minutes=50)
    await scene.renew(scene.world, it)
    await scene.begin_slow_put(scene.world, it)
    scene.clock.forward(minutes=16)
    return it


async def came_and_overdue(scene: Scene) -> Known:
    it = await came(scene)
    scene.clock.forward(hours=25)
    return it


async def other_bytes_came(scene: Scene) -> Known:
    it = await waiting(scene)
    await scene.overwrite(scene.world, it)
    it.meddled_now = False
    return it


async def deleted(scene: Scene) -> Known:
    """But its URL still works."""
    it = await arrived(scene)
    await scene.delete(scene.world, it)
    return it


async def deleted_long_ago_and_there_again(scene: Scene) -> Known:
    it = await arrived(scene)
    await scene.delete(scene.world, it)
    await scene.put(scene.world, it)
    scene.clock.forward(hours=3)
    return it


async def arrived_long_ago(scene: Scene) -> Known:
    it = await arrived(scene)
    scene.clock.forward(hours=3)
    return it


async def stray(scene: Scene) -> Known:
    """Bytes of a PUT that took longer than anybody waits."""
    it = await waiting(scene)
    await scene.begin_slow_put(scene.world, it)
    await scene.delete(scene.world, it)
    scene.clock.forward(hours=3)
    await scene.sweep(scene.world)
    await scene.end_slow_puts(scene.world)
    scene.clock.forward(hours=3)
    return it


async def arrived_long_ago_and_lost(scene: Scene) -> Known:
    it = await arrived_long_ago(scene)
    await scene.lose(scene.world, it)
    it.meddled_now = False
    return it


# ── in parts ──


async def waiting_in_parts(scene: Scene) -> Known:
    assert await in_parts.issue(scene, scene.world, 0, 2_500)
    return scene.known[-1]


async def parts_not_begun(scene: Scene) -> Known:
    """Whoever issued it died before storage was asked."""
    it = await waiting_in_parts(scene)
    await in_parts.forget_parts(scene.world, it)
    await scene.world.db.execute("UPDATE uploads SET multipart_id = NULL WHERE id = $1", it.id)
    scene.clock.forward(minutes=10)
    return it


async def parts_forgotten(scene: Scene) -> Known:
    """Storage cleaned up what lay about too long."""
    it = await waiting_in_parts(scene)
    await scene.lose(scene.world, it)
    it.meddled_now = False
    scene.clock.forward(minutes=20)
    return it


async def parts_came(scene: Scene) -> Known:
    it = await waiting_in_parts(scene)
    await scene.put(scene.world, it)
    return it


async def parts_joined(scene: Scene) -> Known:
    """Whoever joined them died before the row moved."""
    it = await parts_came(scene)
    row = await scene.world.uploads.get(it.id, owner_id=it.owner)
    assert row.multipart_id is not None
    there = await scene.world.disk.parts(it.key, row.multipart_id)
    await scene.world.disk.complete_multipart(it.key, row.multipart_id, there or [])
    return it


async def parts_came_and_lapsed(scene: Scene) -> Known:
    it = await parts_came(scene)
    scene.clock.forward(minutes=16)
    return it


async def parts_came_and_overdue(scene: Scene) -> Known:
    it = await parts_came(scene)
    scene.clock.forward(hours=25)
    return it


async def parts_lapsed(scene: Scene) -> Known:
    it = await waiting_in_parts(scene)
    scene.clock.forward(minutes=16)
    return it


async def parts_overdue(scene: Scene) -> Known:
    it = await waiting_in_parts(scene)
    scene.clock.forward(hours=25)
    return it


async def last_part_on_its_way_and_lapsed(scene: Scene) -> Known:
    it = await waiting_in_parts(scene)
    await scene.put(scene.world, it)
    it.promised = False
    await scene.begin_slow_put(scene.world, it)
    scene.clock.forward(minutes=16)
    return it
