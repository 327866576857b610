"""The worker: takes jobs from the queue with pgqueuer, so many at a time, and has them done.

It has a connection of its own: what was taken is known to be alive by its heartbeat there, and new jobs are heard of at
once. Where that connection is lost another is made. A worker that dies has its jobs taken up by the next, once their
hearts have been still for `STILL`."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from prometheus_client import Gauge

from mooring.db.pool import CONNECT_SECONDS, STATEMENT_SECONDS, connecting

if TYPE_CHECKING:
    from mooring.jobs.library import Job, Manager

log = structlog.get_logger()

STILL = timedelta(seconds=20)
LOOK_AGAIN = timedelta(seconds=5)
ANOTHER_TRY_SECONDS = 1.0
FAREWELL_SECONDS = 5.0

# Does the job of this payload; how often it was put back before, for whatever reason. Answers when to try again, or
# None: it is over.
Handler = Callable[[Mapping[str, Any], int], Awaitable[timedelta | None]]


async def _nothing() -> None: ...


@dataclass
class Worker:
    url: str
    handlers: Mapping[str, Handler]
    concurrency: int
    active: Gauge
    before_taking: Callable[[], Awaitable[object]] = _nothing
    slow: Set[str] = frozenset()  # names of jobs that must not fill every seat
    _manager: "Manager | None" = None
    _is_stopping: bool = False
    _running: set["asyncio.Future[timedelta | None]"] = field(default_factory=set)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _seats: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._seats = asyncio.Semaphore(self.concurrency)

    async def run(self) -> None:
        """Until stopped."""
        try:
            while not self._is_stopping:
                try:
                    await self._take_jobs()
                except Exception as failure:
                    log.warning("queue_lost", why=repr(failure))
                if not self._is_stopping:
                    await asyncio.sleep(ANOTHER_TRY_SECONDS)
        finally:
            self._ended.set()

    async def stop(self, seconds: float) -> None:
        """No new jobs. Those that run may finish, so long; then they are handed back."""
        self._is_stopping = True
        if self._manager:
            self._manager.shutdown.set()
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for job in self._running:
            job.cancel()
        try:
            await asyncio.wait_for(self._ended.wait(), FAREWELL_SECONDS)
        except TimeoutError:
            log.warning("worker_left_jobs")  # found by the next one when their hearts are still

    async def _take_jobs(self) -> None:
        """As long as the connection lasts."""
        from mooring.jobs.library import manager_on  # takes longer to load than commands that take no jobs run

        with connecting():
            connection = await asyncpg.connect(
                self.url,
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                server_settings={"application_name": "mooring worker", "timezone": "UTC"},
            )
        try:
            manager = manager_on(connection, seats=self.concurrency, slow=self.slow, before_taking=self.before_taking)
            connection.add_termination_listener(lambda _: manager.shutdown.set())
            for name, handler in self.handlers.items():
                manager.entrypoint(name, accepts_context=False)(self._doing(handler))
            self._manager = manager
            if self._is_stopping:
                return
            # One at a time: what waits here could be another worker's. The library wants room for two.
            await manager.run(
                dequeue_timeout=LOOK_AGAIN,
                batch_size=1,
                max_concurrent_tasks=max(2, self.concurrency),
                heartbeat_timeout=STILL,
                log_aggregation_interval=timedelta(0),
            )
        finally:
            self._manager = None
            connection.terminate()

    def _doing(self, handler: Handler) -> "Callable[[Job], Awaitable[None]]":
        from mooring.jobs.library import RetryRequested

        async def do(job: "Job") -> None:
            async with self._seats:
                again = timedelta(0) if self._is_stopping else await self._do(handler, job)
            if again is not None:
                raise RetryRequested(again)

        return do

    async def _do(self, handler: Handler, job: "Job") -> timedelta | None:
        running = asyncio.ensure_future(handler(json.loads(job.payload or b"{}"), job.attempts))
        self._running.add(running)
        self.active.inc()
        try:
            return await running
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise
            return timedelta(0)
        finally:
            running.cancel()
            self._running.discard(running)
            self.active.dec()
