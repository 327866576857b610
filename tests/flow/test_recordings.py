"""Recordings and their records on the real database: made once, by their owner, heard of when they are done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from conftest import HeldClock
from flaky import Flaky
from mooring.clock import now
from mooring.db.notices import Listening, Notices
from mooring.db.pool import Database
from mooring.errors import RecordNotFound, RecordOperationFailed, RecordPermissionDenied
from mooring.library.recordings import CHANNEL, Record, Recordings, record_facts
from mooring.observe.metrics import Metrics
from mooring.uploads.batch import Batch
from mooring.uploads.lifecycle import Move, State, Trigger, advance
from mooring.uploads.sweep import say_batch_size
from world import BODY, World, once

ORPHANS = Path(__file__).with_name("guide_003.sql").read_text()
FACTS = {"duration_seconds": 12.6, "codec": "opus", "sample_rate": 48_000, "channels": 1}


async def recording(world: World, user_id: int, *, with_bytes: bool = True) -> int:
    ticket = await world.issue_recording(user_id)
    if with_bytes:
        await world.put(ticket.put, content_type="audio/mpeg")
    return ticket.upload_id


async def jobs(world: World) -> list[tuple[str, int]]:
    return [tuple(row) for row in await world.db.fetch("SELECT entrypoint, dedupe_key::bigint FROM pgqueuer")]


async def finish(world: World, upload_id: int, facts: dict[str, Any] = FACTS) -> None:
    """As a worker ends it."""
    await advance(world.db, State.PROCESSING, [Move(upload_id, Trigger.WORKER)], what="begun", at=world.clock())
    key, body = f"renditions/{upload_id}_audio", b"the sound"
    found = await world.disk.write(key, once(body), content_type="audio/mp4")
    async with world.db.transaction() as tx:
        at = world.clock()
        await advance(tx, State.COMPLETED, [Move(upload_id, Trigger.WORKER)], what="completed", at=at)
        await tx.execute(
            """INSERT INTO renditions (upload_id, name, object_key, content_type, size_bytes, etag)
               VALUES ($1, 'audio', $2, 'audio/mp4', $3, $4)""",
            upload_id,
            key,
            len(body),
            found.etag,
        )
        await record_facts(tx, upload_id, facts)


# ── created once ──


async def test_fifty_at_once_make_one_record_and_one_job(world: World) -> None:
    user = await world.user()
    upload_id = await recording(world, user)
    await world.recordings.look_for_bytes(upload_id, user_id=user)
    tries = await asyncio.gather(*(world.describe(upload_id, user) for _ in range(50)), return_exceptions=True)
    made = [one for one in tries if isinstance(one, Record)]
    refusals = {str(one) for one in tries if isinstance(one, RecordOperationFailed)}
    assert len(made) == 1
    assert len(tries) - sum(isinstance(one, RecordOperationFailed) for one in tries) == 1
    assert refusals == {f"Upload {upload_id} already has a record: {made[0].id}."}
    assert await world.db.fetchval("SELECT count(*) FROM records") == 1
    assert await jobs(world) == [("process_recording", upload_id)]
    assert [what for what, _ in await world.story(upload_id)] == ["issued", "arrived", "described"]


async def test_the_database_itself_takes_no_second_record(world: World) -> None:
    user = await world.user()
    record = await world.describe(await recording(world, user), user)
    with pytest.raises(asyncpg.UniqueViolationError, match="uk_records_upload_id"):
        await world.db.execute(
            "INSERT INTO records (user_id, upload_id, title) VALUES ($1, $2, 'x')", user, record.upload_id
        )


async def test_it_is_not_worked_on_before_its_record_is_there(world: World) -> None:
    user = await world.user()
    upload_id = await recording(world, user)
    await world.uploads.arrive(upload_id, trigger=Trigger.EVENT)
    assert (await world.state(upload_id), await jobs(world)) == ("UPLOADED", [])
    world.clock.forward(hours=2)  # type: ignore[attr-defined]
    await world.sweep.once()
    assert await jobs(world) == []
    await world.describe(upload_id, user)
    assert await jobs(world) == [("process_recording", upload_id)]


@pytest.mark.parametrize("told_by", ["event", "sweep", "client"])
async def test_a_record_that_came_first_waits_for_the_bytes(world: World, clock: HeldClock, told_by: str) -> None:
    user = await world.user()
    ticket = await world.issue_recording(user)
    await world.recordings.look_for_bytes(ticket.upload_id, user_id=user)
    record = await world.describe(ticket.upload_id, user)
    assert (record.processing_status, world.recordings.public_url(record)) == ("PROCESSING", None)
    assert await jobs(world) == []
    await world.put(ticket.put, content_type="audio/mpeg")
    if told_by == "event":
        await world.uploads.arrive_at(ticket.object_key, trigger=Trigger.EVENT)
    elif told_by == "client":
        await world.recordings.look_for_bytes(ticket.upload_id, user_id=user)
    else:
        clock.forward(minutes=16)
        assert (await world.sweep.once()).arrived == 1
    assert await jobs(world) == [("process_recording", ticket.upload_id)]


async def test_asking_for_the_record_is_saying_that_the_bytes_are_there(world: World) -> None:
    user = await world.user()
    upload_id = await recording(world, user)
    await world.recordings.look_for_bytes(upload_id, user_id=user)
    assert await world.story(upload_id) == [("issued", "client"), ("arrived", "client")]


async def test_storage_that_can_not_tell_does_not_keep_a_record_from_being_made(world: World) -> None:
    user = await world.user()
    upload_id = await recording(world, user)
    away = world.over(Flaky(world.disk, fails=10**6)).recordings
    await away.look_for_bytes(upload_id, user_id=user)
    assert (await world.describe(upload_id, user)).processing_status == "PROCESSING"
    await world.uploads.arrive(upload_id, trigger=Trigger.SWEEP)
    assert await jobs(world) == [("process_recording", upload_id)]


# ── of what no record can be made ──


async def test_why_no_record_is_made_is_said_and_nothing_is_changed(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    other = await world.user()
    mine, theirs = await recording(world, user), await recording(world, other)
    photo = await world.arrived(user, album)
    wrong, gone = await world.issue_recording(user), await world.issue_recording(user)
    await world.disk.write(wrong.object_key, once(BODY + b"!"), content_type="audio/mpeg")
    await world.recordings.look_for_bytes(wrong.upload_id, user_id=user)
    clock.forward(hours=30)
    await world.sweep.once()
    expected = {
        999: "Upload not found: 999.",
        photo.id: f"Upload {photo.id} is a photo, not a recording.",
        wrong.upload_id: f"Upload {wrong.upload_id} was rejected: 24 bytes were declared",
        gone.upload_id: f"Upload {gone.upload_id} lapsed long ago.",
    }
    expected[wrong.upload_id] = f"Upload {wrong.upload_id} was rejected: {len(BODY)} bytes were declared"
    for upload_id, why in expected.items():
        with pytest.raises(RecordOperationFailed) as refused:
            await world.describe(upload_id, user)
        assert str(refused.value).startswith(why)
    with pytest.raises(RecordPermissionDenied, match=f"^Permission denied for upload: {theirs}, user: {user}$"):
        await world.describe(theirs, user)
    with pytest.raises(RecordOperationFailed, match=r"^Song not found: 5\.$"):
        await world.describe(mine, user, song_id=5)
    assert await world.db.fetchval("SELECT count(*) FROM records") == 0
    assert (
        await world.db.fetchval("SELECT count(*) FROM uploads WHERE kind <> 'photo' AND described_at IS NOT NULL") == 0
    )
    assert (await world.describe(mine, user)).upload_id == mine


async def test_a_record_is_its_owners_alone_and_of_others_it_is_said(world: World) -> None:
    user, other = await world.user(), await world.user()
    record = await world.describe(await recording(world, user), user)
    with pytest.raises(RecordPermissionDenied, match=f"^Permission denied for record: {record.id}, user: {other}$"):
        await world.recordings.get(record.id, user_id=other)
    with pytest.raises(RecordPermissionDenied):
        await world.recordings.delete(record.id, user_id=other)
    with pytest.raises(RecordNotFound, match=r"^Record not found: 99$"):
        await world.recordings.get(99, user_id=user)


# ── worked on ──


@pytest.fixture
async def listening(world: World, database_url: str) -> AsyncIterator[Recordings]:
    """As in a server: patient beyond any test, and hearing what any process tells."""
    notices = Notices(CHANNEL)
    hearing = asyncio.create_task(Listening(database_url, [notices]).run())
    await notices.is_heard.wait()
    yield replace(world.recordings, notices=notices, patience=timedelta(seconds=60))
    hearing.cancel()
    with suppress(asyncio.CancelledError):
        await hearing


async def described(world: World) -> Record:
    user = await world.user()
    upload_id = await recording(world, user)
    await world.recordings.look_for_bytes(upload_id, user_id=user)
    return await world.describe(upload_id, user, duration_seconds=99)


async def waiting_for(recordings: Recordings, record: Record) -> "asyncio.Task[Record]":
    """A request that waits for its answer, and has looked once already."""
    asking = recordings.settled(record.id, record.upload_id, user_id=record.user_id)
    waiting = asyncio.create_task(asking)
    while not recordings.notices.is_expected(str(record.upload_id)):
        await asyncio.sleep(0)
    return waiting


async def test_whoever_waits_hears_of_it_when_any_process_is_done(
    world: World, listening: Recordings, clock: HeldClock
) -> None:
    record = await described(world)
    waiting = await waiting_for(listening, record)
    clock.forward(seconds=30)
    await finish(world, record.upload_id)
    async with asyncio.timeout(10):
        done = await waiting
    assert (done.processing_status, done.duration_seconds) == ("COMPLETED", 13)
    assert (done.created_at, done.updated_at) == (record.created_at, record.created_at + timedelta(seconds=30))
    assert done.audio
    assert (done.audio.object_key, done.audio.content_type) == (f"renditions/{record.upload_id}_audio", "audio/mp4")
    assert done.audio.object_key in (world.recordings.public_url(done) or "")
    row = await world.db.fetchrow("SELECT codec, sample_rate, channels FROM records")
    assert tuple(row or ()) == ("opus", 48_000, 1)


async def test_a_failure_is_heard_of_too(world: World, listening: Recordings) -> None:
    record = await described(world)
    waiting = await waiting_for(listening, record)
    await advance(world.db, State.PROCESSING, [Move(record.upload_id, Trigger.WORKER)], what="begun", at=world.clock())
    failed = Move(record.upload_id, Trigger.WORKER, error="This is no sound.")
    await advance(world.db, State.FAILED, [failed], what="failed", at=world.clock())
    async with asyncio.timeout(10):
        assert (await waiting).processing_status == "FAILED"


async def test_done_before_anybody_waits_is_answered_at_once(world: World, listening: Recordings) -> None:
    record = await described(world)
    await finish(world, record.upload_id)
    async with asyncio.timeout(10):
        done = await listening.settled(record.id, record.upload_id, user_id=record.user_id)
    assert done.processing_status == "COMPLETED"


async def test_patience_ends_and_the_answer_says_how_it_stands(world: World, listening: Recordings) -> None:
    record = await described(world)
    hasty = replace(listening, patience=timedelta(milliseconds=1))
    answer = await hasty.settled(record.id, record.upload_id, user_id=record.user_id)
    assert answer.processing_status == "PROCESSING"
    counts = {
        result: hasty.metrics.immediate_processing.labels(result)._value.get() for result in ("completed", "deferred")
    }
    assert counts == {"completed": 0, "deferred": 1}


async def test_nobody_waits_for_bytes_that_are_still_to_come(world: World, listening: Recordings) -> None:
    user = await world.user()
    record = await world.describe(await recording(world, user, with_bytes=False), user)
    async with asyncio.timeout(10):
        answer = await listening.settled(record.id, record.upload_id, user_id=user)
    assert answer.processing_status == "PROCESSING"


async def test_notices_are_heard_again_when_the_connection_was_lost(
    world: World, listening: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.db.notices.ANOTHER_TRY_SECONDS", 0.01)
    record = await described(world)
    waiting = await waiting_for(listening, record)
    await world.db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mooring notices'"
    )
    async with asyncio.timeout(10):
        while listening.notices.is_heard.is_set():
            await asyncio.sleep(0)
        await listening.notices.is_heard.wait()
        await finish(world, record.upload_id)
        assert (await waiting).processing_status == "COMPLETED"


# ── listed and removed ──


class Counting:
    """A database that counts what it is asked."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.statements = 0

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        self.statements += 1
        return await self.db.fetch(sql, *args)


async def test_a_hundred_records_are_listed_by_one_statement(world: World) -> None:
    user = await world.user("premium")
    records = [await world.describe(await recording(world, user), user, f"No. {number}") for number in range(100)]
    for record in records[:10]:
        await world.recordings.look_for_bytes(record.upload_id, user_id=user)
        await finish(world, record.upload_id)
    counting = Counting(world.db)
    listing = replace(world.recordings, uploads=replace(world.uploads, db=counting))  # type: ignore[arg-type]
    page = await listing.page(user_id=user, before=None, limit=1000)
    assert [record.id for record in page] == [record.id for record in reversed(records)]
    assert sum(listing.public_url(record) is not None for record in page) == 10
    assert counting.statements == 1
    assert [record.title for record in await listing.page(user_id=user, before=page[97].id, limit=5)] == [
        "No. 1",
        "No. 0",
    ]


async def test_a_deleted_record_leaves_nothing_and_frees_its_bytes(world: World) -> None:
    user = await world.user()
    record = await world.describe(await recording(world, user), user)
    await world.recordings.look_for_bytes(record.upload_id, user_id=user)
    await finish(world, record.upload_id)
    assert await world.quota(user) == (0, len(BODY), 0)
    assert len(await world.keys()) == 2
    await world.recordings.delete(record.id, user_id=user)
    await world.sweep.once()
    assert await world.quota(user) == (0, 0, 0)
    assert await world.keys() == []
    assert await world.db.fetchval("SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM uploads)") == 0


# ── guide 003's SQL ──


async def test_the_guides_orphan_query_finds_what_arrived_and_was_never_described(
    world: World, clock: HeldClock
) -> None:
    clock.at = now() - timedelta(minutes=30)
    user, album = await world.owner()
    orphan, mine, _ = [await recording(world, user, with_bytes=with_bytes) for with_bytes in (True, True, False)]
    for upload_id in (orphan, mine):
        await world.recordings.look_for_bytes(upload_id, user_id=user)
    await world.describe(mine, user)
    await world.arrived(user, album)
    clock.at = now()
    await world.recordings.look_for_bytes(await recording(world, user), user_id=user)
    found = await world.db.fetch(ORPHANS)
    assert [row["id"] for row in found] == [orphan]
    guides = {"uuid", "original_filename", "extension", "uploader_id", "file_size", "content_type", "directory"}
    assert guides | {"processing_status", "processing_error_message", "created_at"} <= set(found[0].keys())


async def test_the_guides_indexes_and_constraint_have_its_names(db: Database) -> None:
    names = {row[0] for row in await db.fetch("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")}
    assert {
        "uk_records_upload_id",
        "idx_records_user_id",
        "idx_records_created_at",
        "idx_uploads_processing_status",
        "idx_uploads_directory",
    } <= names
    columns = await db.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = 'records'")
    guides = {"id", "user_id", "song_id", "upload_id", "title", "duration_seconds", "created_at", "updated_at"}
    assert guides <= {row[0] for row in columns}


# ── batch administration ──


async def test_a_size_that_was_said_is_every_sweeps(world: World, clock: HeldClock) -> None:
    user = await world.user("premium")
    for _ in range(7):
        await recording(world, user)
    clock.forward(minutes=16)
    asked: list[int] = []

    class Watching(Database):
        async def fetch(self, sql: str, *args: object) -> list[Any]:
            if "look_at <= $1" in sql:
                asked.append(int(str(args[2])))
            return await super().fetch(sql, *args)

    watched = replace(world.uploads, db=Watching(world.db.pool, world.db.turns))
    await say_batch_size(world.db, 3)
    swept = await replace(world.sweep, uploads=watched).once()
    assert (swept.arrived, asked) == (7, [3, 3, 3])
    await say_batch_size(world.db, 100)
    await replace(world.sweep, uploads=watched).once()
    assert asked[3:] == [100]


async def test_statistics_count_what_is_worked_on_and_what_waits(world: World) -> None:
    records = [await described(world) for _ in range(4)]
    await finish(world, records[0].upload_id)
    for record in records[1:3]:
        move = Move(record.upload_id, Trigger.WORKER, error="No.")
        await advance(world.db, State.PROCESSING, [move], what="begun", at=world.clock())
        if record is records[2]:
            await advance(world.db, State.FAILED, [move], what="failed", at=world.clock())
    await world.db.execute("UPDATE pgqueuer SET status = 'picked' WHERE dedupe_key = $1", str(records[1].upload_id))
    batch = Batch(world.db, world.sweep, Metrics())
    found = await batch.statistics()
    await batch.show_depth()
    assert batch.metrics.registry.get_sample_value("photo_api_batch_queue_depth") == 3
    assert (found.active_jobs, found.queue_depth) == (1, 3)
    assert (found.processing_count, found.failed_count, found.completed_count) == (1, 1, 1)


async def test_a_triggered_sweep_runs_beside_no_other(world: World, clock: HeldClock) -> None:
    upload_id = await recording(world, await world.user())
    clock.forward(minutes=16)
    batch = Batch(world.db, world.sweep, Metrics())
    batch.trigger()
    running = batch._sweeping
    batch.trigger()
    assert batch._sweeping is running
    assert running
    await running
    assert await world.state(upload_id) == "UPLOADED"
    batch.trigger()
    assert batch._sweeping is not running
    await batch.close()
