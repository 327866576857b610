"""Any life of an upload that hypothesis can think of: whatever is done, in whatever order, and killed wherever.

`MOORING_MODEL_EXAMPLES=2000 pytest tests/model` looks longer. A failure prints the steps that lead to it."""

import os
from collections.abc import Awaitable
from typing import ClassVar, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from world import World

from .conftest import Stage
from .laws import come_to_rest, hold
from .play import alone, at_once, in_turns
from .process import Process
from .scene import DEEDS, PLAN, Deed, Known, Scene

settings.register_profile(
    "model",
    max_examples=int(os.environ.get("MOORING_MODEL_EXAMPLES", "100")),
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

Answer = TypeVar("Answer")
SIZES = st.sampled_from([100, 1, 100, 1_000, 1, 3_000, 5_000, 9_999, PLAN.max_bytes, PLAN.max_bytes + 1])
MINUTES = st.sampled_from([1, 1, 1, 5, 14, 15, 16, 45, 61, 11 * 60, 25 * 60, 31 * 24 * 60])
DEED = st.sampled_from(sorted(DEEDS, key=list(DEEDS).index))
# Whoever meets the sweep or the owner is in for trouble: these meet more often.
CONTENDER = DEED | st.sampled_from(
    ["confirm", "sweep", "put", "delete", "renew", "event", "confirm", "put", "sweep", "end_slow_puts", "reconcile"]
)
WHICH = st.sampled_from([0, 0, 0, 1, 2, 3])
BREATH = st.sampled_from([None] * 20 + list(range(14)))  # to live, mostly
THEN: dict[str, Deed] = {
    "put": Scene.put,
    "put again": Scene.put,
    "slow put": Scene.begin_slow_put,
    "overwrite": Scene.overwrite,
}
TURNS = st.lists(st.integers(0, 2), min_size=4, max_size=24)
# Minutes: to the lapse, beyond a slow PUT, to the reclaim.
BEFORE = st.sampled_from([0, 0, 0, 0, 0, 0, 16, 70, 25 * 60])


class UploadLife(RuleBasedStateMachine):
    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self.scene = self.run(self.stage.scene())

    def run(self, what: Awaitable[Answer]) -> Answer:
        async def it() -> Answer:
            return await what

        self.failed = True
        answer = self.stage.runner.run(it())
        self.failed = False
        return answer

    @initialize()
    def somebody_begins(self) -> None:
        self.run(self.scene.issue(self.scene.world, 0, [100]))

    # ── what happens ──

    @rule(who=st.integers(0, 1), sizes=st.lists(SIZES, min_size=1, max_size=2), then=st.sampled_from([*THEN, None]))
    def issue(self, who: int, sizes: list[int], then: str | None) -> None:
        self.run(self._issue(who, sizes, then))

    async def _issue(self, who: int, sizes: list[int], then: str | None) -> None:
        before = len(self.scene.known)
        user = self.scene.people[who][0]
        reserved, used, in_flight = await self.scene.world.quota(user)
        granted = await self.scene.issue(Process().of(self.scene.world), who, sizes)
        fits = reserved + used + sum(sizes) <= PLAN.max_bytes and in_flight + len(sizes) <= PLAN.max_in_flight
        assert granted == fits, "granted what does not fit, or refused what does"
        for it in self.scene.known[before:]:
            if then:
                await THEN[then](self.scene, self.scene.world, it)

    @rule(who=st.integers(0, 1), sizes=st.lists(SIZES, min_size=2, max_size=4), breath=BREATH)
    def issue_at_once(self, who: int, sizes: list[int], breath: int | None) -> None:
        deeds = [(_issuing(who, size), self.scene.known[0]) for size in sizes]
        before = self.run(self.scene.world.quota(self.scene.people[who][0]))
        self.run(at_once(self.scene, deeds, breath=breath))
        reserved, used, in_flight = after = self.run(self.scene.world.quota(self.scene.people[who][0]))
        assert before == after or (reserved + used <= PLAN.max_bytes and in_flight <= PLAN.max_in_flight)

    @rule(minutes=MINUTES)
    def time_passes(self, minutes: int) -> None:
        self.stage.clock.forward(minutes=minutes)

    @rule(deed=CONTENDER, which=WHICH, breath=BREATH)
    def one_does(self, deed: str, which: int, breath: int | None) -> None:
        self.run(alone(self.scene, DEEDS[deed], self.scene.pick(which), breath=breath))

    @rule(
        deeds=st.lists(st.tuples(CONTENDER, BREATH), min_size=2, max_size=3), which=WHICH, turns=TURNS, minutes=BEFORE
    )
    def several_do_in_turns(
        self, deeds: list[tuple[str, int | None]], which: int, turns: list[int], minutes: int
    ) -> None:
        self.stage.clock.forward(minutes=minutes)
        order = iter(turns)
        doing = [(DEEDS[deed], self.scene.pick(which), breath) for deed, breath in deeds]
        self.run(in_turns(self.scene, doing, lambda going: next(order, 0) % going))

    @rule(deeds=st.lists(st.tuples(CONTENDER, WHICH), min_size=2, max_size=5), breath=BREATH, minutes=BEFORE)
    def several_do_at_once(self, deeds: list[tuple[str, int]], breath: int | None, minutes: int) -> None:
        self.stage.clock.forward(minutes=minutes)
        doing = [(DEEDS[deed], self.scene.pick(which)) for deed, which in deeds]
        self.run(at_once(self.scene, doing, breath=breath))

    @rule()
    def a_reconcile_that_nobody_disturbs_leaves_nothing_to_find(self) -> None:
        world = Process().of(self.scene.world)
        self.run(self.scene.reconcile(world))
        assert self.run(world.reconciliation.run(dry_run=True)).is_clean

    # ── what holds ──

    @invariant()
    def the_laws_hold(self) -> None:
        self.run(hold(self.scene))
        for it in self.scene.known:
            it.meddled_now = False

    def teardown(self) -> None:
        if self.failed:
            self.stage.runner.run(self.scene.close())
            return
        self.run(come_to_rest(self.scene))


def _issuing(who: int, size: int) -> Deed:
    async def deed(scene: Scene, world: World, _: Known) -> None:
        await scene.issue(world, who, [size])

    return deed


def test_any_life_of_uploads_keeps_the_laws(stage: Stage) -> None:
    class Here(UploadLife):
        pass

    Here.stage = stage
    run_state_machine_as_test(Here, settings=settings.get_profile("model"))
