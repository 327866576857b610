"""Recordings and videos from their job to their end, on the real database, and the children that work on them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

import films
import sounds
from children import RECIPES
from mooring.db.pool import Executor
from mooring.observe.metrics import Metrics
from mooring.processing.sandbox import Done, Sandbox, nameless
from mooring.uploads import queries, renditions
from mooring.uploads.work import Work
from world import World, once

RECORDING = sounds.sound("audio/webm")


class Bench:
    """A worker's hands, without a worker."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.facts: dict[int, Mapping[str, Any]] = {}
        self.sandbox = Sandbox(RECIPES)
        self.work = Work(
            world.uploads,
            self.sandbox,
            record={"recording": self._note, "video": self._note},
            metrics=Metrics(),
            attempts=3,
            pause=timedelta(seconds=10),
        )

    async def _note(self, _: Executor, upload_id: int, facts: Mapping[str, Any]) -> None:
        self.facts[upload_id] = facts

    async def arrived(self, kind: str, body: bytes) -> dict[str, Any]:
        """The job of an upload whose bytes are there."""
        user, key = await self.world.user(), f"{kind}s/{os.urandom(8).hex()}"
        found = await self.world.disk.write(key, once(body), content_type="x")
        upload = await self.world.db.fetchval(
            """INSERT INTO uploads (uuid, kind, original_filename, extension, uploader_id, file_size, content_type,
                   directory, object_key, processing_status, reserved_bytes, created_at, expires_at, look_at,
                   described_at, completed_at, etag)
               VALUES (gen_random_uuid(), $1, 'a', '', $2, $3, 'x', $1, $4, 'UPLOADED', 0, $5, $5, $5, $5, $5, $6)
               RETURNING id""",
            kind,
            user,
            max(1, len(body)),
            key,
            self.world.clock(),
            found.etag,
        )
        return {"upload": upload, "kind": kind, "user": user}

    async def processed(self, kind: str, body: bytes) -> int:
        job = await self.arrived(kind, body)
        assert await self.work.process(job, 0) is None
        return int(job["upload"])

    async def ended(self, upload_id: int) -> tuple[str, str | None, int | None]:
        row = await self.world.db.fetchrow(
            "SELECT processing_status, processing_error_message, progress FROM uploads WHERE id = $1", upload_id
        )
        assert row is not None
        return tuple(row)


@pytest.fixture
async def bench(world: World) -> AsyncIterator[Bench]:
    bench = Bench(world)
    yield bench
    await bench.sandbox.close()


async def test_a_recording_is_completed_with_its_sound_and_its_waveform(bench: Bench) -> None:
    upload = await bench.processed("recording", RECORDING)
    assert await bench.ended(upload) == ("COMPLETED", None, 100)
    made = await renditions.of(bench.world.db, upload)
    assert {name: (one.content_type, one.width, one.height) for name, one in made.items()} == {
        "audio": ("audio/mp4", None, None),
        "peaks": ("application/json", None, None),
    }
    assert made["audio"].object_key.endswith("_audio.m4a")
    assert set(bench.facts[upload]) == {"duration_seconds", "codec", "sample_rate", "channels"}


async def test_a_video_is_completed_with_its_copy_and_its_poster(bench: Bench) -> None:
    upload = await bench.processed("video", films.film(seconds=0.5))
    assert await bench.ended(upload) == ("COMPLETED", None, 100)
    made = await renditions.of(bench.world.db, upload)
    assert {name: (one.content_type, one.width, one.height) for name, one in made.items()} == {
        "720p": ("video/mp4", 320, 180),
        "poster": ("image/jpeg", 320, 180),
    }
    assert bench.facts[upload]["video_codec"] == "h264"


async def test_how_far_a_video_is_is_kept_while_it_is_worked_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str | None, int | None]] = []
    keep = queries.keep_progress

    async def look(tx: Executor, upload_id: int, percent: int) -> None:
        await keep(tx, upload_id, percent)
        seen.append(await bench.ended(upload_id))

    monkeypatch.setattr("mooring.uploads.work.PROGRESS_SECONDS", 0)
    monkeypatch.setattr(queries, "keep_progress", look)
    upload = await bench.processed("video", films.film(seconds=4, size=(640, 360)))
    assert len(seen) > 5
    assert {state for state, _, _ in seen} == {"PROCESSING"}
    percents = [percent for _, _, percent in seen if percent is not None]
    assert percents == sorted(percents)
    assert 0 <= percents[0] < percents[-1] < 100
    assert [what for what, _ in await bench.world.story(upload)] == ["begun", "completed"]
    await keep(bench.world.db, upload, 7)
    assert (await bench.ended(upload))[2] == 100, "whoever comes late says nothing"


async def test_progress_is_kept_no_more_than_once_a_second(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []

    async def note(_: Executor, __: int, percent: int) -> None:
        kept.append(percent)

    monkeypatch.setattr(queries, "keep_progress", note)
    monkeypatch.setattr("mooring.uploads.work.PROGRESS_SECONDS", 3600)
    await bench.processed("video", films.film(seconds=2))
    assert kept == []


BAD: list[tuple[str, bytes, str]] = [
    ("recording", b"Dear diary, I did not record anything. " * 50, "The file is no recording that we know."),
    ("recording", b"\0", "The file is no recording that we know."),
    ("recording", films.film(seconds=0.2, sound=False), "There is no sound in the file that we can read."),
    ("recording", sounds.wav(700, bytes(2 * 700 * 1000), 1000), "The recording lasts longer than 600 seconds"),
    ("video", b"Dear diary, I filmed nothing. " * 50, "The file is no video that we know."),
    ("video", sounds.sound("audio/mp4"), "There are no moving pictures in the file that we can read."),
    ("video", films.film(seconds=0.2)[:400], "The file can't be read as an MP4: it is damaged or cut off."),
]


async def test_what_is_bad_fails_with_its_reason_and_what_follows_is_worked_on(bench: Bench) -> None:
    for kind, body, reason in BAD:
        upload = await bench.processed(kind, body)
        state, said, progress = await bench.ended(upload)
        assert (state, progress) == ("FAILED", None)
        assert said is not None
        assert said.startswith(reason)
        assert await renditions.of(bench.world.db, upload) == {}
    for kind, body in (("recording", RECORDING), ("video", films.film(seconds=0.2))):
        assert (await bench.ended(await bench.processed(kind, body)))[0] == "COMPLETED"


# ── the spare ──


async def develop(sandbox: Sandbox) -> Done:
    with ExitStack() as closing:
        original = closing.enter_context(nameless())
        original.write(RECORDING)
        original.flush()
        outcome = await sandbox.develop("recording", original, "audio/webm", closing)
        assert isinstance(outcome, Done), outcome
        return outcome


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "mooring.processing.child" in child.cmdline()
    ]


async def test_the_next_child_stands_by_and_works_on_one_file_like_any_other() -> None:
    sandbox = Sandbox(RECIPES)
    await develop(sandbox)
    [spare] = [await task for task in sandbox._spares.values()]
    assert psutil.pid_exists(spare.process.pid)
    await develop(sandbox)
    assert spare.process.returncode == 0, "it was this one"
    await sandbox.close()
    assert children() == []


async def test_a_spare_that_died_is_replaced() -> None:
    sandbox = Sandbox(RECIPES)
    await develop(sandbox)
    [spare] = [await task for task in sandbox._spares.values()]
    os.kill(spare.process.pid, signal.SIGKILL)
    await spare.process.wait()
    await develop(sandbox)
    await sandbox.close()
    assert children() == []


async def test_two_at_once_have_a_child_each() -> None:
    sandbox = Sandbox(RECIPES)
    await asyncio.gather(*(develop(sandbox) for _ in range(3)))
    await sandbox.close()
    assert children() == []
