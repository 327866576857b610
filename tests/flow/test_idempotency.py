"""A key and what it created are there together, or not at all."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from conftest import HeldClock
from mooring.db.idempotency import Answer, Idempotency, Key
from mooring.db.pool import Executor
from mooring.errors import DatabaseUnavailable, KeyReused
from mooring.uploads.service import Claim
from world import World

CLAIM = Claim("a.jpg", "image/jpeg", 100)


@pytest.fixture
def idempotency(world: World, clock: HeldClock) -> Idempotency:
    return Idempotency(world.db, clock)


@pytest.fixture
async def mine(world: World) -> "Mine":
    user_id, album_id = await world.owner()
    return Mine(world, user_id, album_id)


class Mine:
    """One user's key, and what is done under it."""

    def __init__(self, world: World, user_id: int, album_id: int) -> None:
        self.world = world
        self.user_id = user_id
        self.album_id = album_id
        self.key = Key(user_id, "a key", b"a body")
        self.runs = 0

    async def issue(self, tx: Executor) -> Answer:
        self.runs += 1
        ticket = await self.world.photos.issue(CLAIM, user_id=self.user_id, album_id=self.album_id, tx=tx)
        return Answer(200, str(ticket.photo_id).encode())

    async def left(self) -> tuple[int, int, int]:
        """Keys, uploads, reserved bytes."""
        keys = await self.world.db.fetchval("SELECT count(*) FROM idempotency_keys")
        uploads = await self.world.db.fetchval("SELECT count(*) FROM uploads")
        return keys, uploads, (await self.world.quota(self.user_id))[0]


async def test_a_create_that_is_given_up_in_the_middle_leaves_neither_key_nor_upload(
    idempotency: Idempotency, mine: Mine
) -> None:
    done, never = asyncio.Event(), asyncio.Event()

    async def stuck(tx: Executor) -> Answer:
        await mine.issue(tx)
        done.set()
        await never.wait()
        raise AssertionError

    call = asyncio.create_task(idempotency.create_once(mine.key, stuck))
    await done.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await mine.left() == (0, 0, 0)
    again = await idempotency.create_once(mine.key, mine.issue)
    assert await idempotency.create_once(mine.key, mine.issue) == again
    assert await mine.left() == (1, 1, 100)


@pytest.mark.parametrize("at", ["before the answer", "at the commit"])
async def test_a_server_that_dies_in_the_middle_leaves_neither_key_nor_upload(
    idempotency: Idempotency, mine: Mine, at: str
) -> None:
    async def dying(tx: Executor) -> Answer:
        answer = await mine.issue(tx)
        [(pid,)] = await tx.fetch("SELECT pg_backend_pid()")
        if at == "at the commit":
            await tx.fetch("CREATE TEMP TABLE last (pid int) ON COMMIT DROP")
            await tx.fetch(
                """CREATE FUNCTION pg_temp.die() RETURNS trigger LANGUAGE plpgsql AS
                   'BEGIN RAISE EXCEPTION USING ERRCODE = ''admin_shutdown''; END'"""
            )
            await tx.fetch(
                """CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON last DEFERRABLE INITIALLY DEFERRED
                   FOR EACH ROW EXECUTE FUNCTION pg_temp.die()"""
            )
            await tx.fetch("INSERT INTO last VALUES ($1)", pid)
        else:
            await mine.world.db.fetch("SELECT pg_terminate_backend($1, 5000)", pid)
        return answer

    with pytest.raises(DatabaseUnavailable):
        await idempotency.create_once(mine.key, dying)
    assert await mine.left() == (0, 0, 0)
    await idempotency.create_once(mine.key, mine.issue)
    assert await mine.left() == (1, 1, 100)


async def test_who_comes_while_the_first_still_works_waits_for_its_answer(idempotency: Idempotency, mine: Mine) -> None:
    claimed, go_on = asyncio.Event(), asyncio.Event()

    async def slow(tx: Executor) -> Answer:
        claimed.set()
        await go_on.wait()
        return await mine.issue(tx)

    first = asyncio.create_task(idempotency.create_once(mine.key, slow))
    await claimed.wait()
    others = [asyncio.create_task(idempotency.create_once(mine.key, mine.issue)) for _ in range(5)]
    while await waiting(mine.world) < 5:
        pass
    assert not any(other.done() for other in others)
    go_on.set()
    assert {answer.body for answer in await asyncio.gather(first, *others)} == {(await first).body}
    assert mine.runs == 1
    assert await mine.left() == (1, 1, 100)


async def test_who_waited_for_one_that_failed_takes_its_place(idempotency: Idempotency, mine: Mine) -> None:
    claimed, go_on = asyncio.Event(), asyncio.Event()

    async def failing(tx: Executor) -> Answer:
        await mine.issue(tx)
        claimed.set()
        await go_on.wait()
        raise RuntimeError("broken")

    first = asyncio.create_task(idempotency.create_once(mine.key, failing))
    await claimed.wait()
    second = asyncio.create_task(idempotency.create_once(mine.key, mine.issue))
    while await waiting(mine.world) < 1:
        pass
    go_on.set()
    with pytest.raises(RuntimeError):
        await first
    assert (await second).status == 200
    assert await mine.left() == (1, 1, 100)


async def waiting(world: World) -> int:
    """How many statements wait for the key of another."""
    return int(
        await world.db.fetchval(
            """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
               AND query LIKE 'INSERT INTO idempotency_keys%'"""
        )
    )


async def test_another_body_is_refused_and_changes_nothing(idempotency: Idempotency, mine: Mine) -> None:
    await idempotency.create_once(mine.key, mine.issue)
    other = replace(mine.key, fingerprint=b"another body")
    with pytest.raises(KeyReused):
        await idempotency.create_once(other, mine.issue)

    async def act() -> Answer:
        raise AssertionError("not even tried")

    with pytest.raises(KeyReused):
        await idempotency.answer_once(other, act)
    assert await mine.left() == (1, 1, 100)


async def test_a_key_lives_for_a_day_and_is_purged_after_it(
    idempotency: Idempotency, mine: Mine, clock: HeldClock
) -> None:
    first = await idempotency.create_once(mine.key, mine.issue)
    clock.forward(hours=24)
    assert await idempotency.create_once(mine.key, mine.issue) == first
    assert await idempotency.purge(clock()) == 0
    clock.forward(seconds=1)
    second = await idempotency.create_once(mine.key, mine.issue)
    assert second != first
    assert await idempotency.purge(clock()) == 0, "it was taken anew"
    assert await idempotency.purge(clock() + timedelta(hours=24, seconds=1)) == 1
    assert (await mine.left())[:2] == (0, 2)


async def test_what_talks_to_storage_holds_no_connection_meanwhile(idempotency: Idempotency, mine: Mine) -> None:
    pool = mine.world.db.pool

    async def act() -> Answer:
        assert pool.get_size() == pool.get_idle_size()
        return Answer(200, b"looked")

    assert await idempotency.answer_once(mine.key, act) == Answer(200, b"looked")


async def test_of_many_that_look_at_once_all_give_the_answer_of_the_first(idempotency: Idempotency, mine: Mine) -> None:
    runs = 0

    async def act() -> Answer:
        nonlocal runs
        runs += 1
        mine_is = b"%d" % runs
        await asyncio.sleep(0)
        return Answer(200, mine_is)

    answers = await asyncio.gather(*(idempotency.answer_once(mine.key, act) for _ in range(20)))
    assert len({answer.body for answer in answers}) == 1
    assert await idempotency.answer_once(mine.key, act) == answers[0]


async def test_an_act_that_fails_is_tried_again(idempotency: Idempotency, mine: Mine) -> None:
    async def failing() -> Answer:
        raise DatabaseUnavailable

    async def working() -> Answer:
        return Answer(200, b"done")

    with pytest.raises(DatabaseUnavailable):
        await idempotency.answer_once(mine.key, failing)
    assert await idempotency.answer_once(mine.key, working) == Answer(200, b"done")


async def test_a_look_is_remembered_for_a_day_too(idempotency: Idempotency, mine: Mine, clock: HeldClock) -> None:
    async def looked() -> Answer:
        return Answer(200, clock().isoformat().encode())

    first = await idempotency.answer_once(mine.key, looked)
    clock.forward(hours=24)
    assert await idempotency.answer_once(mine.key, looked) == first
    clock.forward(seconds=1)
    anew = await idempotency.answer_once(mine.key, looked)
    assert anew != first
    assert await idempotency.answer_once(mine.key, looked) == anew
