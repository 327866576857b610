"""The same people with files that they send in parts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mooring.errors import (
    FileNotArrived,
    NotPending,
    ObjectNotFound,
    PartsDiffer,
    PartsMissing,
    QuotaExceeded,
    TooManyInFlight,
    UploadGone,
    UploadNotFound,
    UploadRejected,
    UrlNotValid,
)
from mooring.storage.port import Signed
from mooring.uploads.in_parts import PartUrl
from mooring.uploads.lifecycle import Trigger
from world import World, key_and_query

if TYPE_CHECKING:
    from .scene import Known, Scene

PART = 1_000
NOT_YET = (FileNotArrived, PartsMissing, PartsDiffer, NotPending, UploadRejected, UploadGone, UploadNotFound)


@dataclass
class Parts:
    """What the owner knows of them."""

    urls: dict[int, list[str]] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)  # storage said that it has them

    def learn(self, urls: Sequence[PartUrl]) -> None:
        for number, url in urls:
            self.urls.setdefault(number, []).append(url)


def piece(it: "Known", number: int) -> bytes:
    return it.body[(number - 1) * PART : number * PART]


async def issue_in_parts(scene: "Scene", world: World, it: "Known") -> None:
    who = [user for user, _ in scene.people].index(it.owner)
    await issue(scene, world, who, 2_500)


async def issue(scene: "Scene", world: World, who: int, size: int) -> bool:
    user, album = scene.people[who % len(scene.people)]
    try:
        plan = await world.issue_in_parts(user, album, size, part_size=PART)
    except (QuotaExceeded, TooManyInFlight):
        return False
    except (UploadNotFound, NotPending):
        return True  # somebody was quick to delete it
    scene.remember_in_parts(plan.upload, b"x" * size).learn(plan.urls)
    return True


async def put(scene: "Scene", world: World, it: "Known", url: int) -> None:
    parts = parts_of(it)
    for number, urls in parts.urls.items():
        with suppress(UrlNotValid, ObjectNotFound):
            await world.put(Signed(urls[url % len(urls)], {}), piece(it, number))
            await took(scene, it, number)


async def took(scene: "Scene", it: "Known", number: int) -> None:
    parts = parts_of(it)
    parts.taken.add(number)
    if parts.taken == set(parts.urls) and not it.meddled:
        await scene.bytes_came(it)


async def put_other_bytes(world: World, it: "Known") -> None:
    number, urls = next(iter(parts_of(it).urls.items()))
    with suppress(UrlNotValid, ObjectNotFound):
        await world.put(Signed(urls[-1], {}), piece(it, number) + b"and more")
        raise AssertionError("storage took a longer part than was signed for")


def last_part_but_its_end(world: World, it: "Known", last_byte: asyncio.Event) -> tuple[int, "asyncio.Task[object]"]:
    number, urls = next(reversed(parts_of(it).urls.items()))
    key, query = key_and_query(urls[-1])
    body = piece(it, number)

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:-1]
        await last_byte.wait()
        yield body[-1:]

    receiving = world.disk.receive(key, query, content_type=None, length=len(body), chunks=chunks())
    return number, asyncio.create_task(receiving)


async def complete(world: World, it: "Known") -> None:
    with suppress(*NOT_YET):
        it.told(await world.in_parts.complete(it.id, trigger=Trigger.CLIENT, owner_id=it.owner))


async def more(world: World, it: "Known") -> None:
    with suppress(*NOT_YET, QuotaExceeded):
        plan = await world.in_parts.more(it.id, list(parts_of(it).urls), owner_id=it.owner)
        parts_of(it).learn(plan.urls)
        it.lapses_at = max(it.lapses_at, plan.upload.expires_at)


async def forget_parts(world: World, it: "Known") -> None:
    """As a storage does that cleans up."""
    multipart_id = await world.db.fetchval("SELECT multipart_id FROM uploads WHERE id = $1", it.id)
    if multipart_id:
        await world.disk.abort_multipart(it.key, multipart_id)
    parts_of(it).taken.clear()


def parts_of(it: "Known") -> Parts:
    assert it.parts is not None
    return it.parts
