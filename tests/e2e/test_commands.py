"""The other commands, as a person or cron runs them: what they print, where, and how they end."""

import json
import re
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from mooring.storage.disk_names import relative_path
from servers.postgres import Server
from servers.serving import Mooring, put, until


def test_incomplete_is_a_list_totals_or_json_and_agrees_with_the_endpoint(mooring: Mooring) -> None:
    serving = mooring.serve(MOORING_UPLOAD_URL_SECONDS="1")
    person = serving.sign_in()
    lost = [person.issue()["photo_id"] for _ in range(2)]

    def tracked() -> dict[str, Any]:
        said: dict[str, Any] = person.http.get("/photos/upload-tracking").json()
        return said

    until(lambda: tracked()["total_count"] == 2)
    assert json.loads(mooring.run("incomplete", "--json").stdout) == tracked()
    lines = mooring.run("incomplete", "--limit", "1").stdout.splitlines()
    assert lines[0] == "2 incomplete uploads"
    assert lines[1].split() == ["upload", "user", "album", "issued", "lapsed"]
    assert lines[2].split()[:3] == [str(lost[0]), "1", str(person.album_id)]
    assert len(lines) == 3
    by_user = mooring.run("incomplete", "--by", "user", "--since", "1h").stdout
    assert [line.split() for line in by_user.splitlines()[1:]] == [["user", "incomplete"], ["1", "2"]]
    assert mooring.run("incomplete", "--until", "2001-01-01").stdout == "0 incomplete uploads\n"
    assert mooring.run("incomplete", "--since", "2999-12-31T00:00Z").stdout == "0 incomplete uploads\n"


def test_sweep_finds_what_nobody_told_of_and_its_json_is_nothing_but_json(mooring: Mooring) -> None:
    serving = mooring.serve(MOORING_UPLOAD_URL_SECONDS="1", MOORING_SWEEP="false")
    person = serving.sign_in()
    issued = person.issue()
    assert put(issued).status_code == 200
    until(lambda: put(issued).status_code == 403)  # its URL lapsed
    swept = mooring.run("sweep", "--json", MOORING_LOG_LEVEL="info")
    assert json.loads(swept.stdout)["arrived"] == 1
    events = [json.loads(line)["event"] for line in swept.stderr.splitlines()]
    assert "upload_arrived" in events
    assert person.state(issued) == "UPLOADED"
    until(lambda: 'photo_api_upload_arrivals_total{trigger="sweep"} 1.0' in serving.get("/metrics").text)
    again = mooring.run("sweep")
    assert (again.stdout.startswith("0 arrived, "), again.stderr) == (True, "")


def test_reconcile_tells_what_it_would_do_and_then_does_it(mooring: Mooring) -> None:
    mooring.run("storage", "setup")
    stray = mooring.data / "storage" / "objects" / relative_path("photos/stray.jpg")
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"whose?")
    assert "Found: 0 objects without an upload" in mooring.run("reconcile", "--dry-run").stdout  # it is young
    looked = mooring.run("reconcile", "--dry-run", "--grace", "0s").stdout
    assert looked.splitlines()[1:] == ["object without an upload: photos/stray.jpg"]
    assert stray.exists()
    cleaned = mooring.run("reconcile", "--grace", "0s")
    assert "Cleaned up: 1 objects without an upload" in cleaned.stdout
    assert json.loads(cleaned.stderr)["event"] == "object_trashed"
    assert not stray.exists()
    assert json.loads(mooring.run("reconcile", "--grace", "0s", "--json").stdout)["orphans"] == []


def test_user_create_makes_an_administrator_without_asking(mooring: Mooring) -> None:
    who = ("--password", "correct horse battery")
    made = mooring.run("user", "create", "boss@example.org", *who, "--admin")
    assert re.fullmatch(r"Created admin boss@example\.org with id \d+\.\n", made.stdout)
    assert mooring.run("user", "create", "boss@example.org", *who, status=1).stderr.startswith("An account for boss@")
    assert mooring.run("user", "create", "nobody", *who, status=1).stderr.startswith("This is no e-mail address")
    assert mooring.serve().sign_in("boss@example.org").http.get("/auth/me").json()["role"] == "admin"


async def test_migrate_and_the_database_of_ones_own(mooring: Mooring, empty_database_url: str) -> None:
    mooring.env["MOORING_DATABASE_URL"] = empty_database_url
    assert mooring.run("migrate").stdout.splitlines()[0] == "applied 0001_ground"
    assert mooring.run("migrate").stdout == "The database is up to date.\n"
    assert mooring.run("db", "url").stdout == f"{empty_database_url}\n"
    shown = mooring.run("db", "shell", words_in="\\pset format unaligned\nSELECT current_database();\n")
    assert shown.stdout.splitlines()[-2] in empty_database_url
    assert mooring.run("db", "shell", words_in="\\set ON_ERROR_STOP 1\nSELECT nothing;\n", status=3).stderr
    assert not mooring.data.exists()


async def test_a_role_that_may_make_nothing_is_one_sentence(
    mooring: Mooring, postgres: Server, empty_database_url: str
) -> None:
    name = urlsplit(empty_database_url).path[1:]
    superuser = await asyncpg.connect(postgres.url(name, user="postgres"))
    await superuser.execute(f"ALTER DATABASE {name} OWNER TO postgres")
    await superuser.close()
    said = mooring.run("migrate", status=1, MOORING_DATABASE_URL=empty_database_url).stderr
    assert said.startswith("PostgreSQL says: permission denied for schema public. Let the role of MOORING_DATABASE_URL")
    assert said.count("\n") == 1
