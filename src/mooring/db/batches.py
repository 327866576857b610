"""Much of the same, batch by batch: no statement is long, and nothing is left for another time."""

from collections.abc import Awaitable, Callable


async def batch_by_batch(batch: Callable[[], Awaitable[int]], size: int) -> int:
    """Until one is not full. How many they were together."""
    total = 0
    while True:
        count = await batch()
        total += count
        if count < size:
            return total
