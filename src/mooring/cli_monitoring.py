"""`mooring monitoring …` and `mooring report`: parses, calls, prints, like `cli.py`, which has room for no more."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from mooring import clock
from mooring.db.pool import Executor
from mooring.observe.monitoring.checklist import SPANS, Period
from mooring.observe.monitoring.export import ROWS, differing, files, write
from mooring.observe.monitoring.places import Places
from mooring.observe.monitoring.promql import broken
from mooring.observe.monitoring.report import Report, as_page, report
from mooring.terminal import explained, span

commands = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Alert rules, dashboards, and pictures of how things are."
)
Address = Annotated[
    str | None,
    typer.Option(
        "--prometheus", metavar="URL", help="Where Prometheus answers [default: MOORING_MONITORING_PROMETHEUS]"
    ),
]


@commands.command()
def export(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write to")] = Path("deploy/monitoring"),
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing; fail if the files there are not these, or promtool, if it is here, objects"
        ),
    ] = False,
) -> None:
    """Write the configuration of Prometheus, Alertmanager and Grafana.

    Where they are and who is told is set by MOORING_MONITORING_ variables.
    """
    with explained():
        texts = files(Places())
    if not check:
        write(out, texts)
        typer.echo(f"Wrote {len(texts)} files to {out}.")
        return
    wrong = [f"differs: {out / name}" for name in differing(out, texts)]
    wrong += [said] if (said := broken(ROWS)) else []
    for line in wrong:
        typer.echo(line, err=True)
    if wrong:
        raise typer.Exit(1)


@commands.command()
def preview(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write")] = Path("monitoring.html"),
    last: Annotated[timedelta, typer.Option(parser=span, metavar="SPAN", help="How far back")] = timedelta(hours=1),
    prometheus: Address = None,
) -> None:
    """Draw the dashboard's panels to one page, for whoever has no Grafana at hand."""
    from mooring.observe.monitoring.preview import drawn  # loads a plotting library

    with explained():
        out.write_text(drawn(prometheus or Places().prometheus, last))
    typer.echo(f"Wrote {out}.")


def one_period(**asked: bool) -> Period:
    chosen = [period for period in SPANS if asked[period]]
    if len(chosen) > 1:
        raise typer.BadParameter("one of --day, --week and --month, not several.")
    return chosen[0] if chosen else "day"


async def reported(db: Executor, prometheus: str | None, period: Period) -> Report:
    return await report(db, prometheus or Places().prometheus, period, at=clock.now())


def keep(found: Report, page: Path | None) -> None:
    if page is not None:
        page.write_text(as_page(found))
