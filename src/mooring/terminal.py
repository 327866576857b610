"""How the command reads what is written to it, and how it answers.

Answers go to standard output, everything else to standard error, so that `--json` may be piped."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import typer
from pydantic import ValidationError

from mooring import clock
from mooring.errors import MooringError
from mooring.uploads.reconcile import Found


def span(text: str | timedelta) -> timedelta:
    if isinstance(text, timedelta):  # a default
        return text
    found = re.fullmatch(r"([0-9]{1,5})([smhd])", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no span of time: write 90s, 30m, 1h or 2d.")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: int(found[1])})


def moment(text: str) -> datetime:
    if re.fullmatch(r"[0-9]+[a-z]", text):
        return clock.now() - span(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no moment: write 2030-01-31, 2030-01-31T12:00 (UTC), 2030-01-31T12:00+09:00, "
            "or 24h for so long ago."
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@contextmanager
def explained() -> Iterator[None]:
    """What a person can act on is a sentence, not a stack trace."""
    try:
        yield
    except MooringError as failure:
        why = getattr(failure, "what", "")
        _fail(f"{failure.message} ({why})" if why else failure.message)
    except ValidationError as failure:
        _fail("\n".join(f"{_variable(wrong['loc'])}: {wrong['msg']}." for wrong in failure.errors()))


def _fail(why: str) -> NoReturn:
    typer.secho(why, err=True, fg=typer.colors.RED)
    raise typer.Exit(1) from None


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    return name if name.isupper() else f"MOORING_{name.upper()}"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned, one line for each row, however wide: for people, and for grep and awk."""
    lines = [list(columns), *([_word(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())


def _word(value: object) -> str:
    if isinstance(value, datetime):
        return _written(value.replace(microsecond=0))
    return "-" if value is None else str(value)


def _written(value: object) -> str:
    """As the HTTP interface writes it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def show(facts: dict[str, Any], as_json: bool, text: str) -> None:
    typer.echo(json.dumps(facts, default=_written, ensure_ascii=False, indent=2) if as_json else text)


def told(found: Found, *, dry_run: bool) -> list[str]:
    """What reconciling found, line by line."""
    return [
        f"Checked {found.checked_objects} objects and {found.checked_uploads} uploads. "
        f"{'Found' if dry_run else 'Cleaned up'}: {len(found.orphans)} objects without an upload, "
        f"{len(found.missing)} uploads without their object, {len(found.multiparts)} abandoned multipart uploads.",
        *(f"object without an upload: {key}" for key in found.orphans),
        *(f"upload without its object: {upload_id}" for upload_id in found.missing),
        *(f"abandoned multipart upload: {key}" for key in found.multiparts),
    ]
