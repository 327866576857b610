"""Deeds done by processes: one alone, several call by call in a given order, several at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from .process import HOPS, Killed, Process
from .scene import Deed, Known, Scene

Choose = Callable[[int], int]


async def alone(scene: Scene, deed: Deed, it: Known, *, breath: int | None = None) -> Process:
    process = Process(breath)
    await _to_the_end(deed(scene, process.of(scene.world), it))
    await _nobody_left_behind(scene)
    return process


async def in_turns(scene: Scene, deeds: Sequence[tuple[Deed, Known, int | None]], choose: Choose) -> None:
    """Each deed by a process of its own. `choose` says, of so many that can go on, which makes its next call."""
    processes = []
    for deed, it, breath in deeds:
        process = Process(breath, held=True)
        process.start(_to_the_end(deed(scene, process.of(scene.world), it)))
        await process.move()
        processes.append(process)
    while going := [process for process in processes if not process.is_over]:
        await going[choose(len(going)) if len(going) > 1 else 0].move()
    for process in processes:
        assert process.task is not None
        await process.task
    await _nobody_left_behind(scene)


async def at_once(scene: Scene, deeds: Sequence[tuple[Deed, Known]], *, breath: int | None = None) -> None:
    """All by one process, and for real: their statements meet in the database."""
    process = Process(breath)
    world = process.of(scene.world)
    await asyncio.gather(*(_to_the_end(deed(scene, world, it)) for deed, it in deeds))
    await _nobody_left_behind(scene)


async def _to_the_end(life: Awaitable[None]) -> None:
    try:
        await life
    except Killed:
        return


async def _nobody_left_behind(scene: Scene) -> None:
    """What a killed process had under way ends by itself, and nothing waits for an answer that never comes."""
    expected = {asyncio.current_task(), *(put.task for put in scene.slow)}
    left = asyncio.all_tasks() - expected
    if left:
        _, hang = await asyncio.wait(left, timeout=5)
        assert not hang, f"left behind: {hang}"
    for _ in range(HOPS):
        await asyncio.sleep(0)
