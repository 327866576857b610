"""Being told to stop by a cancellation that somebody else took for their own."""

import asyncio


def heed_cancellation() -> None:
    """To be asked wherever a loop begins anew: the time limits in the brokers' libraries swallow a cancellation that
    comes at the moment when they are over, and whoever cancelled would wait for ever."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
