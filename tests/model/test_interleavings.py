"""Two who do something to the same upload: every order of their calls to database and storage, one after the other.

By default they take turns a few times at most: all orders where both are short. `MOORING_MODEL_SWITCHES=99 pytest
tests/model` plays all of all."""

import os
from itertools import pairwise

import pytest

from world import World

from .conftest import Stage
from .laws import come_to_rest, hold
from .play import in_turns
from .scene import Deed, Known, Scene
from .situations import (
    Situation,
    arrived,
    arrived_long_ago,
    came,
    came_and_lapsed,
    came_and_overdue,
    deleted,
    deleted_long_ago_and_there_again,
    failed,
    lapsed,
    last_part_on_its_way_and_lapsed,
    on_its_way_and_lapsed,
    other_bytes_came,
    overdue,
    overdue_and_on_its_way,
    parts_came,
    parts_came_and_lapsed,
    parts_came_and_overdue,
    parts_forgotten,
    parts_joined,
    parts_lapsed,
    parts_not_begun,
    parts_overdue,
    stray,
    waiting,
    waiting_in_parts,
)
from .working import try_again, work


async def right_bytes_replace_the_wrong_and_are_confirmed(scene: Scene, world: World, it: Known) -> None:
    await scene.lose(world, it)
    await scene.put(world, it)
    it.meddled = it.meddled_now = False
    await scene.confirm(world, it)


S = Scene
SWITCHES = int(os.environ.get("MOORING_MODEL_SWITCHES", "3"))
CASES: list[tuple[Situation, list[Deed]]] = [
    (came, [S.confirm, S.event]),
    (came, [S.confirm, S.confirm]),
    (came, [S.function, S.event]),
    (came, [S.confirm, S.delete]),
    (waiting, [S.put, S.confirm]),
    (waiting, [S.put, S.delete]),
    (arrived, [work, S.delete]),
    (failed, [try_again, work]),
    (arrived, [S.delete, S.delete]),
    (arrived, [S.delete, S.put]),
    (lapsed, [S.renew, S.sweep]),
    (lapsed, [S.renew, S.renew]),
    (lapsed, [S.sweep, S.sweep]),
    (came_and_lapsed, [S.confirm, S.sweep]),
    (on_its_way_and_lapsed, [S.end_slow_puts, S.sweep]),
    (overdue, [S.renew, S.sweep]),
    (overdue, [S.delete, S.sweep]),
    (overdue, [S.sweep, S.sweep]),
    (overdue_and_on_its_way, [S.end_slow_puts, S.sweep]),
    (came_and_overdue, [S.confirm, S.sweep]),
    (other_bytes_came, [S.confirm, S.event]),
    (other_bytes_came, [S.confirm, S.delete]),
    (other_bytes_came, [S.confirm, right_bytes_replace_the_wrong_and_are_confirmed]),
    (arrived_long_ago, [S.delete, S.reconcile]),
    (deleted, [S.put, S.sweep]),
    (deleted_long_ago_and_there_again, [S.sweep, S.reconcile]),
    (stray, [S.reconcile, S.reconcile]),
    (waiting_in_parts, [S.put, S.confirm]),
    (waiting_in_parts, [S.put, S.delete]),
    (parts_not_begun, [S.renew, S.renew]),
    (parts_not_begun, [S.renew, S.delete]),
    (parts_forgotten, [S.renew, S.renew]),
    (parts_came, [S.confirm, S.confirm]),
    (parts_came, [S.confirm, S.event]),
    (parts_came, [S.confirm, S.delete]),
    (parts_joined, [S.confirm, S.event]),
    (parts_joined, [S.confirm, S.renew]),
    (parts_came_and_lapsed, [S.confirm, S.sweep]),
    (parts_came_and_lapsed, [S.renew, S.sweep]),
    (parts_came_and_overdue, [S.confirm, S.sweep]),
    (parts_came_and_overdue, [S.sweep, S.sweep]),
    (parts_lapsed, [S.renew, S.sweep]),
    (parts_overdue, [S.renew, S.sweep]),
    (last_part_on_its_way_and_lapsed, [S.end_slow_puts, S.sweep]),
    (last_part_on_its_way_and_lapsed, [S.end_slow_puts, S.confirm]),
]


@pytest.mark.parametrize(
    ("before", "deeds"), [pytest.param(b, d, id=f"{b.__name__}: {' x '.join(x.__name__ for x in d)}") for b, d in CASES]
)
def test_every_order_of_two_keeps_the_laws(stage: Stage, before: Situation, deeds: list[Deed]) -> None:
    orders = Orders(switches=SWITCHES - (Scene.reconcile in deeds))  # that makes many calls
    while orders.has_more():
        stage.runner.run(_played(stage, before, deeds, orders))
    assert orders.played > 1


async def _played(stage: Stage, before: Situation, deeds: list[Deed], orders: "Orders") -> None:
    scene = await stage.scene()
    try:
        it = await before(scene)
        await in_turns(scene, [(deed, it, None) for deed in deeds], orders.choose)
        await hold(scene)
        it.meddled_now = False
        await come_to_rest(scene)
    except BaseException as failure:
        failure.add_note(f"in the order {orders.made}")
        await scene.close()
        raise


class Orders:
    """All orders in which two take their turns, going from one to the other at most `switches` times."""

    def __init__(self, *, switches: int) -> None:
        self.played = 0
        self.made: list[int] = []
        self._switches = switches
        self._prefix: list[int] = []

    def choose(self, _: int) -> int:
        at = len(self.made)
        self.made.append(self._prefix[at] if at < len(self._prefix) else self._stays(self.made))
        return self.made[-1]

    def has_more(self) -> bool:
        if self.played:
            while self.made and not self._has_another_way():
                self.made.pop()
            if not self.made:
                return False
            self.made[-1] = 1 - self.made[-1]
        self._prefix, self.made = self.made, []
        self.played += 1
        return True

    def _has_another_way(self) -> bool:
        *before, last = self.made
        return last == self._stays(before) and sum(a != b for a, b in pairwise(before)) < self._switches

    @staticmethod
    def _stays(made: list[int]) -> int:
        return made[-1] if made else 0
