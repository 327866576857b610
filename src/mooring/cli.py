"""The command `mooring`: parses, calls, prints. Nothing else."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import typer

from mooring import __version__, cli_monitoring
from mooring.accounts.users import Role, create_user
from mooring.db.embedded import Embedded, psql
from mooring.db.migrate import migrate as apply_migrations
from mooring.indoors import AsJson, Data, counted, in_house, settings_of
from mooring.listening import listen
from mooring.storage.port import Step
from mooring.terminal import explained, moment, show, span, table, told
from mooring.terms import events_destination
from mooring.uploads.reconcile import Reconciliation
from mooring.uploads.tracking import Incomplete, aggregate_incomplete_after_ttl
from mooring.wiring import House, open_database_server
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
app.command()(cli_monitoring.report)

Grace = Annotated[
    timedelta,
    typer.Option(
        parser=span, metavar="SPAN", help="Touch nothing younger: 30m, 1h, 2d [default: 1h]", show_default=False
    ),
]


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
    processes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=64, help="Server processes behind it [default: MOORING_PROCESSES]"),
    ] = None,
    data: Data = None,
) -> None:
    """Serve the API.

    Its database and files are in the data folder, unless MOORING_DATABASE_URL and MOORING_STORAGE say otherwise.
    """
    from mooring import (  # no other command needs the web framework, which takes longer to load than they to run
        server,
        several,
    )

    with explained():
        asked = {} if processes is None else {"processes": processes}
        settings = settings_of(data).model_copy(update=asked)
        if settings.processes > 1:
            several.serve_by_several(settings, host=host, port=port)
            return
        server.serve(settings, host=host, port=port)


@app.command()
def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=64, help="Jobs at once [default: MOORING_WORKER_CONCURRENCY]"),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, max=65535, help="Port for /metrics and /health [default: MOORING_WORKER_METRICS_PORT]"
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Work on what arrived, in a process of its own.

    Any number may run, on any machine that reaches the database and the storage.
    """
    with explained():
        given = {"worker_concurrency": concurrency, "worker_metrics_port": metrics_port}
        asked = {name: value for name, value in given.items() if value is not None}
        work(settings_of(data).model_copy(update=asked))


@app.command()
def events(
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="URL", envvar="MOORING_EVENTS_FROM",
            help="The queue: sqs://, amqp://, nats://, kafka:// or redis://; forms: docs/how-to/storage-events.md",
        ),
    ],
    metrics_port: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, max=65535, help="Port for /metrics and /health [default: MOORING_EVENTS_METRICS_PORT]"
        ),
    ] = None,
    data: Data = None,
) -> None:  # fmt: skip
    """Take storage's events from a queue, in a process of its own.

    Any number may run. What is told is looked at in storage; a message is forgotten once it is settled.
    """
    with explained():
        asked = {} if metrics_port is None else {"events_metrics_port": metrics_port}
        listen(settings_of(data).model_copy(update=asked), source)


@app.command()
def sweep(data: Data = None, as_json: AsJson = False) -> None:
    """Sweep once, now.

    Finds the bytes that nobody told of, releases what lapsed, and gives up what never came.
    """
    swept = asdict(in_house(data, lambda house: counted(house, house.sweep.once)))
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
        asked = Reconciliation(usual.uploads, grace, usual.trash_life)
        return await counted(house, partial(asked.run, dry_run=dry_run))

    found = in_house(data, run)
    show(asdict(found), as_json, "\n".join(told(found, dry_run=dry_run)))


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

    found = in_house(data, ask)
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
def migrate(data: Data = None) -> None:
    """Bring the database to this version's schema."""

    async def run() -> list[str]:
        async with AsyncExitStack() as closing:
            return await apply_migrations(await open_database_server(settings_of(data), closing))

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
        settings = settings_of(data)
        if settings.database_url:
            typer.echo(settings.database_url)
            return
        with Embedded(settings.data) as server:
            typer.echo(server.url)


@db_commands.command("shell")
def db_shell(data: Data = None) -> None:
    """Open psql on the database."""
    with explained():
        settings = settings_of(data)
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
    user = in_house(data, lambda house: create_user(house.db, email, password, role, plan.value))
    typer.echo(f"Created {role} {user.email} with id {user.id}.")


@storage_commands.command("setup")
def storage_setup(data: Data = None) -> None:
    """Prepare the storage.

    Makes the bucket or folder, lets pages upload (CORS), has stale multipart uploads cleaned up, and has the bucket
    send its events to MOORING_EVENTS_TARGET. May be run again.
    """

    async def prepare(house: House) -> Sequence[Step]:
        wanted = house.settings
        return await house.storage.setup(origins=wanted.cors_origins, events=events_destination(wanted))

    steps = in_house(data, prepare)
    for step in steps:
        typer.echo(f"{'ok      ' if step.done else 'not done'}  {step.name}: {step.message}")
    if not steps[0].done:  # the place itself; what else a storage can't do, it says
        raise typer.Exit(1)
