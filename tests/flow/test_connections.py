"""Who waits for a connection gets it in turn."""

import asyncio

from mooring.db.pool import open_database


async def test_nobody_who_waits_is_overtaken(database_url: str) -> None:
    """Asks keep coming, at every moment of what those before them are at."""
    db = await open_database(database_url, most=1, least=1)
    answered: list[int] = []

    async def one(name: int) -> None:
        await db.fetch("SELECT 1")
        answered.append(name)

    try:
        async with asyncio.TaskGroup() as asking:
            for name in range(300):
                asking.create_task(one(name))
                await asyncio.sleep(0)
    finally:
        await db.close()
    assert answered == list(range(300))


async def test_transactions_take_turns_too(database_url: str) -> None:
    db = await open_database(database_url, most=1, least=1)
    ended: list[str] = []

    async def transaction() -> None:
        async with db.transaction() as tx:
            await tx.execute("SELECT pg_sleep(0.05)")
        ended.append("transaction")

    async def statement() -> None:
        await db.execute("SELECT 1")
        ended.append("statement")

    try:
        await asyncio.gather(transaction(), statement(), transaction())
        async with asyncio.timeout(20):
            await db.ping()
    finally:
        await db.close()
    assert ended == ["transaction", "statement", "transaction"]
