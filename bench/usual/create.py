"""python -m usual.create: make the tables of the usual service."""

import asyncio

from usual.database import Base, engine
from usual.models import User  # noqa: F401  (its module holds every table)


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
