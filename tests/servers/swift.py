"""A real OpenStack Swift for the whole run, in a venv of its own that `make-swift.sh` makes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from servers.postgres import missing
from servers.s3 import S3Server, started

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-swift/bin/python"


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with swift_in(tmp_path_factory.mktemp("swift")) as server:
        yield server


@contextmanager
def swift_in(folder: Path) -> Iterator[S3Server]:
    if not PYTHON.exists():
        missing("Swift is not here: run tests/servers/make-swift.sh")
    try:
        os.setxattr(folder, "user.mooring", b"")
    except OSError:
        missing(f"Swift keeps extended attributes, and {folder} can't: set TMPDIR to a folder on a disk")
    # -P: else this file would be what `import swift` finds there.
    command = (PYTHON, "-P", "-W", "ignore", HERE / "swift_process.py", folder / "swift")
    with started(command, folder / "log", within=30) as port:
        yield S3Server(f"http://127.0.0.1:{port}", "test:tester", "testing")


def let_pages_in(server: S3Server, bucket: str) -> None:
    """Swift has no CORS call in its S3: a container's own headers say it. Parts are in a container of their own."""
    who = {"X-Auth-User": server.access_key, "X-Auth-Key": server.secret_key}
    signed_in = httpx.get(f"{server.endpoint}/auth/v1.0", headers=who, trust_env=False).headers
    allowed = {"Allow-Origin": "*", "Expose-Headers": "ETag"}
    headers = {f"X-Container-Meta-Access-Control-{name}": value for name, value in allowed.items()}
    headers["X-Auth-Token"] = signed_in["x-auth-token"]
    for container in (bucket, f"{bucket}%2Bsegments"):
        answer = httpx.put(f"{signed_in['x-storage-url']}/{container}", headers=headers, trust_env=False)
        assert answer.status_code in (201, 202), answer.text
