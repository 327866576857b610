"""The command `mooring`: parses, calls, prints. Nothing else."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from mooring import __version__, cli_monitoring
from mooring.accounts.users import Role, create_user
from mooring.db.embedded import Embedded, psql
from mooring.db.migrate import migrate as apply_migrations
from mooring.listening import listen
from mooring.observe.logs import configure_logs
from mooring.observe.monitoring.report import as_text
from mooring.settings import Settings
from mooring.terminal import explained, moment, show, span, table
from mooring.uploads.reconcile import Reconciliation
from mooring.uploads.tracking import Incomplete, aggregate_incomplete_after_ttl
from mooring.wiring import House, open_database_server, open_house
from mooring.worker import work


def _commands(about: str) -> typer.Typer:
    # Plain: boxes and colours are in the way of whoever reads this in a log.
    return typer.Typer(
        no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=about
    )


app = _commands("Temporary upload URLs, and what became of every one.")
db_commands = _commands("The database.")
user_commands = _commands("Accounts.")
storage_commands = _commands("The place where the files are.")
app.add_typer(db_commands, name="db")
app.add_typer(user_commands, name="user")
app.add_typer(storage_commands, name="storage")
app.add_typer(cli_monitoring.commands, name="monitoring")

Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder [default: MOORING_DATA, or the user's usual place]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]
Grace = Annotated[
    timedelta,
    typer.Option(
        parser=span, metavar="SPAN", help="Touch nothing younger: 30m, 1h, 2d [default: 1h]", show_default=False
    ),
]
Result = TypeVar("Result")


class PlanName(StrEnum):
    free = "free"
    premium = "premium"


class By(StrEnum):
    user = "user"
    album = "album"


@app.command()
def serve(
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Port to listen on; 0 takes a free one")
    ] = 8000,
    data: Data = None,
) -> None:
    """Serve the API.

    Its database and files are in the data folder, unless MOORING_DATABASE_URL and MOORING_STORAGE say otherwise.
    """
    from mooring import server  # no other command needs the web framework, which takes longer to load than they to run

    with explained():
        server.serve(_settings(data), host=host, port=port)


@app.command()
def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=64, help="Jobs at once [default: MOORING_WORKER_CONCURRENCY]"),
    ] = None,
    data: Data = None,
) -> None:
    """Work on what arrived, in a process of its own.

    Any number may run, on any machine that reaches the database and the storage.
    """
    with explained():
        asked = {} if concurrency is None else {"worker_concurrency": concurrency}
        work(_settings(data).model_copy(update=asked))


@app.command()
def events(
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="URL", envvar="MOORING_EVENTS_FROM",
            help="The queue: sqs://, amqp://, nats://, kafka:// or redis://; forms: docs/how-to/storage-events.md",
        ),
    ],
    data: Data = None,
) -> None:  # fmt: skip
    """Take storage's events from a queue, in a process of its own.

    Any number may run. What is told is looked at in storage; a message is forgotten once it is settled.
    """
    with explained():
        listen(_settings(data), source)


@app.command()
def sweep(data: Data = None, as_json: AsJson = False) -> None:
    """Sweep once, now.

    Finds the bytes that nobody told of, releases what lapsed, and gives up what never came.
    """
    swept = asdict(_in_house(data, lambda house: house.sweep.once()))
    show(swept, as_json, ", ".join(f"{count} {what}" for what, count in swept.items()))


@app.command()
def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and change nothing")] = False,
    grace: Grace = timedelta(hours=1),
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Compare database and storage, and clean up.

    Objects that no upload accounts for go to trash/, uploads whose object is gone are rejected, and abandoned
    multipart uploads are aborted.
    """

    async def run(house: House) -> Any:
        usual = house.reconciliation
        return await Reconciliation(usual.uploads, grace, usual.trash_life).run(dry_run=dry_run)

    found = _in_house(data, run)
    lines = [
        f"Checked {found.checked_objects} objects and {found.checked_uploads} uploads. "
        f"{'Found' if dry_run else 'Cleaned up'}: {len(found.orphans)} objects without an upload, "
        f"{len(found.missing)} uploads without their object, {len(found.multiparts)} abandoned multipart uploads.",
        *(f"object without an upload: {key}" for key in found.orphans),
        *(f"upload without its object: {upload_id}" for upload_id in found.missing),
        *(f"abandoned multipart upload: {key}" for key in found.multiparts),
    ]
    show(asdict(found), as_json, "\n".join(lines))


@app.command()
def incomplete(
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment,
            metavar="WHEN",
            help="Issued then or later: 2030-01-31, 2030-01-31T12:00Z, or 24h for so long ago",
        ),
    ] = None,
    until: Annotated[datetime | None, typer.Option(parser=moment, metavar="WHEN", help="Issued before that")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Uploads to list")] = 100,
    by: Annotated[By | None, typer.Option(help="Instead of a list, print totals by user or by album")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print uploads whose URL lapsed and that never came."""

    async def ask(house: House) -> Incomplete:
        return await aggregate_incomplete_after_ttl(house.db, now=house.clock(), limit=limit, since=since, until=until)

    found = _in_house(data, ask)
    show(asdict(found), as_json, f"{found.total_count} incomplete uploads")
    if as_json or not found.total_count:
        return
    if by is not None:
        totals = found.by_user_id if by is By.user else found.by_album_id
        table([by.value, "incomplete"], totals.items())
        return
    rows = [(r.upload_id, r.user_id, r.album_id, r.issued_at, r.expires_at) for r in found.sample_records]
    table(["upload", "user", "album", "issued", "lapsed"], rows)


@app.command()
def report(
    day: Annotated[bool, typer.Option("--day", help="The last 24 hours [default]")] = False,
    week: Annotated[bool, typer.Option("--week", help="The last 7 days")] = False,
    month: Annotated[bool, typer.Option("--month", help="The last 30 days")] = False,
    prometheus: cli_monitoring.Address = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write it as a page, too")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Go through the checklist of the day, the week or the month."""
    period = cli_monitoring.one_period(day=day, week=week, month=month)
    found = _in_house(data, lambda house: cli_monitoring.reported(house.db, prometheus, period))
    cli_monitoring.keep(found, html)
    show(asdict(found), as_json, as_text(found))


@app.command()
def migrate(data: Data = None) -> None:
    """Bring the database to this version's schema."""

    async def run() -> list[str]:
        async with AsyncExitStack() as closing:
            return await apply_migrations(await open_database_server(_settings(data), closing))

    with explained():
        applied = asyncio.run(run())
    typer.echo("\n".join(f"applied {name}" for name in applied) or "The database is up to date.")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@db_commands.command("url")
def db_url(data: Data = None) -> None:
    """Print the database's address.

    The embedded database answers there as long as a mooring command uses it.
    """
    with explained():
        settings = _settings(data)
        if settings.database_url:
            typer.echo(settings.database_url)
            return
        with Embedded(settings.data) as server:
            typer.echo(server.url)


@db_commands.command("shell")
def db_shell(data: Data = None) -> None:
    """Open psql on the database."""
    with explained():
        settings = _settings(data)
        raise typer.Exit(psql(settings.database_url or settings.data))


@user_commands.command("create")
def user_create(
    email: str,
    password: Annotated[
        str,
        typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for where it is not given"),
    ],
    admin: Annotated[bool, typer.Option("--admin", help="Make an administrator")] = False,
    plan: Annotated[PlanName, typer.Option(help="Whose quota counts")] = PlanName.free,
    data: Data = None,
) -> None:
    """Create an account."""
    role: Role = "admin" if admin else "user"
    user = _in_house(data, lambda house: create_user(house.db, email, password, role, plan.value))
    typer.echo(f"Created {role} {user.email} with id {user.id}.")


@storage_commands.command("setup")
def storage_setup(data: Data = None) -> None:
    """Prepare the storage.

    Makes the bucket or folder, lets pages upload (CORS), and has stale multipart uploads cleaned up. May be run again.
    """
    steps = _in_house(data, lambda house: house.storage.setup(origins=house.settings.cors_origins))
    for step in steps:
        typer.echo(f"{'ok      ' if step.done else 'not done'}  {step.name}: {step.message}")
    if not steps[0].done:  # the place itself; what else a storage can't do, it says
        raise typer.Exit(1)


def _settings(data: Path | None) -> Settings:
    """Also sends the log to standard error. Unless a level was asked for, a person hears of trouble only."""
    settings = Settings() if data is None else Settings(data=data)
    asked_for = "log_level" in settings.model_fields_set
    configure_logs(settings.log_level if asked_for else "warning", sys.stderr.buffer)
    return settings


def _in_house(data: Path | None, do: Callable[[House], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with open_house(_settings(data)) as house:
            return await do(house)

    with explained():
        return asyncio.run(run())
