"""One who does something and is killed before or after any of its calls to database and storage."""

import pytest

from .conftest import Stage
from .in_parts import issue_in_parts
from .laws import come_to_rest, hold
from .play import alone
from .scene import Deed, Scene
from .situations import (
    Situation,
    arrived,
    arrived_long_ago_and_lost,
    came,
    came_and_overdue,
    completed,
    failed,
    lapsed,
    other_bytes_came,
    overdue,
    parts_came,
    parts_came_and_lapsed,
    parts_came_and_overdue,
    parts_forgotten,
    parts_joined,
    parts_not_begun,
    parts_overdue,
    stray,
    waiting,
    waiting_in_parts,
)
from .working import try_again, work, work_in_vain

CASES: list[tuple[Situation, Deed]] = [
    (came, Scene.confirm),
    (came, Scene.event),
    (came, Scene.function),
    (came, Scene.delete),
    (arrived, Scene.delete),
    (waiting, Scene.issue_another),
    (waiting, Scene.renew),
    (lapsed, Scene.renew),
    (lapsed, Scene.sweep),
    (overdue, Scene.sweep),
    (came_and_overdue, Scene.sweep),
    (other_bytes_came, Scene.confirm),
    (other_bytes_came, Scene.sweep),
    (arrived, work),
    (arrived, work_in_vain),
    (failed, try_again),
    (completed, Scene.delete),
    (stray, Scene.reconcile),
    (arrived_long_ago_and_lost, Scene.reconcile),
    (waiting_in_parts, issue_in_parts),
    (waiting_in_parts, Scene.put),
    (waiting_in_parts, Scene.delete),
    (parts_not_begun, Scene.renew),
    (parts_forgotten, Scene.renew),
    (parts_came, Scene.confirm),
    (parts_came, Scene.delete),
    (parts_came_and_lapsed, Scene.sweep),
    (parts_came_and_overdue, Scene.sweep),
    (parts_overdue, Scene.sweep),
    (parts_joined, Scene.confirm),
    (parts_joined, Scene.sweep),
    (parts_joined, Scene.delete),
]


@pytest.mark.parametrize(("before", "deed"), CASES, ids=lambda case: case.__name__)
def test_killed_anywhere_and_done_again_the_laws_hold(stage: Stage, before: Situation, deed: Deed) -> None:
    breath = 0
    while stage.runner.run(_killed(stage, before, deed, breath)):
        breath += 1
    assert breath >= 2, "it was never killed"


async def _killed(stage: Stage, before: Situation, deed: Deed, breath: int) -> bool:
    scene = await stage.scene()
    try:
        it = await before(scene)
        process = await alone(scene, deed, it, breath=breath)
        await hold(scene)
        await alone(scene, deed, it)
        await hold(scene)
        await come_to_rest(scene)
    except BaseException as failure:
        failure.add_note(f"killed at boundary {breath}")
        await scene.close()
        raise
    return process.is_dead
