"""A consumer that handles what comes, says so and gets no further:

python -m consumers.dying DATABASE FOLDER QUEUE
"""

import asyncio
import sys
from pathlib import Path

from conftest import HeldClock
from consumers.listening import receiver_of, settings_in
from mooring.consumers.address import source_of
from mooring.consumers.receiver import Receiver
from mooring.db.pool import open_database
from mooring.listening import consume
from world import World, disk_at


class Dying(Receiver):
    async def settle(self, message: bytes | str) -> bool:
        await super().settle(message)
        print("handled", flush=True)
        await asyncio.Event().wait()
        return True


async def main(database: str, folder: Path, queue: str) -> None:
    clock = HeldClock()
    world = World.built(await open_database(database, least=1), disk_at(folder / "disk", clock), clock)
    receiver = Dying(receiver_of(world).events)
    await consume(settings_in(folder), source_of(queue), receiver, asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
