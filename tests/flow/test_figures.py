"""What a function or a command of cron counted: whoever serves shows it, once, whoever they are and whatever fails."""

import asyncio
from dataclasses import replace

import pytest

from conftest import HeldClock
from mooring.db.pool import open_database
from mooring.library.figures import Leaving, Taking, forget
from mooring.observe.metrics import Metrics
from mooring.observe.since import Since
from mooring.storage.notifications import hear_value
from mooring.uploads.lifecycle import Trigger
from mooring.uploads.storage_events import StorageEvents
from world import BODY, World

ARRIVALS = "photo_api_upload_arrivals_total"
FUNCTION = {"trigger": "function"}


class Function:
    """Somebody whom nobody can ask."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.metrics = Metrics()
        self.leaving = Leaving(world.db, world.clock, Since(self.metrics))

    async def takes(self, count: int) -> int:
        """Who uploaded."""
        user, album = await self.world.owner("premium")
        events = StorageEvents(replace(self.world.uploads, metrics=self.metrics), self.metrics)
        for _ in range(count):
            ticket = await self.world.issue(user, album)
            await self.world.put(ticket.put)
            named = {"bucket": {"name": "photos"}, "object": {"key": ticket.object_key}}
            heard = hear_value({"Records": [{"eventName": "ObjectCreated:Put", "s3": named}]})
            await events.take(heard, trigger=Trigger.FUNCTION)
        return user


def serving(world: World) -> tuple[Metrics, Taking]:
    metrics = Metrics()
    return metrics, Taking(world.db, world.clock, metrics)


def shown(metrics: Metrics, name: str, **labels: str) -> float:
    samples = [sample for family in metrics.families() for sample in family.samples.items()]
    return sum(number for (own, said), number in samples if own == name and labels.items() <= dict(said).items())


async def test_what_a_function_counted_is_shown_by_who_serves(world: World) -> None:
    function = Function(world)
    user = await function.takes(3)
    await function.leaving.leave()
    metrics, taking = serving(world)
    metrics.arrived("client", None)
    await taking.take()
    assert shown(metrics, ARRIVALS, **FUNCTION) == 3
    assert shown(metrics, ARRIVALS, trigger="client") == 1
    assert shown(metrics, "photo_api_upload_arrival_lag_seconds_count", **FUNCTION) == 3
    assert shown(metrics, "photo_api_upload_arrival_lag_seconds_bucket", le="+Inf", **FUNCTION) == 3
    assert shown(metrics, "photo_api_upload_outcomes_total", kind="photo", outcome="arrived") == 3
    assert shown(metrics, "photo_api_photo_upload_size_total_bytes", user_id=str(user)) == 3 * len(BODY)
    assert shown(metrics, "photo_api_storage_events_total", result="arrived") == 3
    assert b"photo_api_users_total" not in metrics.text(), "gauges are looked up"


async def test_of_several_who_serve_one_takes_it_and_only_once(world: World) -> None:
    houses = [serving(world) for _ in range(3)]
    function = Function(world)
    for round_ in range(1, 5):
        await function.takes(2)
        await function.leaving.leave()
        await asyncio.gather(*(taking.take() for _, taking in houses))
        assert sum(shown(metrics, ARRIVALS, **FUNCTION) for metrics, _ in houses) == 2 * round_
    await function.leaving.leave()
    assert await world.db.fetchval("SELECT count(*) FROM counted_elsewhere") == 0, "nothing new is nothing to tell"


async def test_what_can_not_be_left_goes_with_the_next(world: World) -> None:
    function = Function(world)
    user = await function.takes(1)
    nowhere = await open_database("postgresql://nobody@127.0.0.1:1/none", most=1, least=0)
    await replace(function.leaving, db=nowhere).leave()
    await nowhere.close()
    await function.takes(1)
    await function.leaving.leave()
    assert await world.db.fetchval("SELECT count(*) FROM counted_elsewhere") == 1
    metrics, taking = serving(world)
    await taking.take()
    assert shown(metrics, ARRIVALS, **FUNCTION) == 2
    assert shown(metrics, "photo_api_photo_upload_size_total_bytes", user_id=str(user)) == len(BODY)


@pytest.mark.parametrize("by_the_sweep", [False, True])
async def test_what_nobody_took_in_time_is_no_surge_of_today(
    world: World, clock: HeldClock, by_the_sweep: bool
) -> None:
    function = Function(world)
    await function.takes(1)
    await function.leaving.leave()
    clock.forward(hours=1, seconds=1)
    metrics, taking = serving(world)
    if by_the_sweep:
        assert await forget(world.db, clock()) == 1
    await taking.take()
    assert shown(metrics, ARRIVALS, **FUNCTION) == 0
    assert await world.db.fetchval("SELECT count(*) FROM counted_elsewhere") == 0


async def test_one_of_several_processes_hands_on_by_user_what_it_took(world: World) -> None:
    function = Function(world)
    user = await function.takes(1)
    await function.leaving.leave()
    metrics, taking = serving(world)
    metrics.rank_elsewhere()
    await taking.take()
    assert metrics.hand_on() == {"photo_api_photo_upload_size_total_bytes": [((str(user),), len(BODY))]}
