"""A process that can be stopped before, and killed before or after, every call that it makes to database or storage."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

from mooring.db.pool import Database
from mooring.storage.disk import DiskStorage
from world import World

LISTINGS = {"list", "open_multiparts", "read"}
HOPS = 5  # turns of the loop from the answer of one call to the next call


class Killed(BaseException):
    """The process is gone: nothing in it may catch this."""


@dataclass
class Process:
    """One process of Mooring. `breath`: how many boundaries of calls it lives to see; None: it does not die.

    Killed before a call, the call is never made; after it, it was made and nobody heard."""

    breath: int | None = None
    held: bool = False  # whether each call waits for `move`
    seen: int = 0
    calls: list[str] = field(default_factory=list)
    task: "asyncio.Task[Any] | None" = None
    _waiting: deque["asyncio.Future[None]"] = field(default_factory=deque)
    _under_way: int = 0
    _landed: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, world: World) -> World:
        """This process' own services: their memory goes with it; what they count, all count together."""
        db = cast(Database, Watched(world.db, self))
        disk = cast(DiskStorage, Watched(world.disk, self))
        own = World.built(db, disk, world.clock, terms=world.uploads.terms, metrics=world.metrics)
        return replace(own, sweep=replace(own.sweep, chores=[own.reconciliation.purge_trash]))

    @property
    def is_dead(self) -> bool:
        return self.breath is not None and self.seen > self.breath

    @asynccontextmanager
    async def call(self, name: str) -> AsyncIterator[None]:
        self._boundary()
        if self.held:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self.calls.append(name)
        try:
            yield
        finally:
            self._under_way -= 1
            self._landed.set()
            self._boundary()

    def _boundary(self) -> None:
        self.seen += 1
        if not self.is_dead:
            return
        while self._waiting:
            self._waiting.popleft().set_exception(Killed())
        raise Killed

    # ── being moved ──

    def start(self, life: Coroutine[Any, Any, Any]) -> None:
        self.task = asyncio.create_task(life)

    @property
    def is_over(self) -> bool:
        return self.task is None or (self.task.done() and not self._waiting)

    async def move(self) -> None:
        """One call is made, and all that follows from it up to the next."""
        if self._waiting:
            self._landed.clear()
            self._under_way += 1
            self._waiting.popleft().set_result(None)
            await self._landed.wait()
        quiet = 0
        while quiet < HOPS:
            await asyncio.sleep(0)
            assert self.task is not None
            quiet = quiet + 1 if self._waiting or self.task.done() else 0


class Watched:
    """A database or a storage whose every call passes by the process that makes it."""

    def __init__(self, real: Any, process: Process) -> None:
        self._real = real
        self._process = process

    def __getattr__(self, name: str) -> Any:
        through = getattr(self._real, name)
        if name.startswith("presign"):  # no I/O
            return through
        if name in LISTINGS:
            return self._listing(name, through)
        return self._transaction if name == "transaction" else self._calling(name, through)

    def _calling(self, name: str, through: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **named: Any) -> Any:
            async with self._process.call(name):
                return await through(*args, **named)

        return call

    def _listing(self, name: str, through: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def call(*args: Any, **named: Any) -> AsyncIterator[Any]:
            async with self._process.call(name):
                listed = [one async for one in through(*args, **named)]
            for one in listed:
                yield one

        return call

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        """One call: what it holds locked it must not hold while others have their turn."""
        async with self._process.call("transaction"), self._real.transaction() as tx:
            yield tx
