"""A storage whose first calls fail, as an unreachable one does. Everything else goes through to a real one."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from mooring.errors import StorageUnavailable
from mooring.storage.port import Storage

LISTINGS = {"list", "open_multiparts", "read"}


class Flaky:
    def __init__(self, storage: Storage, *, fails: int) -> None:
        self._storage = storage
        self._left = fails

    def __getattr__(self, name: str) -> Any:
        through = getattr(self._storage, name)
        if name.startswith("presign"):
            return through
        return self._listing(through) if name in LISTINGS else self._calling(through)

    def _stumble(self) -> None:
        if self._left > 0:
            self._left -= 1
            raise StorageUnavailable("made to fail")

    def _calling(self, through: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **named: Any) -> Any:
            self._stumble()
            return await through(*args, **named)

        return call

    def _listing(self, through: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def call(*args: Any, **named: Any) -> AsyncIterator[Any]:
            self._stumble()
            async for one in through(*args, **named):
                yield one

        return call
