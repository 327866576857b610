"""Waiting for what other processes do, in the middle of an async test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Answer = TypeVar("Answer")


async def until(look: Callable[[], Awaitable[Answer | None]], seconds: float = 40) -> Answer:
    """What `look` finds, as soon as it finds something."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(0.02)
        return found
