"""`mooring serve` as its users have it: a real process, its signals, its logs, its neighbours."""

import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import httpx
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from servers.serving import BODY, Mooring, Serving, put, until


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def refuses(serving: Serving) -> bool:
    try:
        serving.get("/health/live")
    except httpx.TransportError:
        return True
    return False


def unwell(serving: Serving) -> dict[str, str] | None:
    answer = serving.get("/health")
    return answer.json() if answer.status_code == 503 else None


def error_code(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert set(error) >= {"code", "message", "timestamp", "path", "request_id"}
    return answer.status_code, error["code"]


def test_the_whole_walk_from_registering_to_the_bytes_again(mooring: Mooring) -> None:
    serving = mooring.serve()
    with httpx.Client(base_url=serving.url, trust_env=False) as http:
        who = {"email": "owner@example.org", "password": "correct horse battery"}
        assert http.post("/auth/register", json=who).status_code == 201
        form = http.post("/auth/login", data={"username": who["email"], "password": who["password"]})
        assert form.json()["token_type"] == "bearer"
    person = serving.sign_in()
    issued = person.issue(filename="한글 이름.jpg")
    assert issued["upload_url"].startswith(serving.url)
    assert put(issued).status_code == 200
    confirmed = person.confirm(issued)
    assert (confirmed.status_code, confirmed.json()["filename"]) == (200, "한글 이름.jpg")
    assert httpx.get(confirmed.json()["url"], trust_env=False).content == BODY
    assert 'photo_api_photo_upload_confirm_total{result="success"} 1.0' in serving.get("/metrics").text
    event = next(one for one in serving.events if one["event"] == "photo_upload_confirm")
    assert event["upload_id"] == issued["photo_id"]
    assert event["request_id"] == confirmed.headers["x-request-id"]
    assert event["user_id"] == 1
    assert serving.end(signal.SIGINT) == 0


def test_sigterm_sends_balancers_away_and_lets_a_slow_upload_finish(mooring: Mooring) -> None:
    serving = mooring.serve(MOORING_DRAIN_SECONDS="1")
    person = serving.sign_in()
    issued, begun, go_on = person.issue(), Event(), Event()

    def slowly() -> Iterator[bytes]:
        yield BODY[:5]
        begun.set()
        assert go_on.wait(30)
        yield BODY[5:]

    database = mooring.database_pid()
    assert (serving.get("/health").status_code, "photo_api_ready 1.0" in serving.get("/metrics").text) == (200, True)
    with ThreadPoolExecutor(1) as pool:
        try:
            upload = pool.submit(put, issued, slowly(), {"Content-Length": str(len(BODY))})
            assert begun.wait(30)
            serving.process.terminate()
            draining = until(lambda: unwell(serving))
            assert draining == {"status": "draining"}
            assert "photo_api_ready 0.0" in serving.get("/metrics").text
            assert serving.get("/health/live").status_code == 200
            until(lambda: refuses(serving))
        finally:
            go_on.set()
        assert upload.result(30).status_code == 200
    assert serving.process.wait(30) == 0
    assert not lives(database)
    again = mooring.serve().sign_in()
    assert again.confirm(issued).status_code == 200


def test_kill_9_between_put_and_confirm_loses_nothing(mooring: Mooring) -> None:
    first = mooring.serve()
    person = first.sign_in()
    issued = person.issue()
    assert put(issued).status_code == 200
    database = mooring.database_pid()
    first.end(signal.SIGKILL)
    second = mooring.serve()
    person.http.base_url = second.url  # and the token of before: the secret stayed
    assert mooring.database_pid() == database
    assert person.confirm(issued).status_code == 200
    assert person.confirm(issued).status_code == 200
    history = person.http.get(f"/uploads/{issued['photo_id']}/history").json()["events"]
    assert [event["what"] for event in history] == ["issued", "arrived"]
    assert second.end() == 0
    assert not lives(database)


def test_kill_9_of_the_database_is_said_and_healed(mooring: Mooring) -> None:
    serving = mooring.serve()
    person = serving.sign_in()
    issued = person.issue()
    assert put(issued).status_code == 200
    with (mooring.data / "postgres" / "gate").open() as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)  # while we hold it, nobody starts the database
        os.kill(mooring.database_pid(), signal.SIGKILL)
        down = until(lambda: unwell(serving))
        assert down == {"status": "database unavailable"}
        assert error_code(person.confirm(issued)) == (500, "DATABASE_UNAVAILABLE")
        assert error_code(person.http.post("/albums", json={"title": "Winter"})) == (500, "DATABASE_UNAVAILABLE")
        assert serving.get("/health/live").status_code == 200
    until(lambda: serving.get("/health").status_code == 200, seconds=10)
    assert person.confirm(issued).status_code == 200
    errors = [
        line for line in serving.get("/metrics").text.splitlines() if line.startswith("photo_api_db_errors_total")
    ]
    assert float(errors[0].split()[1]) >= 3
    assert {"database_died", "database_restarted"} <= {event["event"] for event in serving.events}
    assert serving.end() == 0


def test_two_that_start_at_once_share_one_database_and_one_secret(mooring: Mooring) -> None:
    first, second = mooring.serve(), mooring.serve()
    person = first.sign_in()
    issued = person.issue()
    person.http.base_url = second.url
    assert put(issued | {"upload_url": issued["upload_url"].replace(first.url, second.url)}).status_code == 200
    assert person.confirm(issued).status_code == 200
    database = mooring.database_pid()
    assert first.end() == 0
    assert person.state(issued) == "UPLOADED"
    assert second.end() == 0
    assert not lives(database)


def test_another_command_shares_the_database_while_it_serves(mooring: Mooring) -> None:
    serving = mooring.serve()
    serving.sign_in().issue()
    database = mooring.database_pid()
    url = mooring.run("db", "url").stdout.strip()
    asked = mooring.run("db", "shell", words_in="SELECT count(*) FROM uploads;\n")
    assert asked.stdout.split()[2] == "1"
    assert (url.startswith("postgresql://"), "\n" in url) == (True, False)
    assert mooring.database_pid() == database
    assert serving.get("/health").status_code == 200
    assert serving.end() == 0


def test_a_port_in_use_is_one_sentence(mooring: Mooring) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = mooring.run("serve", "--port", port, status=1)
    assert said.stderr.startswith(f"Can't listen on 127.0.0.1:{port}: ")
    assert (said.stderr.count("\n"), said.stdout) == (1, "")
    assert not mooring.data.exists()


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"MOORING_DATABASE_CONNECTIONS": "many"}, "MOORING_DATABASE_CONNECTIONS: Input should be a valid integer"),
        ({"BATCH_SIZE": "0"}, "MOORING_BATCH_SIZE: Input should be greater than or equal to 1"),
        ({"MOORING_STORAGE": "tape:1"}, "MOORING_STORAGE is 'tape:1'"),
        ({"MOORING_SECRET": "short"}, "MOORING_SECRET is too weak"),
        ({"MOORING_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}, "The database can't be reached right now."),
        ({"MOORING_DATABASE_URL": "mysql://somewhere"}, "MOORING_DATABASE_URL is no address of a PostgreSQL."),
    ],
)
def test_a_bad_setting_is_one_sentence(mooring: Mooring, env: dict[str, str], sentence: str) -> None:
    said = mooring.run("serve", "--port", "0", status=1, **env)
    assert said.stderr.startswith(sentence)
    assert (said.stderr.count("\n"), said.stdout) == (1, "")


async def test_with_a_database_of_ones_own_the_secret_is_not_made_up(mooring: Mooring, database_url: str) -> None:
    said = mooring.run("serve", "--port", "0", status=1, MOORING_DATABASE_URL=database_url)
    assert said.stderr.startswith("MOORING_SECRET is missing.")
    assert "Traceback" not in said.stderr
    secret = "only the tests have such a secret"
    serving = mooring.serve(MOORING_DATABASE_URL=database_url, MOORING_SECRET=secret)
    assert put(serving.sign_in().issue()).status_code == 200
    assert not (mooring.data / "postgres").exists()
    assert serving.end() == 0


def test_who_listens_everywhere_hears_which_address_clients_need(mooring: Mooring) -> None:
    serving = mooring.serve("--host", "0.0.0.0", "--port", "0")
    assert serving.url.startswith("http://0.0.0.0:")
    assert "set MOORING_PUBLIC_URL" in until(lambda: serving.err.read_text().partition("/docs)\n")[2])
    serving.end()
    serving = mooring.serve("--host", "0.0.0.0", "--port", "0", MOORING_PUBLIC_URL="https://photos.example.org")
    assert serving.url
    serving.end()
    assert "MOORING_PUBLIC_URL" not in serving.err.read_text()
