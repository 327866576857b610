"""Blocking file I/O beside the event loop."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

from mooring.errors import StorageUnavailable

P = ParamSpec("P")
T = TypeVar("T")


async def off_loop(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread. It is always over when this returns: a cancelled caller that went on to close a
    file which a thread still writes to could hit somebody else's file under the same number."""
    running = asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # looked at: nobody else will
        raise
    except OSError as problem:
        raise StorageUnavailable(repr(problem)) from problem


async def each(things: Iterator[T], at_once: int) -> AsyncIterator[T]:
    """The things of a blocking iterator, taken `at_once` per hop to a thread."""
    try:
        while some := await off_loop(lambda: list(itertools.islice(things, at_once))):
            for thing in some:
                yield thing
    finally:
        if close := getattr(things, "close", None):
            close()
