"""What the uploads need of a place to keep bytes. Every adapter keeps every promise on this page;
`tests/contract/test_storage.py` asks all of them, and none may opt out."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol


class Found(NamedTuple):
    """What storage says of an object."""

    size: int
    etag: str  # changes whenever the bytes do; without quotes
    sha256: str | None = None  # hex, where the storage keeps it; None says nothing
    modified_at: datetime | None = None  # what `stat` says of it; some storages only to the second


@dataclass(frozen=True, slots=True)
class Listed:
    key: str
    size: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class OpenMultipart:
    key: str
    multipart_id: str
    begun_at: datetime


class Signed(NamedTuple):
    """A URL, and the headers its user must send with it, exactly."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that preparing the storage did, or why it could not."""

    name: str
    done: bool
    message: str


class Storage(Protocol):
    """`None` says "not there". `StorageUnavailable` says "can't tell", and never means "not there":
    time-outs, refused connections, 5xx and 403 are all "can't tell".

    Keys are text of 1 to 1024 bytes without empty, `.` or `..` segments and without control characters;
    anything else is a `ValueError`, before anything is touched. Spaces, Korean, `+` and `%` are ordinary.
    """

    # ── temporary URLs: no I/O ──

    def presign_put(
        self,
        key: str,
        *,
        content_type: str,
        length: int,
        at: datetime,
        lapses_in: timedelta,
        sha256: str | None = None,
        write_once: bool = True,
    ) -> Signed:
        """A URL for one PUT of exactly this type, length and (where given, hex) SHA-256. Storage itself
        refuses anything else, before the object becomes visible. `write_once`: a second PUT is refused (412).
        A PUT that began in time may end late. Content-Length is signed too but not among the headers to send:
        every HTTP client sets it by itself."""

    def presign_get(
        self,
        key: str,
        *,
        at: datetime,
        lapses_in: timedelta,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> str:
        """A URL for GET (with Range). `filename`: what a browser shall save it as."""

    def presign_part(
        self, key: str, multipart_id: str, number: int, *, length: int, at: datetime, lapses_in: timedelta
    ) -> Signed:
        """A URL for one part (1 to 10 000) of exactly this length. A part may be sent again; the last one counts."""

    # ── objects ──

    async def stat(self, key: str) -> Found | None: ...

    def read(
        self, key: str, *, start: int = 0, end: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to, not including, `end`, as they come. `ObjectNotFound`; `ObjectChanged` where the
        object no longer has `etag`. Either is raised before the first byte. A reader may go early: it closes."""

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, content_type: str) -> Found:
        """Store what comes, replacing what was there, all or nothing: where `chunks` raises, nothing is left.
        Memory stays flat whatever the length."""

    async def copy(self, source: str, target: str) -> None:
        """`ObjectNotFound` where there is no source. Replaces the target, all or nothing."""

    async def delete(self, key: str) -> None:
        """It is no error that nothing is there."""

    def list(self, prefix: str = "") -> AsyncIterator[Listed]:
        """Every object whose key begins with `prefix`, in the order of the keys' UTF-8 bytes."""

    # ── multipart ──

    async def begin_multipart(self, key: str, *, content_type: str) -> str: ...

    async def write_part(
        self, key: str, multipart_id: str, number: int, chunks: AsyncIterator[bytes], *, length: int
    ) -> Part:
        """One part, through us: exactly `length` bytes, or it is not there (`ValueError`); where `chunks` raises, too.
        Memory stays flat. `ObjectNotFound` where the multipart upload is not open."""

    async def parts(self, key: str, multipart_id: str) -> Sequence[Part] | None:
        """What came so far, by number; None where no such multipart upload is open."""

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Found:
        """Join exactly these parts into the object, all or nothing. `ValueError` where a part is not
        there as given, `ObjectNotFound` where the multipart upload is not open."""

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        """Forget the parts. It is no error that nothing is open."""

    def open_multiparts(self, prefix: str = "") -> AsyncIterator[OpenMultipart]: ...

    # ── the place itself ──

    async def setup(self, *, origins: Sequence[str], events: str | None = None) -> Sequence[Step]:
        """Make ready what the place needs (bucket or folder, CORS for browsers at `origins`, lifecycle that aborts
        stale multiparts, and where it shall send its events), as far as it can. May be called again at any time."""

    async def ping(self) -> None:
        """`StorageUnavailable` where the place can't be used now."""

    async def close(self) -> None: ...
