"""Log lines on their way to NHN Cloud's Log & Crash Search, in bulk, behind everybody's back.

A line costs its request one place in a bounded queue; where that is full it is dropped and counted. Everything else
happens in a task of its own: what the service refuses for good is dropped, what it could not take is sent again, alone,
and while it is away attempts become rare."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf

import httpx
import structlog

from mooring.observe.logs import Lines
from mooring.observe.metrics import Metrics
from mooring.observe.records import MOST_BYTES, Project, record_of

log = structlog.get_logger()

MOST_IN_BULK = 500
AT_ONCE = 50  # records made before the loop gets its turn
GATHER_SECONDS = 0.5
ANSWER_SECONDS = 10.0
STOPPING_SECONDS = 0.2  # between attempts of the last moment
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
MOST_ATTEMPTS = 8  # of one record that is refused as for now; that the service is away counts for none
FOR_GOOD = ("LogVersion Mismatch", "not registered")


@dataclass
class Record:
    body: bytes
    attempts: int = 0


class Away(Exception):
    """The service can't be reached, or can't work."""


class Shipper:
    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        project: Project,
        metrics: Metrics,
        *,
        most: int,
        gather: float = GATHER_SECONDS,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """`gather`: how long lines wait for more, so that they go together; `pauses` between attempts."""
        self._http = http
        self._url = url
        self._project = project
        self._metrics = metrics
        self._most = most
        self._gather = gather
        self._pauses = pauses
        self._queue: deque[bytes] = deque()
        self._sending: list[Record] = []
        self._numbers = 0
        self._come = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._is_stopping = asyncio.Event()
        self._failures = 0  # one after the other
        self._told_at = -inf  # of lines that were refused
        for reason in ("full", "refused", "stopped"):
            metrics.log_lines_dropped.labels(reason)
        metrics.log_queue_size.set_function(lambda: self.size)

    @property
    def size(self) -> int:
        return len(self._queue) + len(self._sending)

    def take(self, lines: Sequence[bytes]) -> None:
        """What was written. Never waits."""
        room = max(0, self._most - self.size)
        if len(lines) > room:
            self._drop("full", len(lines) - room)
            lines = lines[:room]
        self._queue.extend(lines)
        self._come.set()
        self._is_empty.clear()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._come.wait()
            self._come.clear()
            if len(self._queue) < MOST_IN_BULK:
                await self._pause(self._gather)
            while self.size:
                try:
                    await self._send_some()
                except Exception:  # a bug of ours must not end it all
                    self._drop("refused", len(self._sending))
                    self._sending = []
                    log.exception("log_lines_not_sent")
            self._is_empty.set()

    async def stop(self, seconds: float) -> None:
        """Send what waits, for so long; what is left then is dropped."""
        self._is_stopping.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_empty.wait(), seconds)
        self._drop("stopped", self.size)

    async def _send_some(self) -> None:
        if not self._sending:
            await self._make_records()
        try:
            self._sending = await self._send(self._sending)
        except Away as why:
            self._metrics.external_failed("log_service")
            if not self._failures:
                log.warning("log_service_away", why=str(why))
            self._failures += 1
            await self._pause_after(self._failures)
            return
        if self._failures:
            log.info("log_service_back")
        self._failures = 0
        if self._sending:
            await self._pause_after(self._sending[0].attempts)

    async def _make_records(self) -> None:
        """Some at a time: whole bulks would take milliseconds from requests."""
        size = 0
        while self._queue and len(self._sending) < MOST_IN_BULK and size < MOST_BYTES:
            for _ in range(min(AT_ONCE, len(self._queue))):
                self._numbers += 1
                record = Record(record_of(self._queue.popleft(), self._project, self._numbers))
                self._sending.append(record)
                size += len(record.body)
            await asyncio.sleep(0)

    async def _send(self, bulk: Sequence[Record]) -> list[Record]:
        """Those to be sent again."""
        began = time.perf_counter()
        try:
            answer = await self._http.post(
                self._url,
                content=b"[" + b",".join(record.body for record in bulk) + b"]",
                headers={"Content-Type": "application/json"},
                timeout=ANSWER_SECONDS,
            )
        except httpx.HTTPError as failure:
            raise Away(repr(failure)) from None
        finally:
            self._metrics.external("log_service", began)
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise Away(f"it answers {answer.status_code}")
        return self._judged(bulk, answer)

    def _judged(self, bulk: Sequence[Record], answer: httpx.Response) -> list[Record]:
        if answer.status_code >= 400:
            self._metrics.external_failed("log_service")
            return self._refused(bulk, f"it answers {answer.status_code}")
        try:
            told = answer.json()
            header, results = told["header"], told.get("body", {}).get("data", {}).get("resultList")
            if results is None:
                done = bool(header["isSuccessful"])
                results = [{"isSuccessful": done, "resultMessage": header.get("resultMessage", "")}] * len(bulk)
            outcomes = [(bool(one["isSuccessful"]), str(one.get("resultMessage", ""))) for one in results]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Away("its answer is none of its own") from None
        outcomes += [(False, "no word of it")] * (len(bulk) - len(outcomes))
        if not any(is_done for is_done, _ in outcomes):  # lines have a counter of their own: this is of calls
            self._metrics.external_failed("log_service")
        left = []
        for record, (is_done, message) in zip(bulk, outcomes, strict=False):
            if is_done:
                continue
            record.attempts += 1
            if record.attempts >= MOST_ATTEMPTS or any(words in message for words in FOR_GOOD):
                self._refused([record], message)
            else:
                left.append(record)
        return left

    def _refused(self, records: Sequence[Record], why: str) -> list[Record]:
        self._drop("refused", len(records))
        if time.monotonic() - self._told_at > PAUSES[-1]:  # a line about each line that is refused would never end
            self._told_at = time.monotonic()
            log.warning("log_lines_refused", count=len(records), why=why)
        return []

    def _drop(self, reason: str, count: int) -> None:
        if count:
            self._metrics.log_lines_dropped.labels(reason).inc(count)

    async def _pause_after(self, failures: int) -> None:
        await self._pause(self._pauses[min(failures, len(self._pauses)) - 1])

    async def _pause(self, seconds: float) -> None:
        """Short when we are to stop. (Python 3.11's `wait_for` may lose a cancellation that comes with the event.)"""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_stopping.wait()
        if self._is_stopping.is_set():
            await asyncio.sleep(min(seconds, STOPPING_SECONDS))


@asynccontextmanager
async def shipping(
    lines: Lines | None, url: str | None, project: Project, metrics: Metrics, *, most: int, stop_seconds: float
) -> AsyncIterator[None]:
    """While the block runs, what is logged is sent too, where there is somewhere to send it to."""
    if url is None or lines is None:
        yield
        return
    async with httpx.AsyncClient() as http:
        shipper = Shipper(http, url, project, metrics, most=most)
        lines.also = shipper.take
        running = asyncio.create_task(shipper.run())
        try:
            yield
        finally:
            lines.flush()
            lines.also = None
            await shipper.stop(stop_seconds)
            running.cancel()
            await asyncio.wait([running])
