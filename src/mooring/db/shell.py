"""PostgreSQL's own shell, `psql`, on a database of ours."""

import os
import signal
import subprocess
from urllib.parse import unquote, urlsplit

from mooring.db.programs import INSIDE, wheel


def shell(url: str, arguments: tuple[str, ...] = ()) -> int:
    """Opens it for a person, or for what is piped in; psql's exit status."""
    address, environment = _told_apart(url)
    # Ctrl-C is psql's: it cancels a statement there, and must not end us before it.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        program = wheel()[0] / INSIDE / "bin" / "psql"
        return subprocess.run([program, address, *arguments], env=environment, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def _told_apart(url: str) -> tuple[str, dict[str, str]]:
    """The password goes by the environment: everybody on the machine may read a command line."""
    parts = urlsplit(url)
    if not parts.password:
        return url, dict(os.environ)
    user, _, host = parts.netloc.rpartition("@")
    without = parts._replace(netloc=f"{user.partition(':')[0]}@{host}").geturl()
    return without, {**os.environ, "PGPASSWORD": unquote(parts.password)}
