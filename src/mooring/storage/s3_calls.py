"""The wire: one signed request to S3, its answer, and what it means where none comes."""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from time import monotonic

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from mooring.clock import Clock
from mooring.errors import StorageUnavailable
from mooring.storage import s3_xml
from mooring.storage.s3_bucket import Bucket
from mooring.storage.s3_sign import Signer

ANY = range(200, 600)
_CONNECTIONS = 64
# `connect` is until there is a connection to use: a free one, or its name looked up and another made.
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=30, sock_connect=5, sock_read=30)
_PAUSES = (0.05, 0.25)  # seconds before the second try and before the third
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
_NOT_BY_ITSELF = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # only what was signed is sent
_LIFE = timedelta(minutes=15)
_BUCKET_SEEN_FOR = 10.0  # seconds
_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes = b""

    @property
    def code(self) -> str:
        """S3's own word for what went wrong; empty where it has none."""
        return s3_xml.error_code(self.body)

    @property
    def etag(self) -> str:
        return self.headers.get("ETag", "").strip('"')

    def unusable(self, asked: str) -> StorageUnavailable:
        said = self.code or self.body[:200].decode(errors="replace")
        return StorageUnavailable(f"{asked}: {self.status} {said}".rstrip())


@dataclass
class Calls:
    """Made without I/O. Connects at the first call, and belongs to that call's event loop until closed."""

    bucket: Bucket
    clock: Clock
    signer: Signer = field(init=False)
    _session: aiohttp.ClientSession | None = field(init=False, default=None)
    _bucket_seen_at: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self.signer = Signer(self.bucket)

    async def ask(
        self,
        method: str,
        key: str = "",
        *,
        good: Collection[int] = (200,),
        query: Mapping[str, str] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
        body: bytes | None = None,
    ) -> Answer:
        """An answer whose status is one of `good`. Anything else is `StorageUnavailable`, after trying again
        what a moment may heal: whatever is asked this way may be done twice."""
        response = await self._respond(method, key, query, headers, body)
        if method == "HEAD":
            response.release()
            answer = Answer(response.status, response.headers)
        else:
            answer = Answer(response.status, response.headers, await _whole(response))
        return self._of_use(answer, good, f"{method} {key or self.bucket.name}")

    @asynccontextmanager
    async def stream(
        self, key: str, *, good: Collection[int], headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        """GET: the answer, and its body as it comes. Where it is no 2xx, the answer holds the body."""
        response = await self._respond("GET", key, _NOTHING, headers, None)
        try:
            body = b"" if response.ok else await _whole(response)
            answer = self._of_use(Answer(response.status, response.headers, body), good, f"GET {key}")
            yield answer, _chunks(response)
        finally:
            response.close()  # half read, it can't be followed by another answer; at its end this is nothing

    async def send(
        self, key: str, chunks: AsyncIterator[bytes], *, length: int, good: Collection[int], query: Mapping[str, str]
    ) -> Answer:
        """PUT of a body as it comes, hence tried once. What goes wrong with the body itself is raised as it is."""
        headers = {"Content-Length": str(length)}
        signed = self.signer.url("PUT", key, at=self.clock(), lapses_in=_LIFE, query=query, headers=headers)
        body = _Body(chunks)
        try:
            with _as_unavailable(f"PUT {key}"):
                response = await self._connected().request(
                    "PUT", URL(signed, encoded=True), headers=headers, data=body, allow_redirects=False
                )
        except StorageUnavailable:
            if body.failure is not None:
                raise body.failure from None
            raise
        answer = Answer(response.status, response.headers, await _whole(response))
        return self._of_use(answer, good, f"PUT {key}")

    async def see_bucket(self) -> None:
        """`StorageUnavailable` where the bucket itself is missing. To HEAD a storage says 404 in that case
        too, and it must not be taken for the object's absence."""
        if monotonic() - self._bucket_seen_at > _BUCKET_SEEN_FOR:
            await self.ask("HEAD")
            self._bucket_seen_at = monotonic()

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _of_use(self, answer: Answer, good: Collection[int], asked: str) -> Answer:
        if answer.status not in good or (answer.status == 404 and answer.code == "NoSuchBucket"):
            raise answer.unusable(asked)
        return answer

    async def _respond(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        signed = self.signer.url(method, key, at=self.clock(), lapses_in=_LIFE, query=query, headers=headers)
        url = URL(signed, encoded=True)
        for pause in (*_PAUSES, None):
            with _as_unavailable(f"{method} {key or self.bucket.name}"):
                try:
                    response = await self._connected().request(
                        method,
                        url,
                        headers=headers,
                        data=None if body is None else BytesIO(body),
                        allow_redirects=False,
                    )
                except aiohttp.ClientConnectionError as problem:
                    if pause is None or isinstance(problem, TimeoutError):  # one time-out is long enough
                        raise
                else:
                    if pause is None or response.status not in _TRY_AGAIN:
                        return response
                    response.close()
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  spreads the tries, no more
        raise AssertionError("the last try returns or raises")

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                timeout=_TIMEOUT,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_NOT_BY_ITSELF,
                auto_decompress=False,
            )
        return self._session


@dataclass
class _Body:
    """Remembers why it ended early: aiohttp calls that a lost connection."""

    chunks: AsyncIterator[bytes]
    failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self.chunks:
                yield chunk
        except Exception as failure:
            self.failure = failure
            raise


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    with _as_unavailable(f"{response.method} {response.url.path}"):
        return await response.read()


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    with _as_unavailable(f"GET {response.url.path}"):
        async for chunk in response.content.iter_any():
            yield chunk


@contextmanager
def _as_unavailable(asked: str) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as problem:
        raise StorageUnavailable(f"{asked}: {type(problem).__name__} {problem}") from problem
