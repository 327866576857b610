"""`make bench-peers`: other projects that hand out upload URLs, each a real server in its usual production
way, under the same load in the same run.

Neither keeps a ledger: Companion signs a POST form; django-s3-file-field opens a multipart upload in storage
(the stub, at once) and signs its part. Neither knows its caller. Mooring does all of its work."""

import asyncio
import shutil
import statistics
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from urllib.parse import urlencode

import contenders
from asked import Asked
from contenders import FILE
from ground import BENCH, WORK, Server, free_port, serving
from load import Ask, Round, press, write_asks
from mooring.db.migrate import migrate
from table import Line, at_least

PEERS = BENCH / "peers"


def measure(asked: Asked) -> list[Line]:
    database_url = asked.cluster.create("mooring")
    asyncio.run(migrate(database_url))
    contenders.seed_mooring(database_url)
    seen: dict[str, list[Round]] = {}
    with ExitStack() as running:
        stub = running.enter_context(contenders.stub_storage())
        pressed = [
            (running.enter_context(contenders.mooring(database_url, stub)), _our_asks()),
            (running.enter_context(_companion(stub)), [_companions_ask()]),
            (running.enter_context(_django(stub)), [_djangos_ask()]),
        ]
        files = [(server, write_asks(f"peer-{server.name}", asks)) for server, asks in pressed]
        for server, asks in files:
            press(server, asks, seconds=2)
        for _ in range(asked.rounds):
            for server, asks in files:
                seen.setdefault(server.name, []).append(press(server, asks, seconds=asked.seconds))
    return [
        _line("`@uppy/companion` `/s3/params`", seen["mooring"], seen["companion"], 4),
        _line("`django-s3-file-field` `upload-initialize`", seen["mooring"], seen["django"], 18),
    ]


def _line(name: str, ours: Sequence[Round], theirs: Sequence[Round], budget: float) -> Line:
    ratios = [one.per_second / other.per_second for one, other in zip(ours, theirs, strict=True)]
    our, their = (statistics.median(one.per_second for one in rounds) for rounds in (ours, theirs))
    return at_least(
        f"`POST /photos/presigned-url` against {name}",
        statistics.median(ratios),
        budget,
        f"{our:,.0f}/s against {their:,.0f}/s",
    )


def _our_asks() -> list[Ask]:
    return contenders.issues(contenders.mooring_tokens())


# ── Companion ──


def _companion(storage: Server) -> AbstractContextManager[Server]:
    home = WORK / "companion"  # its node_modules are there; Node looks for them beside the script
    shutil.copy(PEERS / "companion" / "server.js", home)
    shutil.copy(PEERS / "companion" / "package.json", home)
    port = free_port()
    command = ["node", home / "server.js", str(port), storage.url]
    return serving("companion", command, port=port, alive="/", env={"NODE_ENV": "production"}, cwd=home)


def _companions_ask() -> Ask:
    query = {"filename": FILE["filename"], "type": FILE["content_type"]}
    return Ask("GET", "/s3/params?" + urlencode(query))


# ── django-s3-file-field ──


def _django(storage: Server) -> AbstractContextManager[Server]:
    port = free_port()
    # One worker with threads: the plain one closes the connection after each answer, which costs it more.
    command = [WORK / "django" / "bin" / "gunicorn", "--workers=1", "--threads=4", f"--bind=127.0.0.1:{port}"]
    return serving(
        "django",
        [*command, "wsgi"],
        port=port,
        alive="/",
        env={"S3_ENDPOINT": storage.url},
        cwd=PEERS / "django",
        with_children=True,
    )


def _djangos_ask() -> Ask:
    asked = {
        "field_id": "files.File.blob",
        "file_name": FILE["filename"],
        "file_size": FILE["file_size"],
        "content_type": FILE["content_type"],
    }
    return contenders.post("/api/s3-upload/upload-initialize/", "", asked)
