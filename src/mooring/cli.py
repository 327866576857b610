"""The command `mooring`: parses, calls, prints. Nothing else."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from mooring import __version__
from mooring.accounts.users import Role, create_user
from mooring.db.embedded import Embedded, psql
from mooring.db.migrate import migrate as apply_migrations
from mooring.errors import MooringError
from mooring.server import serve as run_server
from mooring.settings import Settings
from mooring.uploads.reconcile import Reconciliation
from mooring.uploads.tracking import Incomplete, aggregate_incomplete_after_ttl
from mooring.wiring import House, open_database_server, open_house

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Temporary upload URLs, and what became of every one.")
db_commands = typer.Typer(no_args_is_help=True, help="The database.")
user_commands = typer.Typer(no_args_is_help=True, help="Accounts.")
storage_commands = typer.Typer(no_args_is_help=True, help="The place the files are kept.")
app.add_typer(db_commands, name="db")
app.add_typer(user_commands, name="user")
app.add_typer(storage_commands, name="storage")

Data = Annotated[Path | None, typer.Option("--data", help="Data folder; default: MOORING_DATA, or the usual place")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]
Result = TypeVar("Result")

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on", min=0, max=65535)] = 8000,
    data: Data = None,
) -> None:
    """Serve the API; by default with a database and storage of its own in the data folder."""
    with _explained():
        run_server(_settings(data), host=host, port=port)


@app.command()
def sweep(data: Data = None, as_json: AsJson = False) -> None:
    """Look once for bytes nobody told of, release what lapsed, give up what never came."""
    swept = asdict(_in_house(data, lambda house: house.sweep.once()))
    _show(swept, as_json, ", ".join(f"{count} {what}" for what, count in swept.items()))


@app.command()
def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report only")] = False,
    grace: Annotated[str, typer.Option(help="Touch nothing younger: 30m, 1h, 2d")] = "1h",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Hold database and storage against each other, both ways, and clean up what neither accounts for."""
    with _explained():
        patience = _duration(grace)

    async def run(house: House) -> Any:
        usual = house.reconciliation
        return await Reconciliation(usual.uploads, patience, usual.trash_life).run(dry_run=dry_run)

    found = _in_house(data, run)
    did = "found" if dry_run else "cleaned up"
    text = (
        f"Checked {found.checked_objects} objects and {found.checked_uploads} uploads; {did}: {len(found.orphans)} objects without "
        f"an upload, {len(found.missing)} uploads without their object, {len(found.multiparts)} abandoned multipart uploads."
    )
    _show(asdict(found), as_json, "\n".join([text, *found.orphans, *map(str, found.missing), *found.multiparts]))


class PlanName(StrEnum):
    free = "free"
    premium = "premium"


class By(StrEnum):
    user = "user"
    album = "album"


@app.command()
def incomplete(
    since: Annotated[datetime | None, typer.Option(help="Issued at or after (UTC)")] = None,
    until: Annotated[datetime | None, typer.Option(help="Issued before (UTC)")] = None,
    limit: Annotated[int, typer.Option(help="Records to show", min=1, max=100_000)] = 100,
    by: Annotated[By | None, typer.Option(help="Show totals by user or album")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Uploads whose URL lapsed and that never arrived."""

    async def ask(house: House) -> Incomplete:
        bounds = {"since": _utc(since), "until": _utc(until)}
        return await aggregate_incomplete_after_ttl(house.db, now=house.clock(), limit=limit, **bounds)

    found = _in_house(data, ask)
    if as_json:
        out.print_json(json.dumps(asdict(found), default=str))
        return
    out.print(f"{found.total_count} incomplete")
    if by is not None:
        totals = found.by_user_id if by is By.user else found.by_album_id
        out.print(_table([by.value, "incomplete"], totals.items()))
        return
    rows = [(r.upload_id, r.user_id, r.album_id, r.issued_at, r.expires_at) for r in found.sample_records]
    out.print(_table(["upload", "user", "album", "issued", "lapsed"], rows))


@app.command()
def migrate(data: Data = None) -> None:
    """Bring the database to this version's schema."""

    async def run() -> list[str]:
        async with AsyncExitStack() as closing:
            return await apply_migrations(await open_database_server(_settings(data), closing))

    with _explained():
        applied = asyncio.run(run())
    out.print("\n".join(f"applied {name}" for name in applied) or "The database is up to date.")


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


@db_commands.command("url")
def db_url(data: Data = None) -> None:
    """Print the database's address. The embedded one answers there as long as a mooring command uses it."""
    with _explained():
        settings = _settings(data)
        if settings.database_url:
            out.print(settings.database_url)
            return
        with Embedded(settings.data) as server:
            out.print(server.url)


@db_commands.command("shell")
def db_shell(data: Data = None) -> None:
    """Open psql on the database."""
    with _explained():
        settings = _settings(data)
        raise typer.Exit(psql(settings.database_url or settings.data))


@user_commands.command("create")
def user_create(
    email: str,
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)],
    admin: Annotated[bool, typer.Option("--admin", help="An administrator")] = False,
    plan: Annotated[PlanName, typer.Option()] = PlanName.free,
    data: Data = None,
) -> None:
    """Create an account."""
    role: Role = "admin" if admin else "user"
    user = _in_house(data, lambda house: create_user(house.db, email, password, role, plan.value))
    out.print(f"Created {role} {user.email} with id {user.id}.")


@storage_commands.command("setup")
def storage_setup(data: Data = None) -> None:
    """Prepare the storage: bucket or folder, CORS, clean-up of stale multipart uploads."""
    steps = _in_house(data, lambda house: house.storage.setup(origins=house.settings.cors_origins))
    for step in steps:
        out.print(f"{'[green]ok[/]  ' if step.done else '[yellow]not done[/]'} {step.name}: {step.message}")


def _settings(data: Path | None) -> Settings:
    return Settings() if data is None else Settings(data=data)


def _in_house(data: Path | None, do: Callable[[House], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with open_house(_settings(data)) as house:
            return await do(house)

    with _explained():
        return asyncio.run(run())


class _explained:  # noqa: N801
    """What a person can act on is a sentence, not a stack trace."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, failure: BaseException | None, __: object) -> None:
        if isinstance(failure, MooringError):
            why = getattr(failure, "what", "")
            err.print(f"[red]{failure.message}[/]" + (f"\n{why}" if why else ""))
            raise typer.Exit(1) from None
        if isinstance(failure, ValidationError):
            for found in failure.errors():
                err.print(f"[red]Setting {'.'.join(map(str, found['loc']))}: {found['msg']}[/]")
            raise typer.Exit(1) from None


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no span of time: write 90s, 30m, 1h or 2d.")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: int(found[1])})


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at


def _table(columns: list[str], rows: Any) -> Table:
    table = Table(*columns)
    for row in rows:
        table.add_row(*map(str, row))
    return table


def _show(facts: dict[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        out.print_json(json.dumps(facts, default=str))
        return
    out.print(text, markup=False)
