"""A `mooring serve` of its own, with database and storage in a fresh folder, and somebody who uses it."""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import httpx

from ground import PYTHON, SERVER_CORE, WORK, Server, free_port, serving


@contextmanager
def embedded(name: str, *, cores: Collection[int] = SERVER_CORE, **env: str) -> Iterator[Server]:
    folder, port = WORK / name, free_port()
    shutil.rmtree(folder, ignore_errors=True)
    command = [PYTHON.with_name("mooring"), "serve", "--port", str(port), "--data", folder]
    env = {"MOORING_RATE_LIMITS": "off", **env}
    with serving(name, command, port=port, alive="/health/live", cores=cores, env=env) as server:
        yield server
    shutil.rmtree(folder)


def somebody(server: Server) -> httpx.Client:
    person = httpx.Client(base_url=server.url, trust_env=False, timeout=60)
    who = {"email": "somebody@example.com", "password": "correct horse battery"}
    person.post("/auth/register", json=who).raise_for_status()
    person.headers["Authorization"] = f"Bearer {person.post('/auth/login', json=who).json()['access_token']}"
    person.post("/albums", json={"title": "Summer"}).raise_for_status()
    return person
