"""People with their uploads, what may be done to one, and what each remembers of what it was told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from conftest import HeldClock
from mooring.errors import (
    FileNotArrived,
    NotPending,
    ObjectExists,
    ObjectNotFound,
    PhotoNotFound,
    QuotaExceeded,
    TooManyInFlight,
    UploadGone,
    UploadNotFound,
    UploadRejected,
    UrlNotValid,
)
from mooring.library.photos import Ticket
from mooring.storage.port import Signed
from mooring.uploads.lifecycle import GIVEN_UP, SLOW_PUT, STORED, State, Trigger, Upload
from mooring.uploads.quota import Plan
from mooring.uploads.service import Claim
from world import World, key_and_query, once, with_plans

from . import in_parts, working
from .in_parts import Parts

PLAN = Plan("free", 10_000, 4)
TERMS = with_plans(PLAN, Plan("premium", 30_000, 8))
AWAITED = frozenset(State) - GIVEN_UP
NOT_TO_BE_HAD = (FileNotArrived, UploadRejected, UploadGone, PhotoNotFound, UploadNotFound)
TABLES = [
    "pgqueuer",
    "upload_events",
    "renditions",
    "removals",
    "reconciliations",
    "album_photos",
    "photos",
    "uploads",
    "albums",
    "quotas",
    "users",
]


@dataclass
class Known:
    """An upload as its owner knows it. What was told once must stay true."""

    id: int
    owner: int
    key: str
    body: bytes = field(repr=False)
    urls: list[Signed] = field(repr=False)
    lapses_at: datetime
    promised: bool = False  # storage took the right bytes while the upload waited for them
    arrived: bool = False
    sure: bool = False  # arrived, and nobody has touched the object since
    deleted: bool = False
    delete_asked: bool = False
    meddled: bool = False  # somebody changed or took the object behind our back ...
    meddled_now: bool = False  # ... in this very step
    ever_meddled: bool = False
    parts: Parts | None = None  # where it is sent in parts
    strewn: bool = False  # somebody wrote an object that nobody waited for

    def told(self, upload: Upload) -> None:
        assert upload.id == self.id
        assert upload.state in STORED
        assert upload.completed_at is not None
        self.arrived = True
        self.sure = not self.meddled

    def meddle(self) -> None:
        self.meddled = self.meddled_now = self.ever_meddled = True
        self.promised = self.sure = False


@dataclass
class SlowPut:
    upload: Known
    last_byte: asyncio.Event
    task: "asyncio.Task[object]"
    part: int | None = None


@dataclass
class Scene:
    world: World  # as it is, for looking; deeds come through a process of their own
    clock: HeldClock
    people: list[tuple[int, int]] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    slow: list[SlowPut] = field(default_factory=list)

    @classmethod
    async def opened(cls, world: World, clock: HeldClock, *, people: int) -> "Scene":
        await world.db.execute("; ".join(f"DELETE FROM {table}" for table in TABLES))
        async for left in world.disk.list():
            await world.disk.delete(left.key)
        async for begun in world.disk.open_multiparts():
            await world.disk.abort_multipart(begun.key, begun.multipart_id)
        scene = cls(world, clock)
        for _ in range(people):
            scene.people.append(await world.owner())
        return scene

    def pick(self, number: int) -> Known:
        """The newest is 0: what happens next mostly happens to it."""
        return self.known[-1 - number % len(self.known)]

    # ── issue ──

    async def issue(self, world: World, who: int, sizes: list[int]) -> bool:
        """Whether it was granted."""
        user, album = self.people[who % len(self.people)]
        claims = [Claim("a.jpg", "image/jpeg", size) for size in sizes]
        try:
            if len(claims) == 1:
                tickets = [await world.photos.issue(claims[0], user_id=user, album_id=album)]
            else:
                tickets = await world.photos.issue_batch(claims, user_id=user, album_id=album)
        except (QuotaExceeded, TooManyInFlight):
            return False
        for ticket, size in zip(tickets, sizes, strict=True):
            self.remember(ticket, user, b"x" * size)
        return True

    async def issue_another(self, world: World, it: Known) -> None:
        await self.issue(world, [user for user, _ in self.people].index(it.owner), [len(it.body)])

    def remember(self, ticket: Ticket, user: int, body: bytes) -> Known:
        known = Known(ticket.photo_id, user, ticket.object_key, body, [ticket.put], ticket.expires_at)
        self.known.append(known)
        return known

    def remember_in_parts(self, upload: Upload, body: bytes) -> Parts:
        known = Known(upload.id, upload.uploader_id, upload.object_key, body, [], upload.expires_at, parts=Parts())
        self.known.append(known)
        return in_parts.parts_of(known)

    # ── the bytes ──

    async def put(self, world: World, it: Known, url: int = -1) -> None:
        if it.parts:
            await in_parts.put(self, world, it, url)
            return
        with suppress(UrlNotValid, ObjectExists):
            await world.put(it.urls[url % len(it.urls)], it.body)
            await self.bytes_came(it)

    async def put_to_the_first_url(self, world: World, it: Known) -> None:
        await self.put(world, it, 0)

    async def put_other_bytes(self, world: World, it: Known) -> None:
        if it.parts:
            await in_parts.put_other_bytes(world, it)
            return
        with suppress(UrlNotValid, ObjectExists):
            await world.put(it.urls[-1], it.body + b"and more")
            raise AssertionError("storage took more than was signed for")
        with suppress(UrlNotValid, ObjectExists):
            await world.put(it.urls[-1], it.body, content_type="text/html")
            raise AssertionError("storage took another type than was signed for")

    async def begin_slow_put(self, _: World, it: Known) -> None:
        """All but the last byte."""
        last_byte = asyncio.Event()
        if it.parts:
            number, receiving_part = in_parts.last_part_but_its_end(self.world, it, last_byte)
            self.slow.append(SlowPut(it, last_byte, receiving_part, number))
            return
        key, query = key_and_query(it.urls[-1].url)

        async def chunks() -> AsyncIterator[bytes]:
            yield it.body[:-1]
            await last_byte.wait()
            yield it.body[-1:]

        receiving = self.world.disk.receive(key, query, content_type="image/jpeg", length=len(it.body), chunks=chunks())
        task = asyncio.create_task(receiving)
        self.slow.append(SlowPut(it, last_byte, task))

    async def end_slow_puts(self, world: World, _: Known | None = None) -> None:
        await world.disk.ping()  # its turn
        while self.slow:
            put = self.slow.pop()
            put.last_byte.set()
            with suppress(UrlNotValid, ObjectExists, ObjectNotFound):
                await put.task
                await (in_parts.took(self, put.upload, put.part) if put.part else self.bytes_came(put.upload))

    async def bytes_came(self, it: Known) -> None:
        row = await self.world.db.fetchrow("SELECT processing_status, expires_at FROM uploads WHERE id = $1", it.id)
        if row is None or row[0] not in (State.PENDING, State.UPLOADED) or self.clock() > row[1] + SLOW_PUT:
            return
        if it.meddled and row[0] == State.PENDING and not it.meddled_now:
            it.meddled = False  # what lies there now is what was declared, and nobody has looked before
        it.promised = not it.meddled

    async def close(self) -> None:
        for put in self.slow:
            put.task.cancel()
        await asyncio.gather(*(put.task for put in self.slow), return_exceptions=True)

    # ── behind our back ──

    async def overwrite(self, world: World, it: Known) -> None:
        """As a storage that enforces no length."""
        it.meddle()
        before, it.strewn = it.strewn, True
        await world.disk.write(it.key, once(it.body + b"!"), content_type="image/jpeg")
        if await self.world.db.fetchval("SELECT processing_status FROM uploads WHERE id = $1", it.id) in AWAITED:
            it.strewn = before

    async def lose(self, world: World, it: Known) -> None:
        it.meddle()
        await world.disk.delete(it.key)
        if it.parts:
            await in_parts.forget_parts(world, it)

    # ── who knocks ──

    async def confirm(self, world: World, it: Known) -> None:
        if it.parts:
            await in_parts.complete(world, it)
            return
        with suppress(*NOT_TO_BE_HAD):
            it.told(await world.photos.confirm(it.id, user_id=it.owner))

    async def confirm_as_a_stranger(self, world: World, it: Known) -> None:
        stranger = next(user for user, _ in self.people if user != it.owner)
        with suppress(PhotoNotFound):
            await world.photos.confirm(it.id, user_id=stranger)
            raise AssertionError("a stranger's word was taken")

    async def event(self, world: World, it: Known) -> None:
        with suppress(*NOT_TO_BE_HAD):
            upload = await world.uploads.arrive_at(it.key, trigger=Trigger.EVENT)
            if upload:
                it.told(upload)

    async def function(self, world: World, it: Known) -> None:
        with suppress(*NOT_TO_BE_HAD):
            it.told(await world.uploads.arrive(it.id, trigger=Trigger.FUNCTION))

    async def sweep(self, world: World, _: Known | None = None) -> None:
        await world.sweep.once()

    # ── what the owner asks ──

    async def renew(self, world: World, it: Known) -> None:
        if it.parts:
            await in_parts.more(world, it)
            return
        with suppress(UploadNotFound, UploadGone, QuotaExceeded, NotPending):
            upload, put = await world.uploads.renew(it.id, owner_id=it.owner)
            assert put is not None
            it.urls.append(put)
            it.lapses_at = max(it.lapses_at, upload.expires_at)

    async def delete(self, world: World, it: Known) -> None:
        it.delete_asked = True
        with suppress(PhotoNotFound, UploadNotFound):
            await world.photos.delete(it.id, user_id=it.owner)
            it.deleted = True

    # ── what the operator does ──

    async def reconcile(self, world: World, _: Known | None = None, *, dry_run: bool = False) -> None:
        found = await world.reconciliation.run(dry_run=dry_run)
        lost = {it.id for it in self.known if it.ever_meddled}
        assert set(found.missing) <= lost, "an upload is said to have lost its object, and nobody took it"
        innocent = {it.key for it in self.known if not it.ever_meddled and not came_too_late(it, self.clock())}
        assert not innocent & set(found.orphans), "an object that is accounted for was taken for an orphan"

    async def reconcile_dry(self, world: World, _: Known | None = None) -> None:
        await self.reconcile(world, dry_run=True)


def came_too_late(it: Known, at: datetime) -> bool:
    """No URL can have brought bytes at that time, or later than we promise to look for them."""
    return at >= it.lapses_at + SLOW_PUT


Deed = Callable[[Scene, World, Known], Awaitable[None]]
DEEDS: Mapping[str, Deed] = {
    deed.__name__: deed
    for deed in (
        Scene.confirm,
        Scene.put,
        Scene.sweep,
        Scene.event,
        Scene.delete,
        Scene.renew,
        Scene.put_to_the_first_url,
        Scene.end_slow_puts,
        Scene.function,
        Scene.overwrite,
        Scene.lose,
        Scene.reconcile,
        Scene.reconcile_dry,
        Scene.confirm_as_a_stranger,
        Scene.put_other_bytes,
        Scene.issue_another,
        Scene.begin_slow_put,
        in_parts.issue_in_parts,
        working.work,
        working.work_in_vain,
        working.try_again,
    )
}
