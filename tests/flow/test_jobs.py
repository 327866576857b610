"""The queue and what a worker does with it, on the real database, with real pictures."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from conftest import HeldClock
from flaky import Flaky
from mooring.db.pool import Database
from mooring.errors import NotFailed, UploadNotFound
from mooring.jobs import queue, turns
from mooring.jobs.library import queries_on
from mooring.jobs.worker import Handler, Worker
from mooring.library.photos import record_facts
from mooring.observe.metrics import Metrics
from mooring.processing import recipes
from mooring.processing.sandbox import Done, Sandbox, Spoiled
from mooring.uploads import renditions
from mooring.uploads.lifecycle import Trigger, Upload
from mooring.uploads.quota import Plan
from mooring.uploads.work import Work
from pictures import jpeg
from world import World, once, with_plans

PICTURE = jpeg()
NO_PICTURE = b"\xff\xd8\xff not really a picture"
SANDBOX = Sandbox({"photo": recipes.photo(seconds=60, memory_bytes=2**30, max_pixels=10**8)})


@pytest.fixture
def world(world: World) -> World:
    plans = with_plans(Plan("free", 10**7, 500), Plan("premium", 10**7, 500))
    return World.built(world.db, world.disk, world.clock, terms=plans)


def work_in(world: World, **more: Any) -> Work:
    return Work(
        **{
            "uploads": world.uploads,
            "sandbox": SANDBOX,
            "record": {"photo": record_facts},
            "metrics": Metrics(),
            "attempts": 3,
            "pause": timedelta(seconds=10),
            **more,
        }
    )


class Broken(Sandbox):
    """A machine on which nothing can be worked on."""

    async def develop(self, *_: Any) -> Spoiled:
        return Spoiled("The file made the program crash that reads it.", is_final=False)


BROKEN = Broken(SANDBOX.recipes)


async def jobs(db: Database) -> list[tuple[int, str, int, dict[str, Any]]]:
    rows = await db.fetch("SELECT priority, entrypoint, dedupe_key::bigint, payload FROM pgqueuer ORDER BY id")
    return [(priority, name, key, json.loads(payload)) for priority, name, key, payload in rows]


async def job_of(world: World, upload: Upload) -> dict[str, Any]:
    return next(payload for _, _, id_, payload in await jobs(world.db) if id_ == upload.id)


async def processed(world: World, upload: Upload, tried: int = 0, **more: Any) -> timedelta | None:
    return await work_in(world, **more).process(await job_of(world, upload), tried)


async def reason(world: World, upload: Upload) -> str | None:
    return await world.db.fetchval("SELECT processing_error_message FROM uploads WHERE id = $1", upload.id)  # type: ignore[no-any-return]


# ── due ──


async def test_the_queue_is_what_the_library_would_install(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    plan = await queries_on(connection).plan_upgrade()
    await connection.close()
    assert (plan.statements, plan.notes) == ((), ())


async def test_another_schema_than_the_librarys_is_noticed(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP INDEX pgqueuer_unique_dedupe_key; ALTER TABLE pgqueuer DROP COLUMN slot")
    plan = await queries_on(connection).plan_upgrade()
    await connection.close()
    assert len(plan.statements) == 3


async def test_the_tables_have_their_names_whatever_the_environment_says(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CHANNEL", "PGQUEUER_PREFIX", "QUEUE_TABLE"):
        monkeypatch.setenv(name, "elsewhere")
    connection = await asyncpg.connect(database_url)
    assert await queries_on(connection).queue_size() == []
    await connection.close()


async def test_an_arrival_makes_one_job_due_that_says_everything(world: World) -> None:
    user, album = await world.owner("premium")
    upload = await world.arrived(user, album, PICTURE)
    await world.photos.confirm(upload.id, user_id=user)
    payload = {
        "upload": upload.id,
        "kind": "photo",
        "user": user,
        "plan": "premium",
        "target": album,
        "project": None,
        "key": upload.object_key,
    }
    assert await jobs(world.db) == [(turns.PREMIUM, "process_photo", upload.id, payload)]


async def test_fifty_who_confirm_at_once_make_one_job_due(world: World) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album, PICTURE)
    await world.put(ticket.put, PICTURE)
    await asyncio.gather(*(world.photos.confirm(ticket.photo_id, user_id=user) for _ in range(50)))
    assert len(await jobs(world.db)) == 1


async def test_what_does_not_arrive_makes_nothing_due(world: World) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album, PICTURE)
    await world.disk.write(ticket.object_key, once(PICTURE + b"!"), content_type="image/jpeg")
    await world.photos.confirm_batch([ticket.photo_id], user_id=user)
    assert await world.state(ticket.photo_id) == "REJECTED"
    assert await jobs(world.db) == []


async def test_an_arrival_that_is_rolled_back_takes_its_job_with_it(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    await world.db.execute("DELETE FROM pgqueuer")

    async def give_up_halfway() -> None:
        async with world.db.transaction() as tx:
            await queue.enqueue_left_over(tx, arrived_before=world.clock() + timedelta(hours=1), limit=5)
            raise KeyError

    with pytest.raises(KeyError):
        await give_up_halfway()
    assert await jobs(world.db) == []
    assert await world.state(upload.id) == "UPLOADED"


async def test_an_upload_that_lost_its_job_gets_another_and_only_one(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    lost, kept, begun = [await world.arrived(user, album, PICTURE) for _ in range(3)]
    await work_in(world).begin(begun.id)
    await world.db.execute("DELETE FROM pgqueuer WHERE dedupe_key <> $1", str(kept.id))
    assert await queue.keep(world.db, clock(), limit=10) == 0, "a transaction may still be on its way"
    assert await queue.keep(world.db, clock.forward(minutes=2), limit=10) == 2
    assert await queue.keep(world.db, clock(), limit=10) == 0
    assert sorted(key for _, _, key, _ in await jobs(world.db)) == [lost.id, kept.id, begun.id]


async def test_recordings_that_wait_for_their_record_do_not_hide_who_lost_a_job(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    nameless = [await world.arrived(user, album, PICTURE) for _ in range(2)]
    lost = await world.arrived(user, album, PICTURE)
    await world.db.execute("DELETE FROM pgqueuer")
    await world.db.execute("UPDATE uploads SET described_at = NULL WHERE id = ANY ($1)", [one.id for one in nameless])
    assert await queue.keep(world.db, clock.forward(minutes=2), limit=2) == 1
    assert [key for _, _, key, _ in await jobs(world.db)] == [lost.id]


async def test_a_job_that_waits_goes_up_line_by_line(world: World) -> None:
    user, album = await world.owner()
    old, new = [await world.arrived(user, album, PICTURE) for _ in range(2)]
    await world.db.execute(
        "UPDATE pgqueuer SET created = now() - interval '2 minutes' WHERE dedupe_key = $1", str(old.id)
    )
    for line in (turns.PREMIUM, turns.PREMIUM + turns.RECORDING_FIRST):
        assert await turns.age(world.db, ["process_photo"]) == 1
        assert {key: priority for priority, _, key, _ in await jobs(world.db)} == {old.id: line, new.id: turns.FREE}
    assert await turns.age(world.db, ["process_photo"]) == 0


# ── done ──


async def test_a_photo_is_completed_with_its_renditions_and_facts_in_one_go(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    assert await processed(world, upload) is None
    photo = await world.photos.get(upload.id, user_id=user)
    assert (photo.upload.state, photo.width, photo.height) == ("COMPLETED", 120, 80)
    assert photo.blurhash
    made = await renditions.of(world.db, upload.id)
    assert {name: (one.content_type, one.width, one.height) for name, one in made.items()} == {
        "thumb": ("image/webp", 120, 80),
        "large": ("image/webp", 120, 80),
        "clean": ("image/jpeg", 120, 80),
    }
    for one in made.values():
        found = await world.disk.stat(one.object_key)
        assert found is not None
        assert (found.size, found.etag) == (one.size_bytes, one.etag)
    assert [what for what, _ in await world.story(upload.id)] == ["issued", "arrived", "begun", "completed"]
    clock.forward(hours=3)
    await world.sweep.once()
    assert (await world.reconciliation.run()).is_clean
    assert len(await world.keys()) == 4


async def test_a_job_that_is_done_again_does_nothing(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    await processed(world, upload)
    keys, story = await world.keys(), await world.story(upload.id)
    assert await processed(world, upload) is None
    assert (await world.keys(), await world.story(upload.id)) == (keys, story)


async def test_two_workers_at_once_are_one_result_and_nothing_is_left_behind(world: World, clock: HeldClock) -> None:
    """As where one was slow to say that it lives."""
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    results = await asyncio.gather(processed(world, upload), processed(world, upload))
    assert list(results) == [None, None]
    assert [what for what, _ in await world.story(upload.id)].count("completed") == 1
    assert len(await world.keys()) == 7, "the loser's are still there ..."
    clock.forward(hours=2)
    await world.sweep.once()
    made = await renditions.of(world.db, upload.id)
    kept = sorted([upload.object_key, *(one.object_key for one in made.values())])
    assert sorted(await world.keys()) == kept, "... and on record"


async def test_a_worker_that_dies_after_writing_leaves_nothing_behind_for_ever(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)

    class Dead(BaseException):
        pass

    async def die(*_: Any) -> None:
        raise Dead

    with pytest.raises(Dead):
        await processed(world, upload, record={"photo": die})
    assert await world.state(upload.id) == "PROCESSING"
    assert len(await world.keys()) == 4
    assert await renditions.of(world.db, upload.id) == {}
    assert await processed(world, upload) is None
    assert await world.state(upload.id) == "COMPLETED"
    clock.forward(hours=2)
    assert (await world.reconciliation.run()).is_clean, "what is on record is accounted for"
    await world.sweep.once()
    assert len(await world.keys()) == 4


async def test_what_was_made_too_long_ago_is_not_adopted(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)

    class Slow(Sandbox):
        async def develop(self, *args: Any) -> Any:
            return await super().develop(*args)

    class SlowToWrite(Flaky):
        async def write(self, *args: Any, **named: Any) -> Any:
            clock.forward(minutes=25)
            return await world.disk.write(*args, **named)

    slow = world.over(SlowToWrite(world.disk, fails=0))
    assert await work_in(slow, sandbox=Slow(SANDBOX.recipes)).process(await job_of(world, upload), 0) is not None
    assert await world.state(upload.id) == "PROCESSING"
    assert await renditions.of(world.db, upload.id) == {}


async def test_a_photo_that_is_deleted_takes_its_renditions_with_it(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    await processed(world, upload)
    await world.photos.delete(upload.id, user_id=user)
    await world.sweep.once()
    assert await world.keys() == []


async def test_a_photo_that_is_deleted_in_the_middle_leaves_nothing_for_ever(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)

    class Meanwhile(Sandbox):
        async def develop(self, *args: Any) -> Any:
            done = await super().develop(*args)
            await world.photos.delete(upload.id, user_id=user)
            return done

    assert await processed(world, upload, sandbox=Meanwhile(SANDBOX.recipes)) is None
    clock.forward(hours=2)
    await world.sweep.once()
    assert await world.keys() == []


async def test_a_deletion_that_waits_for_the_one_who_finishes_misses_nothing(world: World) -> None:
    """The deletion began before what it must take away was committed."""
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    deleting: list[asyncio.Task[None]] = []

    async def delete_meanwhile(tx: Any, upload_id: int, facts: Mapping[str, Any]) -> None:
        await record_facts(tx, upload_id, facts)
        deleting.append(asyncio.create_task(world.photos.delete(upload_id, user_id=user)))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while not await world.db.fetchval(waits):
            await asyncio.sleep(0)

    await processed(world, upload, record={"photo": delete_meanwhile})
    await deleting[0]
    await world.sweep.once()
    assert await world.keys() == []


async def test_an_object_lost_later_takes_its_renditions_with_it(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    await processed(world, upload)
    await world.disk.delete(upload.object_key)
    clock.forward(hours=2)
    assert (await world.reconciliation.run()).missing == [upload.id]
    await world.sweep.once()
    assert await renditions.of(world.db, upload.id) == {}
    assert await world.keys() == []


# ── refused, failed, tried again ──


async def test_a_file_that_is_no_picture_fails_at_once_with_its_reason(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, NO_PICTURE)
    assert await processed(world, upload) is None
    assert await world.state(upload.id) == "FAILED"
    assert await reason(world, upload) == "The file can't be read as a JPEG: it is damaged or cut off."
    assert await world.keys() == [upload.object_key]


async def test_what_breaks_is_tried_again_later_and_later_and_then_fails(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    pauses = [await processed(world, upload, tried, sandbox=BROKEN) for tried in range(3)]
    assert pauses == [timedelta(seconds=10), timedelta(seconds=20), None]
    assert await world.state(upload.id) == "FAILED"
    assert await reason(world, upload) == "The file made the program crash that reads it."


class Strange(Sandbox):
    """Makes of a file what can't be kept."""

    async def develop(self, *_: Any) -> Done:
        return Done([], {"width": 2**40, "height": 1, "blurhash": "", "camera": None, "taken_at": None})


async def test_what_nobody_thought_of_is_a_failed_try_too(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    work = work_in(world, sandbox=Strange(SANDBOX.recipes))
    with capture_logs() as logged:
        pauses = [await work.process(await job_of(world, upload), tried) for tried in range(3)]
    assert pauses == [timedelta(seconds=10), timedelta(seconds=20), None]
    assert await world.state(upload.id) == "FAILED"
    assert await reason(world, upload) == "This server could not work on the file."
    broke = [line for line in logged if line["event"] == "upload_not_processed"]
    assert [line["exc_info"] for line in broke] == [True] * 3
    count = partial(work.metrics.registry.get_sample_value, "photo_api_processing_duration_seconds_count")
    assert [count({"kind": "photo", "result": result}) for result in ("retry", "failure")] == [2, 1]


async def test_a_job_that_nobody_thought_of_comes_to_an_end(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.jobs.worker.LOOK_AGAIN", timedelta(milliseconds=50))
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    strange = work_in(world, sandbox=Strange(SANDBOX.recipes), pause=timedelta(0))
    async with working(database_url, strange.process):
        await until_empty(world.db)
    assert await world.state(upload.id) == "FAILED"
    assert await queue.enqueue_left_over(world.db, arrived_before=world.clock() + timedelta(1), limit=10) == []


async def test_storage_that_is_away_never_fails_an_upload_nor_counts_as_a_try(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    away = work_in(world.over(Flaky(world.disk, fails=10**6)))
    pauses = [await away.process(await job_of(world, upload), tried) for tried in range(6)]
    assert pauses == [timedelta(seconds=seconds) for seconds in (10, 20, 40, 80, 160, 300)]
    assert await world.state(upload.id) == "PROCESSING"
    assert await processed(world, upload, 6, sandbox=BROKEN) == timedelta(seconds=10), "the first that failed"
    assert await away.process(await job_of(world, upload), 7) == timedelta(minutes=5)
    assert await processed(world, upload, 8) is None
    assert await world.state(upload.id) == "COMPLETED"


async def test_a_file_replaced_after_it_arrived_is_rejected(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    await world.disk.write(upload.object_key, once(PICTURE[::-1]), content_type="image/jpeg")
    assert await processed(world, upload) is None
    assert await world.state(upload.id) == "REJECTED"
    assert await reason(world, upload) == "The file was replaced after it arrived."
    assert await world.keys() == []
    assert await world.quota(user) == (0, 0, 0)


async def test_a_file_that_is_gone_is_rejected(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    await world.disk.delete(upload.object_key)
    await processed(world, upload)
    assert (await world.state(upload.id), await reason(world, upload)) == (
        "REJECTED",
        "The file is no longer in storage.",
    )


async def test_other_bytes_than_declared_are_found_out_by_the_worker_where_storage_was_not_strict(
    world: World,
) -> None:
    """Ceph 16 takes other bytes under a signed checksum, and as the disk store, its HEAD says nothing of it."""
    user, album = await world.owner()
    ticket = await world.issue(user, album, PICTURE, sha256=hashlib.sha256(b"others").hexdigest())

    await world.disk.write(ticket.object_key, once(PICTURE), content_type="image/jpeg")
    upload = await world.photos.confirm(ticket.photo_id, user_id=user)
    await processed(world, upload)
    assert (await world.state(upload.id), await reason(world, upload)) == (
        "REJECTED",
        "The bytes do not have the SHA-256 that was declared.",
    )


async def test_a_failed_upload_is_tried_again_when_an_administrator_says_so(world: World) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    with pytest.raises(NotFailed):
        await world.uploads.retry(upload.id)
    with pytest.raises(UploadNotFound):
        await world.uploads.retry(999)
    for tried in range(3):
        await processed(world, upload, tried, sandbox=BROKEN)
    await world.db.execute("DELETE FROM pgqueuer")
    await world.uploads.retry(upload.id)
    assert await world.state(upload.id) == "UPLOADED"
    assert await processed(world, upload, sandbox=BROKEN) == timedelta(seconds=10), "it has all its tries again"
    assert await processed(world, upload) is None
    assert await world.story(upload.id) == [
        ("issued", "client"),
        ("arrived", "client"),
        ("begun", "worker"),
        ("failed", "worker"),
        ("retried", "admin"),
        ("begun", "worker"),
        ("completed", "worker"),
    ]
    assert await reason(world, upload) is None
    assert await world.quota(user) == (0, len(PICTURE), 0)


async def test_a_late_confirm_does_not_put_a_failed_upload_back(world: World) -> None:
    """Two confirms looked at it while it waited; when the second comes to move it, it has failed already."""
    user, album = await world.owner()
    ticket = await world.issue(user, album, NO_PICTURE)
    await world.put(ticket.put, NO_PICTURE)
    seen = await world.uploads.get(ticket.photo_id, owner_id=user)
    upload = await world.photos.confirm(ticket.photo_id, user_id=user)
    await processed(world, upload)
    assert (await world.uploads.land(seen, trigger=Trigger.EVENT)).state == "FAILED"
    assert await world.state(upload.id) == "FAILED"


# ── the worker ──


@asynccontextmanager
async def working(database_url: str, handler: Handler, concurrency: int = 2) -> AsyncIterator[Worker]:
    worker = Worker(database_url, {"process_photo": handler}, concurrency, Metrics().processing_active)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        await worker.stop(0)
        await asyncio.wait_for(running, 20)


async def until_empty(db: Database) -> None:
    async with asyncio.timeout(20):
        while await db.fetchval("SELECT count(*) FROM pgqueuer"):
            await asyncio.sleep(0)


async def test_a_worker_does_what_is_due_and_what_becomes_due(world: World, database_url: str) -> None:
    user, album = await world.owner()
    before = await world.arrived(user, album, PICTURE)
    async with working(database_url, work_in(world).process):
        meanwhile = [await world.arrived(user, album, PICTURE) for _ in range(3)]
        await until_empty(world.db)
    assert {await world.state(upload.id) for upload in (before, *meanwhile)} == {"COMPLETED"}


async def test_premium_goes_first_and_of_equals_the_older(world: World, database_url: str) -> None:
    free, paid = await world.owner(), await world.owner("premium")
    uploads = [await world.arrived(*who, PICTURE) for who in (free, free, paid, free, paid)]
    done: list[int] = []

    async def note(job: Mapping[str, Any], _: int) -> None:
        done.append(job["upload"])

    async with working(database_url, note, concurrency=1):
        await until_empty(world.db)
    assert done == [uploads[at].id for at in (2, 4, 0, 1, 3)]


async def test_a_worker_is_at_no_more_jobs_than_it_has_seats(world: World, database_url: str) -> None:
    user, album = await world.owner()
    for _ in range(6):
        await world.arrived(user, album, PICTURE)
    at_once: list[int] = []
    active = 0

    async def note(*_: Any) -> None:
        nonlocal active
        active += 1
        at_once.append(active)
        for _turn in range(50):
            await asyncio.sleep(0)
        active -= 1

    async with working(database_url, note, concurrency=1):
        await until_empty(world.db)
    assert (len(at_once), max(at_once)) == (6, 1)


async def test_slow_jobs_leave_a_seat_for_others(world: World, database_url: str) -> None:
    user, album = await world.owner()
    for _ in range(3):
        await world.arrived(user, album, PICTURE)
    await world.db.execute("UPDATE pgqueuer SET entrypoint = 'process_video'")
    begun: list[str] = []
    may_end = asyncio.Event()

    async def slow(*_: Any) -> None:
        begun.append("slow")
        await may_end.wait()

    async def quick(*_: Any) -> None:
        begun.append("quick")
        may_end.set()

    gauge = Metrics().processing_active
    handlers: dict[str, Handler] = {"process_video": slow, "process_photo": quick}
    worker = Worker(database_url, handlers, 2, gauge, slow=frozenset({"process_video"}))
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(20):
        while not begun:
            await asyncio.sleep(0)
    await world.arrived(user, album, PICTURE)
    await until_empty(world.db)
    await worker.stop(0)
    await asyncio.wait_for(running, 20)
    assert begun == ["slow", "quick", "slow", "slow"]


async def test_what_is_to_be_tried_again_is(world: World, database_url: str) -> None:
    user, album = await world.owner()
    await world.arrived(user, album, PICTURE)
    tries: list[int] = []

    async def stumble(_: Mapping[str, Any], tried: int) -> timedelta | None:
        tries.append(tried)
        return timedelta(0) if tried < 2 else None

    async with working(database_url, stumble):
        await until_empty(world.db)
    assert tries == [0, 1, 2]


async def test_stopping_hands_back_what_does_not_finish(world: World, database_url: str) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    begun, never = asyncio.Event(), asyncio.Event()

    async def hang(*_: Any) -> None:
        begun.set()
        await never.wait()

    async with working(database_url, hang):
        await asyncio.wait_for(begun.wait(), 20)
    row = await world.db.fetchrow("SELECT status, execute_after <= now() FROM pgqueuer")
    assert row is not None
    assert tuple(row) == ("queued", True)
    async with working(database_url, work_in(world).process):
        await until_empty(world.db)
    assert await world.state(upload.id) == "COMPLETED"


async def test_what_was_handed_back_was_not_tried(world: World, database_url: str) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    begun, never = asyncio.Event(), asyncio.Event()

    class Hanging(Sandbox):
        async def develop(self, *_: Any) -> Spoiled:
            begun.set()
            await never.wait()
            raise AssertionError

    for _ in range(3):
        async with working(database_url, work_in(world, sandbox=Hanging(SANDBOX.recipes)).process):
            await asyncio.wait_for(begun.wait(), 20)
        begun.clear()
    tried = await world.db.fetchval("SELECT attempts FROM pgqueuer")
    assert tried == 3
    assert await processed(world, upload, tried, sandbox=BROKEN) == timedelta(seconds=10)


async def test_a_job_whose_worker_died_is_taken_up_by_the_next(world: World, database_url: str) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album, PICTURE)
    await work_in(world).begin(upload.id)
    await world.db.execute(
        """UPDATE pgqueuer SET status = 'picked', queue_manager_id = gen_random_uuid(),
                  heartbeat = now() - interval '21 seconds'"""
    )
    async with working(database_url, work_in(world).process):
        await until_empty(world.db)
    assert await world.state(upload.id) == "COMPLETED"
    assert [what for what, _ in await world.story(upload.id)].count("completed") == 1


async def test_a_worker_whose_connection_is_cut_makes_another(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.jobs.worker.ANOTHER_TRY_SECONDS", 0)
    user, album = await world.owner()
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mooring worker'"
    async with working(database_url, work_in(world).process):
        for _ in range(2):
            upload = await world.arrived(user, album, PICTURE)
            await until_empty(world.db)
            assert await world.state(upload.id) == "COMPLETED"
            async with asyncio.timeout(10):
                while not await world.db.fetch(cut):
                    await asyncio.sleep(0)
        await world.arrived(user, album, PICTURE)
        await until_empty(world.db)


async def test_old_lines_of_the_log_are_purged(world: World) -> None:
    await world.db.execute(
        """INSERT INTO pgqueuer_log (job_id, status, priority, entrypoint, created)
           SELECT 1, 'successful', 0, 'x', now() - make_interval(days => n) FROM generate_series(1, 10) AS n"""
    )
    assert await queue.purge_log(world.db, limit=3) == 4
    assert await world.db.fetchval("SELECT count(*) FROM pgqueuer_log") == 6
