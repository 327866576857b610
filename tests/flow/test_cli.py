"""What the command makes of the words after it, before it does anything."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import typer
from typer.testing import CliRunner

from mooring import clock
from mooring.cli import app
from mooring.terminal import moment, span


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("reconcile --grace soon", "'--grace': 'soon' is no span of time: write 90s, 30m, 1h or 2d."),
        ("reconcile --grace -1h", "'-1h' is no span of time"),
        ("incomplete --limit 0", "'--limit'"),
        ("incomplete --limit -5", "'--limit'"),
        ("incomplete --limit some", "'--limit'"),
        ("incomplete --since yesterday", "'--since': 'yesterday' is no moment"),
        ("incomplete --until 2030-13-01", "'--until': '2030-13-01' is no moment"),
        ("incomplete --by size", "'--by'"),
        ("serve --port 65536", "'--port'"),
        ("serve --port -1", "'--port'"),
        ("user create", "'email'"),
        ("user create a@example.org --password x --plan gold", "'--plan'"),
        ("sweep --jsn", "No such option: --jsn"),
        ("swep", "No such command 'swep'."),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_done(words: str, complaint: str) -> None:
    ran = CliRunner().invoke(app, words.split())
    assert ran.exit_code == 2
    assert complaint in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize("command", ["", "serve", "sweep", "reconcile", "incomplete", "migrate", "db url", "db shell",
                                     "user create", "storage setup", "version", "report", "monitoring",
                                     "monitoring export", "monitoring preview"])  # fmt: skip
def test_every_command_explains_itself(command: str) -> None:
    ran = CliRunner().invoke(app, [*command.split(), "--help"])
    assert ran.exit_code == 0
    assert ran.stdout.startswith("Usage: ")
    assert "..." not in ran.stdout.partition("Commands:")[2]  # each fits on its line


@pytest.mark.parametrize(
    ("text", "is_"),
    [("90s", timedelta(seconds=90)), ("30m", timedelta(minutes=30)), ("1h", timedelta(hours=1)), ("2d", timedelta(2)),
     ("0s", timedelta(0))],
)  # fmt: skip
def test_a_span_is_a_number_and_a_letter(text: str, is_: timedelta) -> None:
    assert span(text) == is_


@pytest.mark.parametrize("text", ["", "1", "h", "1 h", "1.5h", "1w", "٣h", "999999d", "-1h", "1h\n"])
def test_anything_else_is_no_span(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        span(text)


@pytest.mark.parametrize(
    ("text", "is_"),
    [
        ("2030-01-31", datetime(2030, 1, 31, tzinfo=UTC)),
        ("2030-01-31T12:00", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31 12:00:05", datetime(2030, 1, 31, 12, 0, 5, tzinfo=UTC)),
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00+09:00", datetime(2030, 1, 31, 12, tzinfo=timezone(timedelta(hours=9)))),
    ],
)
def test_a_moment_is_in_utc_unless_it_says_otherwise(text: str, is_: datetime) -> None:
    assert moment(text) == is_


def test_a_span_as_a_moment_is_so_long_ago() -> None:
    before, at, after = clock.now(), moment("24h"), clock.now()
    assert before <= at + timedelta(hours=24) <= after
