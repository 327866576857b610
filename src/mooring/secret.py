"""The secret that tokens and the disk store's URLs are signed with."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from mooring.errors import SetupProblem
from mooring.settings import Settings

SHORTEST_SECRET = 32


def secret_of(settings: Settings) -> str:
    """Never defaulted: given and long enough, or, in the embedded default, made once and kept to ourselves."""
    if settings.secret is not None:
        secret = settings.secret.get_secret_value()
        if len(secret) < SHORTEST_SECRET or len(set(secret)) < SHORTEST_SECRET // 4:
            raise SetupProblem(
                f"MOORING_SECRET is too weak: give it at least {SHORTEST_SECRET} random characters. "
                "One way: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
            )
        return secret
    if not settings.is_embedded:
        raise SetupProblem(
            "MOORING_SECRET is missing. With a database of your own it is not made up for you: every process must have "
            "the same. "
            "One way: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    return _kept_secret(settings.data / "secret")


def _kept_secret(file: Path) -> str:
    """Made under another name first, so that a second process finds it whole or not at all."""
    if not file.exists():
        made = file.with_name(f"{file.name}.{os.getpid()}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as new:
            new.write(secrets.token_urlsafe(48))
            new.flush()
            os.fsync(new.fileno())
        with suppress(FileExistsError):
            os.link(made, file)
        made.unlink()
    kept = file.read_text()
    if len(kept) < SHORTEST_SECRET:
        raise SetupProblem(f"The secret in {file} is damaged. Remove the file: everybody signs in again, old URLs end.")
    return kept
