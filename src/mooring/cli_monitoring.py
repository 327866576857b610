"""`mooring monitoring …` and `mooring report`: parses, calls, prints, like `cli.py`, which has room for no more.

What they need is imported when they are called: no other command has to wait for it."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mooring import clock
from mooring.indoors import AsJson, Data, in_house
from mooring.terminal import explained, show, span

if TYPE_CHECKING:
    from mooring.observe.monitoring.checklist import Period

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
    from mooring.observe.monitoring.export import ROWS, differing, files, write
    from mooring.observe.monitoring.places import Places
    from mooring.observe.monitoring.promql import broken

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
    """Draw the dashboard to one page.

    For whoever has no Grafana at hand: nothing in it is from elsewhere.
    """
    if last < timedelta(seconds=10):
        raise typer.BadParameter("--last must be 10s at least: there is nothing to draw.")
    from mooring.observe.monitoring.export import keep
    from mooring.observe.monitoring.places import Places
    from mooring.observe.monitoring.preview import drawn

    with explained():
        keep(out, drawn(prometheus or Places().prometheus, last))
    typer.echo(f"Wrote {out}.")


def report(
    day: Annotated[bool, typer.Option("--day", help="The last 24 hours [default]")] = False,
    week: Annotated[bool, typer.Option("--week", help="The last 7 days")] = False,
    month: Annotated[bool, typer.Option("--month", help="The last 30 days")] = False,
    prometheus: Address = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write it as a page, too")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Go through the checklist of the day, the week or the month."""
    from mooring.observe.monitoring.export import keep
    from mooring.observe.monitoring.places import Places
    from mooring.observe.monitoring.report import as_page, as_text, reported

    period = _one_period(day=day, week=week, month=month)
    where = prometheus or Places().prometheus
    found = in_house(data, lambda house: reported(house.db, where, period, at=clock.now()))
    if html is not None:
        with explained():
            keep(html, as_page(found))
    show(asdict(found), as_json, as_text(found))


def _one_period(*, day: bool, week: bool, month: bool) -> "Period":
    if day + week + month > 1:
        raise typer.BadParameter("one of --day, --week and --month, not several.")
    return "month" if month else "week" if week else "day"
