"""What commands share that need a house, or its settings."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from mooring.library.figures import Leaving
from mooring.observe.logs import configure_logs
from mooring.observe.since import Since
from mooring.settings import Settings
from mooring.terminal import explained
from mooring.wiring import House, open_house

Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder [default: MOORING_DATA, or the user's usual place]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]
Result = TypeVar("Result")


def settings_of(data: Path | None) -> Settings:
    """Also sends the log to standard error. Unless a level was asked for, a person hears of trouble only."""
    settings = Settings() if data is None else Settings(data=data)
    asked_for = "log_level" in settings.model_fields_set
    configure_logs(settings.log_level if asked_for else "warning", sys.stderr.buffer, settings.secrets)
    return settings


async def counted(house: House, do: Callable[[], Awaitable[Result]]) -> Result:
    """What it counts is shown by those that serve: this process is gone before anybody could ask it."""
    leaving = Leaving(house.db, house.clock, Since(house.metrics))
    try:
        return await do()
    finally:
        await leaving.leave()


def in_house(data: Path | None, do: Callable[[House], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with open_house(settings_of(data)) as house:
            return await do(house)

    with explained():
        return asyncio.run(run())
