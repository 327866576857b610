"""Live streams over the database: who hears what, in which order, and that nothing is lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from conftest import HeldClock
from mooring.db.notices import Listening, Notices
from mooring.db.pool import Database
from mooring.errors import DatabaseUnavailable, NotAcceptable, TooManyStreams
from mooring.notify.live import BREATH_SECONDS, Live, Stream
from mooring.notify.transitions import PAGE, Place, Reader, Told
from mooring.uploads.lifecycle import CHANNEL, Move, State, Trigger, advance
from world import World

FOREVER = 3600.0


@asynccontextmanager
async def listening(live: Live, url: str) -> AsyncIterator[None]:
    notices = Notices("others")
    task = asyncio.create_task(Listening(url, [live, notices]).run())
    try:
        await asyncio.wait_for(notices.is_heard.wait(), 10)
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def live(world: World) -> Live:
    return Live(world.db, world.clock, most=3, heartbeat=FOREVER)


async def next_of(pages: AsyncIterator[Sequence[Told]]) -> list[tuple[int, str, str | None]]:
    page = await asyncio.wait_for(anext(pages), 10)
    return [(one.transition.upload_id, one.transition.what, one.transition.state) for one in page]


async def open_(live: Live, user_id: int, since: Place | None = None, seconds: float | None = None) -> Stream:
    expires_at = None if seconds is None else live.clock() + timedelta(seconds=seconds)
    return await live.open(user_id, since=since, expires_at=expires_at)


async def all_news(reader: Reader, db: Database) -> list[Told]:
    return [told for page in [page async for page in reader.news(db)] for told in page]


def ids(told: Sequence[Told]) -> list[int]:
    return [one.transition.id for one in told]


async def tell(db: Database, user_id: int, count: int = 1) -> list[int]:
    rows = await db.fetch(
        """INSERT INTO upload_events (upload_id, user_id, what, trigger, at)
           SELECT 0, $1, 'renewed', 'client', now() FROM generate_series(1, $2) RETURNING id""",
        user_id,
        count,
    )
    return [row[0] for row in rows]


# ── who hears what ──


async def test_an_owner_hears_of_each_transition_and_nobody_else_does(
    world: World, live: Live, database_url: str
) -> None:
    (user, album), (other, _) = await world.owner(), await world.owner()
    async with listening(live, database_url):
        mine, others = (await open_(live, user)).pages(), (await open_(live, other)).pages()
        hearing = asyncio.ensure_future(next_of(others))
        upload = await world.arrived(user, album)
        assert await next_of(mine) == [(upload.id, "arrived", "UPLOADED")]
        moves = [Move(upload.id, Trigger.WORKER)]
        await advance(world.db, State.PROCESSING, moves, what="begun", at=world.clock())
        assert await next_of(mine) == [(upload.id, "begun", "PROCESSING")]
        moves = [Move(upload.id, Trigger.WORKER, error="It broke.")]
        await advance(world.db, State.FAILED, moves, what="failed", at=world.clock())
        assert await next_of(mine) == [(upload.id, "failed", "FAILED")]
        await world.uploads.remove(upload.id, owner_id=user)
        assert await next_of(mine) == [(upload.id, "deleted", None)]
        assert not hearing.done()
        hearing.cancel()


async def test_one_message_tells_each_user_of_a_whole_batch(world: World, database_url: str) -> None:
    (user, album), (other, others) = await world.owner(), await world.owner()
    moves = [Move((await world.issue(user, album)).photo_id, Trigger.SWEEP, etag="x") for _ in range(15)]
    moves += [Move((await world.issue(other, others)).photo_id, Trigger.SWEEP, etag="x")]
    said: list[str] = []
    connection = await asyncpg.connect(database_url)
    await connection.add_listener(CHANNEL, lambda *told: said.append(told[3]))
    assert len(await advance(world.db, State.UPLOADED, moves, what="arrived", at=world.clock())) == 16
    while len(said) < 2:
        await connection.execute("SELECT 1")
    assert sorted(said) == sorted([str(user), str(other)])
    await world.issue(user, album)
    await world.db.execute("SELECT pg_notify($1, 'last')", CHANNEL)
    while said[-1] != "last":
        await connection.execute("SELECT 1")
    assert len(said) == 3, "an issue was told"
    await connection.close()


async def test_an_event_that_names_no_user_is_told_to_its_uploads_owner(world: World) -> None:
    user, album = await world.owner()
    reader = await Reader.at_the_end(world.db, user)
    photo_id = (await world.issue(user, album)).photo_id
    await world.db.execute(
        "INSERT INTO upload_events (upload_id, what, trigger, at) VALUES ($1, 'described', 'client', now())", photo_id
    )
    [told] = await all_news(reader, world.db)
    assert (told.transition.what, told.transition.state) == ("described", "PENDING")


# ── nothing is lost ──


async def test_what_commits_late_with_a_lower_id_is_not_lost(world: World, database_url: str) -> None:
    """Two transactions: the first takes an id and waits, the second takes the next one and commits."""
    user = await world.user()
    reader = await Reader.at_the_end(world.db, user)
    slow = await asyncpg.connect(database_url)
    try:
        async with slow.transaction():
            low = await slow.fetchval(
                """INSERT INTO upload_events (upload_id, user_id, what, trigger, at)
                   VALUES (0, $1, 'renewed', 'client', now()) RETURNING id""",
                user,
            )
            [high] = await tell(world.db, user)
            assert low < high
            [told] = await all_news(reader, world.db)
            assert told.transition.id == high
            place = told.place  # what a client that leaves now will come back with
            assert ids(await all_news(reader, world.db)) == []
    finally:
        await slow.close()
    assert ids(await all_news(reader, world.db)) == [low]
    assert ids(await all_news(reader, world.db)) == []
    came_back = Reader(user, Place.read(str(place)))
    assert low in ids(await all_news(came_back, world.db))
    assert ids(await all_news(came_back, world.db)) == []


async def test_a_reader_that_begins_while_another_writes_hears_of_it(world: World, database_url: str) -> None:
    user = await world.user()
    slow = await asyncpg.connect(database_url)
    try:
        async with slow.transaction():
            low = await slow.fetchval(
                """INSERT INTO upload_events (upload_id, user_id, what, trigger, at)
                   VALUES (0, $1, 'renewed', 'client', now()) RETURNING id""",
                user,
            )
            [high] = await tell(world.db, user)
            reader = await Reader.at_the_end(world.db, user)
    finally:
        await slow.close()
    assert low < high
    assert ids(await all_news(reader, world.db)) == [low]


async def test_who_comes_back_reads_on_page_by_page_and_nothing_twice(world: World) -> None:
    user = await world.user()
    reader = await Reader.at_the_end(world.db, user)
    first = await tell(world.db, user, 2 * PAGE)
    pages = [page async for page in reader.news(world.db)]
    assert [ids(page) for page in pages] == [first[:PAGE], first[PAGE:]]
    left_at = pages[0][-1].place
    assert ids(await all_news(Reader(user, Place.read(str(left_at))), world.db)) == first[PAGE:]
    more = await tell(world.db, user, 3)
    assert ids(await all_news(reader, world.db)) == more
    assert ids(await all_news(Reader(user, Place(first[0])), world.db)) == [*first[1:], *more]
    assert ids(await all_news(reader, world.db)) == []


async def test_a_listening_connection_that_is_killed_loses_nothing(world: World, live: Live, database_url: str) -> None:
    user = await world.user()
    async with listening(live, database_url):
        pages = (await open_(live, user)).pages()
        first = await tell(world.db, user)
        page = await asyncio.wait_for(anext(pages), 10)
        assert ids(page) == first
        hearing = asyncio.ensure_future(anext(pages))
        async with world.db.transaction() as tx:
            await tx.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'mooring notices' AND datname = current_database()"""
            )
            missed = await tx.fetchval(
                """INSERT INTO upload_events (upload_id, user_id, what, trigger, at)
                   VALUES (0, $1, 'renewed', 'client', now()) RETURNING id""",
                user,
            )
        assert ids(await asyncio.wait_for(hearing, 10)) == [missed]


@dataclass
class AwayFor:
    """A database that does not answer so many times."""

    db: Database
    times: int = 0
    asked: int = 0

    async def fetch(self, sql: str, /, *args: Any) -> list[Any]:
        self.times -= 1
        self.asked += 1
        if self.times >= 0:
            raise DatabaseUnavailable
        return await self.db.fetch(sql, *args)


async def test_a_database_that_is_away_for_a_while_ends_no_stream(world: World) -> None:
    user, away = await world.user(), AwayFor(world.db)
    live = Live(away, world.clock, most=3, heartbeat=0.001)
    pages = (await open_(live, user)).pages()
    assert await next_of(pages) == []
    told = await tell(world.db, user)
    away.times = 3
    live.heard(str(user))
    while not (page := await asyncio.wait_for(anext(pages), 10)):
        pass
    assert (ids(page), away.times) == (told, -1)


async def test_what_happens_in_a_row_is_read_in_a_few_readings(world: World) -> None:
    user, counting = await world.user(), AwayFor(world.db)
    live = Live(counting, world.clock, most=3, heartbeat=FOREVER)
    stream = await open_(live, user)
    asked, began = counting.asked, asyncio.get_running_loop().time()
    count, hearing = 30, asyncio.ensure_future(_drained(stream))
    for _ in range(count):
        await tell(world.db, user)
        live.heard(str(user))
        await asyncio.sleep(0)
    while stream.reader.place.event_id < count:
        await asyncio.sleep(0)
    read = asyncio.get_running_loop().time()
    assert counting.asked - asked <= (read - began) / BREATH_SECONDS + 3
    live.close()
    assert await asyncio.wait_for(hearing, 10) == count


async def test_a_stop_is_heard_between_two_readings(world: World) -> None:
    user, now = await world.user(), asyncio.get_running_loop().time
    live = Live(world.db, world.clock, most=3, heartbeat=FOREVER)
    stream = await open_(live, user)
    began, hearing = now(), asyncio.ensure_future(_drained(stream))
    while now() < began + BREATH_SECONDS / 2:
        live.heard(str(user))
        await asyncio.sleep(0)
    live.close()
    assert await asyncio.wait_for(hearing, 10) == 0


async def test_a_place_is_read_as_it_was_written_and_nothing_else() -> None:
    assert Place.read(str(Place(12, "345"))) == Place(12, "345")
    assert Place.read("12") == Place(12)
    for text in ("", "-1", "1-", "1-2-3", "x", "1" * 19, "1-" + "1" * 19, "1\n", "१"):
        with pytest.raises(NotAcceptable):
            Place.read(text)


@pytest.mark.parametrize("horizon", ["0", "9" * 18])
async def test_a_made_up_place_does_no_harm(world: World, horizon: str) -> None:
    user = await world.user()
    told = await tell(world.db, user)
    for event_id in (0, 10**17):
        found = ids(await all_news(Reader(user, Place(event_id, horizon)), world.db))
        assert found in ([], told)


# ── how it ends ──


async def test_a_stream_ends_with_the_token_that_opened_it(world: World, live: Live, clock: HeldClock) -> None:
    stream = await open_(live, await world.user(), seconds=60)
    ended = asyncio.ensure_future(_drained(stream))
    await asyncio.sleep(0)
    clock.forward(seconds=61)
    stream.wake()
    assert await asyncio.wait_for(ended, 10) == 0
    assert stream.why == "expired"


async def test_all_end_when_the_server_stops_and_new_ones_at_once(world: World, live: Live) -> None:
    streams = [await open_(live, await world.user()) for _ in range(3)]
    ended = [asyncio.ensure_future(_drained(stream)) for stream in streams]
    live.close()
    await asyncio.wait_for(asyncio.gather(*ended), 10)
    late = await open_(live, await world.user())
    assert await asyncio.wait_for(_drained(late), 10) == 0
    assert {stream.why for stream in [*streams, late]} == {"closing"}


async def test_a_quiet_stream_has_a_heartbeat(world: World) -> None:
    live = Live(world.db, world.clock, most=3, heartbeat=0.001)
    pages = (await open_(live, await world.user())).pages()
    assert await next_of(pages) == []
    assert await next_of(pages) == []


async def test_a_user_has_so_many_streams_and_no_more(world: World, live: Live) -> None:
    user, other = await world.user(), await world.user()
    streams = [await open_(live, user) for _ in range(3)]
    with pytest.raises(TooManyStreams):
        await open_(live, user)
    await open_(live, other)
    streams[0].close()
    await open_(live, user)
    assert live.count == 4
    for stream in streams:
        stream.close()
    assert live.count == 2


async def _drained(stream: Stream) -> int:
    """How many events came before the end."""
    count = 0
    async for page in stream.pages():
        count += len(page)
    stream.close()
    return count
