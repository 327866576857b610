"""Who goes first: the order in which workers take what waits, on the real queue."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from pgqueuer.ports.repository import EntrypointExecutionParameter

from conftest import HeldClock
from mooring.jobs import queue, turns
from mooring.jobs.library import queries_on
from world import World

NAMES = list(queue.PROCESS.values())


class Queue:
    """Uploads of any kind that are due; taken and done one by one."""

    def __init__(self, world: World, connection: asyncpg.Connection) -> None:
        self.world, self.db = world, world.db
        self.queries = queries_on(connection)
        self.worker = uuid4()
        self.called: dict[int, str] = {}

    async def user(self, name: str, plan: str = "free") -> int:
        user_id = await self.world.user(plan)
        self.called[user_id] = name
        return user_id

    async def bring(self, user_id: int, count: int = 1, kind: str = "video") -> None:
        """At once, as in a batch."""
        await self.db.execute(
            """INSERT INTO uploads (uuid, kind, original_filename, extension, uploader_id, file_size, content_type,
                   directory, object_key, processing_status, reserved_bytes, created_at, expires_at, look_at,
                   described_at, completed_at, etag)
               SELECT gen_random_uuid(), $2, 'a', '', $1, 1, 'x', $2, gen_random_uuid()::text, 'UPLOADED', 0,
                   $3, $3, $3, $3, $3, 'e' FROM generate_series(1, $4::int)""",
            user_id,
            kind,
            self.world.clock(),
            count,
        )
        later = self.world.clock() + timedelta(hours=1)
        assert len(await queue.enqueue_left_over(self.db, arrived_before=later, limit=1000)) == count

    async def take(self, names: Sequence[str] = NAMES) -> tuple[Any, str]:
        """As a worker does: the job, and whose it is."""
        await turns.give(self.db, NAMES)
        entrypoints = {name: EntrypointExecutionParameter(concurrency_limit=0) for name in names}
        [job] = await self.queries.dequeue(
            batch_size=1,
            entrypoints=entrypoints,  # type: ignore[arg-type]
            queue_manager_id=self.worker,  # type: ignore[arg-type]
            global_concurrency_limit=None,
            heartbeat_timeout=timedelta(minutes=5),
        )
        owner = await self.db.fetchval(
            "SELECT (convert_from(payload, 'UTF8')::json ->> 'user')::bigint FROM pgqueuer WHERE id = $1", job.id
        )
        return job, self.called[owner]

    async def done(self, job: Any) -> None:
        upload = await self.db.fetchval("DELETE FROM pgqueuer WHERE id = $1 RETURNING dedupe_key::bigint", job.id)
        await self.db.execute("DELETE FROM uploads WHERE id = $1", upload)

    async def order(self, count: int) -> str:
        """Whose jobs are done next, one worker at them."""
        owners = []
        for _ in range(count):
            job, owner = await self.take()
            await self.done(job)
            owners.append(owner)
        return "".join(owners)


@pytest.fixture
async def waiting(world: World, database_url: str) -> AsyncIterator[Queue]:
    connection = await asyncpg.connect(database_url)
    yield Queue(world, connection)
    await connection.close()


async def test_five_hundred_videos_of_one_do_not_delay_anothers_first(waiting: Queue) -> None:
    ada, bob = await waiting.user("a"), await waiting.user("b")
    await waiting.bring(ada, 500)
    for _ in range(100):
        job, _ = await waiting.take()
        await waiting.done(job)
    under_way, owner = await waiting.take()
    assert owner == "a"
    await waiting.bring(bob)
    await waiting.done(under_way)
    assert await waiting.order(2) == "ba", "after the one that was under way"


async def test_the_same_with_all_who_come_one_after_the_other(waiting: Queue) -> None:
    ada = await waiting.user("a")
    await waiting.bring(ada, 50)
    under_way, _ = await waiting.take()
    for name in "bcd":
        await waiting.bring(await waiting.user(name))
    await waiting.done(under_way)
    assert await waiting.order(4) == "bcda"


async def test_who_brought_much_take_turns(waiting: Queue) -> None:
    ada, bob = await waiting.user("a"), await waiting.user("b")
    await waiting.bring(ada, 6)
    assert await waiting.order(2) == "aa"
    under_way, _ = await waiting.take()
    await waiting.bring(bob, 4)
    await waiting.done(under_way)
    assert await waiting.order(7) == "bababab"


async def test_what_is_brought_later_goes_behind_what_the_same_person_brought_before(waiting: Queue) -> None:
    ada, bob = await waiting.user("a"), await waiting.user("b")
    await waiting.bring(ada, 3)
    await turns.give(waiting.db, NAMES)
    await waiting.bring(bob, 3)
    await turns.give(waiting.db, NAMES)
    await waiting.bring(ada, 2)
    assert await waiting.order(8) == "abababaa"


async def test_what_one_brought_before_is_no_debt(waiting: Queue) -> None:
    ada, bob = await waiting.user("a"), await waiting.user("b")
    await waiting.bring(ada, 20)
    await waiting.order(20)
    await waiting.bring(ada, 2)
    await waiting.bring(bob, 2)
    assert await waiting.order(4) == "baba"


async def test_a_line_in_which_nobody_was_for_long_begins_anew(waiting: Queue) -> None:
    ada, bob = await waiting.user("a"), await waiting.user("b")
    await waiting.bring(ada, 20)
    await waiting.order(20)
    await waiting.db.execute("DELETE FROM pgqueuer_log")
    await waiting.bring(bob)
    await turns.give(waiting.db, NAMES)
    assert [tuple(row) for row in await waiting.db.fetch("SELECT user_id, last FROM turns")] == [(bob, -1)]


async def test_premium_goes_first_and_in_turns_among_themselves(waiting: Queue) -> None:
    free = await waiting.user("f")
    first, second = await waiting.user("p", "premium"), await waiting.user("q", "premium")
    await waiting.bring(free, 2)
    await waiting.bring(first, 3)
    await waiting.bring(second)
    assert await waiting.order(6) == "pqppff"


async def test_a_recording_does_not_wait_for_videos_and_photos(waiting: Queue) -> None:
    ada, bob = await waiting.user("a"), await waiting.user("b")
    await waiting.bring(ada, 5)
    await waiting.bring(ada, 5, "photo")
    await turns.give(waiting.db, NAMES)
    await waiting.bring(bob, 1, "recording")
    assert await waiting.order(1) == "b"
    await waiting.bring(ada, 1, "recording")
    job, _ = await waiting.take()
    assert job.entrypoint == "process_recording", "nor for one's own"


async def test_who_waits_while_premium_fills_every_seat_joins_them_one_job_at_a_time(waiting: Queue) -> None:
    free, premium = await waiting.user("f"), await waiting.user("p", "premium")
    await waiting.bring(free, 3)
    await waiting.bring(premium, 10)
    await turns.give(waiting.db, NAMES)
    assert await turns.age(waiting.db, NAMES) == 0, "nobody has waited long"
    under_way, _ = await waiting.take()
    await waiting.db.execute("UPDATE pgqueuer SET created = now() - interval '2 minutes'")
    assert await turns.age(waiting.db, NAMES) == 1
    await waiting.done(under_way)
    assert await waiting.order(4) == "fppp"
    assert await turns.age(waiting.db, NAMES) == 2, "the premium one waits too"
    assert "f" in await waiting.order(2)


async def test_who_waits_behind_a_thousand_recordings_of_others_joins_the_premium_ones_too(waiting: Queue) -> None:
    many, one, premium = [await waiting.user(*who) for who in (("m",), ("o",), ("p", "premium"))]
    await waiting.bring(many, 1000, "recording")
    await waiting.bring(one)
    await turns.give(waiting.db, NAMES)
    await waiting.db.execute("UPDATE pgqueuer SET created = now() - interval '2 minutes'")
    assert await turns.age(waiting.db, NAMES) == 2
    await waiting.bring(premium, 3)
    assert sorted(await waiting.order(3)) == ["m", "o", "p"]


async def test_what_waits_while_recordings_of_premium_fill_every_seat_joins_them(waiting: Queue) -> None:
    singer, filmer, free = [await waiting.user(*who) for who in (("s", "premium"), ("v", "premium"), ("f",))]
    await waiting.bring(filmer)
    await waiting.bring(free)
    await turns.give(waiting.db, NAMES)
    await waiting.db.execute("UPDATE pgqueuer SET created = now() - interval '2 minutes'")
    await waiting.bring(singer, 20, "recording")
    assert await waiting.order(5) == "sssss"
    assert await turns.age(waiting.db, NAMES) == 2
    assert "v" in await waiting.order(2)
    assert await turns.age(waiting.db, NAMES) == 1, "one line after the other"
    assert "f" in await waiting.order(2)
    assert await waiting.order(5) == "sssss"


async def test_who_is_being_served_does_not_pass_others_by_having_waited(waiting: Queue) -> None:
    ada, bob = await waiting.user("a"), await waiting.user("b")
    await waiting.bring(ada, 50)
    under_way, _ = await waiting.take()
    await waiting.db.execute("UPDATE pgqueuer SET created = now() - interval '2 minutes'")
    assert await turns.age(waiting.db, NAMES) == 0
    await waiting.bring(bob)
    await waiting.done(under_way)
    assert await waiting.order(1) == "b"


async def test_what_is_tried_again_later_does_not_hold_the_line_back(waiting: Queue) -> None:
    ada, bob, eve = [await waiting.user(name) for name in "abe"]
    await waiting.bring(ada)
    again, _ = await waiting.take()
    await waiting.db.execute(
        "UPDATE pgqueuer SET status = 'queued', queue_manager_id = NULL, execute_after = now() + interval '1 h'"
    )
    await waiting.bring(bob, 30)
    await waiting.order(10)
    await waiting.db.execute("UPDATE pgqueuer SET execute_after = now() - interval '1 s' WHERE id = $1", again.id)
    job, owner = await waiting.take()
    assert (job.id, owner) == (again.id, "a"), "it has waited long enough"
    await waiting.bring(eve, 3)
    assert await waiting.order(4) == "ebeb"


async def test_a_thousand_and_more_are_all_given_their_turns(waiting: Queue, clock: HeldClock) -> None:
    ada = await waiting.user("a")
    for _ in range(3):
        await waiting.bring(ada, 700)
    assert await turns.give(waiting.db, NAMES) == 2100
    rows = await waiting.db.fetch("SELECT priority FROM pgqueuer ORDER BY id")
    assert [row[0] for row in rows] == list(range(-1, -2101, -1))
    assert await turns.give(waiting.db, NAMES) == 0


async def test_jobs_of_other_names_are_left_where_they_are(waiting: Queue) -> None:
    await waiting.db.execute(
        "INSERT INTO pgqueuer (priority, entrypoint, payload, status) VALUES ($1, 'another', '{}', 'queued')",
        turns.FREE,
    )
    assert await turns.give(waiting.db, NAMES) == 0
    assert await turns.age(waiting.db, NAMES) == 0


def test_lines_do_not_overlap() -> None:
    assert list(turns.LINES) == sorted(turns.LINES)
    assert all(above - below >= turns.WIDTH for below, above in zip(turns.LINES, turns.LINES[1:], strict=False))
    assert turns.LINES[0] - turns.WIDTH >= -(2**31)
    assert turns.LINES[-1] < 2**31
