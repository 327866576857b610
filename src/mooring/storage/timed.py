"""The storage, with every call to it timed, and its failures counted, as `service="object_storage"`.

How long somebody who sends us bytes, or takes them from us, lets us wait is not the storage's time. What it can't tell
is its failure; "not there" is an answer."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

from mooring.errors import StorageUnavailable
from mooring.observe.metrics import Metrics
from mooring.storage.disk import DiskStorage
from mooring.storage.port import Found, Listed, OpenMultipart, Part, Step, Storage

Item = TypeVar("Item")


class Timed:
    def __init__(self, storage: Storage, metrics: Metrics) -> None:
        self._storage = storage
        self._metrics = metrics
        # No calls: signing is arithmetic of our own.
        self.presign_put = storage.presign_put
        self.presign_get = storage.presign_get
        self.presign_part = storage.presign_part
        self.close = storage.close

    async def stat(self, key: str) -> Found | None:
        """Written out, since every confirm passes here."""
        began = perf_counter()
        try:
            return await self._storage.stat(key)
        except StorageUnavailable:
            self._metrics.external_failed("object_storage")
            raise
        finally:
            self._metrics.external("object_storage", began)

    def read(
        self, key: str, *, start: int = 0, end: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        return self._first(self._storage.read(key, start=start, end=end, etag=etag))

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, content_type: str) -> Found:
        coming = _Coming(chunks)
        with self._timing(lambda: coming.waited):
            return await self._storage.write(key, aiter(coming), content_type=content_type)

    async def write_part(
        self, key: str, multipart_id: str, number: int, chunks: AsyncIterator[bytes], *, length: int
    ) -> Part:
        coming = _Coming(chunks)
        with self._timing(lambda: coming.waited):
            return await self._storage.write_part(key, multipart_id, number, aiter(coming), length=length)

    async def copy(self, source: str, target: str) -> None:
        with self._timing():
            await self._storage.copy(source, target)

    async def delete(self, key: str) -> None:
        with self._timing():
            await self._storage.delete(key)

    def list(self, prefix: str = "") -> AsyncIterator[Listed]:
        return self._first(self._storage.list(prefix))

    async def begin_multipart(self, key: str, *, content_type: str) -> str:
        with self._timing():
            return await self._storage.begin_multipart(key, content_type=content_type)

    async def parts(self, key: str, multipart_id: str) -> Sequence[Part] | None:
        with self._timing():
            return await self._storage.parts(key, multipart_id)

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Found:
        with self._timing():
            return await self._storage.complete_multipart(key, multipart_id, parts)

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        with self._timing():
            await self._storage.abort_multipart(key, multipart_id)

    def open_multiparts(self, prefix: str = "") -> AsyncIterator[OpenMultipart]:
        return self._first(self._storage.open_multiparts(prefix))

    async def setup(self, *, origins: Sequence[str], events: str | None = None) -> Sequence[Step]:
        with self._timing():
            return await self._storage.setup(origins=origins, events=events)

    async def ping(self) -> None:
        with self._timing():
            await self._storage.ping()

    @contextmanager
    def _timing(self, not_ours: Callable[[], float] = lambda: 0.0) -> Iterator[None]:
        began = perf_counter()
        try:
            yield
        except StorageUnavailable:
            self._metrics.external_failed("object_storage")
            raise
        finally:
            self._metrics.external("object_storage", began + not_ours())

    async def _first(self, items: AsyncIterator[Item]) -> AsyncGenerator[Item, None]:
        """Timed until the first comes: after that it is as fast as whoever takes them. It may fail any time."""
        began: float | None = perf_counter()
        try:
            async with aclosing(items) as coming:  # type: ignore[type-var]  # they are generators, if not by their type
                async for item in coming:
                    if began is not None:
                        self._metrics.external("object_storage", began)
                        began = None
                    yield item
        except StorageUnavailable:
            self._metrics.external_failed("object_storage")
            raise
        finally:
            if began is not None:
                self._metrics.external("object_storage", began)


@dataclass
class _Coming:
    """Bytes, and how long they let us wait."""

    chunks: AsyncIterator[bytes]
    waited: float = 0.0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        began = perf_counter()
        async for chunk in self.chunks:
            self.waited += perf_counter() - began
            yield chunk
            began = perf_counter()


class TimedFiles:
    """The open files of a disk store, timed as its other calls are."""

    def __init__(self, disk: DiskStorage, metrics: Metrics) -> None:
        self._disk = disk
        self._metrics = metrics

    async def hold(self, key: str, *, etag: str) -> int:
        began = perf_counter()
        try:
            return await self._disk.hold(key, etag=etag)
        except StorageUnavailable:
            self._metrics.external_failed("object_storage")
            raise
        finally:
            self._metrics.external("object_storage", began)
