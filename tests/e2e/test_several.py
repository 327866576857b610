"""Several server processes behind one address: one sum, one start, one stop; and a worker that shows what it counts."""

import asyncio
import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import httpx
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from redis import Redis as Client

from mooring.db.migrate import LOCK
from mooring.errors import SetupProblem
from mooring.server import listen
from mooring.settings import Settings
from mooring.several import Several
from servers.redis import Redis
from servers.serving import Mooring, Serving, put, until
from servers.waiting import until as until_told

ALBUMS = 'http_requests_total{method="GET",handler="/albums",status="200"} '


def children(serving: Serving) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(serving.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie is one too
            if "mooring.one_of_several" in child.cmdline():
                found.append(child)
    return found


def number(text: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)}(\S+)$", text, re.M)
    return float(found[1]) if found else 0.0


def ask(serving: Serving, path: str, count: int, token: str = "") -> list[httpx.Response]:
    """Each by a connection of its own, so that all processes get their share."""

    def one(_: int) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=30) as http:
            return http.get(serving.url + path, headers={"Authorization": token} if token else {})

    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(one, range(count)))


def test_whichever_is_asked_tells_of_all_and_no_sum_ever_falls(mooring: Mooring) -> None:
    serving = mooring.serve("--port", "0", "--processes", "3")
    person = serving.sign_in()
    token = person.http.headers["Authorization"]
    assert len(children(serving)) == 3
    assert [answer.status_code for answer in ask(serving, "/albums", 60, token)] == [200] * 60
    texts = [answer.text for answer in ask(serving, "/metrics", 12)]
    assert {number(text, ALBUMS) for text in texts} == {60}, "from whichever process"
    text = texts[-1]
    assert number(text, "photo_api_ready ") == 1
    assert text.count("photo_api_app_info{") == 1
    assert until(lambda: number(serving.get("/metrics").text, 'photo_api_users_total{status="total"} ')) == 1
    first = children(serving)[0]
    first.send_signal(signal.SIGKILL)
    until(lambda: len(children(serving)) == 3 and first.pid not in {one.pid for one in children(serving)})
    until(lambda: all(answer.status_code == 200 for answer in ask(serving, "/health", 6)))
    assert number(serving.get("/metrics").text, ALBUMS) == 60, "what it had told is kept"
    ask(serving, "/albums", 5, token)
    assert number(serving.get("/metrics").text, ALBUMS) == 65
    assert [line["status"] for line in serving.events if line["event"] == "server_process_died"] == [-9]
    at_the_end = children(serving)
    assert serving.end() == 0
    assert not [one for one in at_the_end if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_children_end_with_a_parent_that_is_killed(mooring: Mooring) -> None:
    serving = mooring.serve("--port", "0", "--processes", "2")
    assert serving.get("/health").status_code == 200
    orphans = children(serving)
    serving.end(signal.SIGKILL)
    _, left = psutil.wait_procs(orphans, timeout=20)
    assert left == []


async def test_children_that_still_start_end_with_a_parent_that_is_killed(mooring: Mooring, database_url: str) -> None:
    """The database does not answer: they wait for a lock that somebody else has, and would do so for ever."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)

    async def both_wait() -> bool:
        here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
        waiting = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = {here}"
        return bool(await connection.fetchval(waiting) == 2)

    try:
        serving = mooring.serve("--port", "0", "--processes", "2", MOORING_DATABASE_URL=database_url)
        await until_told(both_wait)
        orphans = children(serving)
        assert len(orphans) == 2
        serving.end(signal.SIGKILL)
        _, left = psutil.wait_procs(orphans, timeout=20)
        assert left == []
    finally:
        await connection.close()


def test_one_that_can_not_start_ends_all_with_a_sentence(mooring: Mooring) -> None:
    serving = mooring.serve("--port", "0", "--processes", "2", MOORING_SECRET="weak")
    assert serving.process.wait(30) != 0
    said = serving.err.read_text()
    assert "MOORING_SECRET is too weak" in said
    assert "Traceback" not in said


def test_one_that_died_is_replaced_as_soon_as_there_is_room_for_it(mooring: Mooring) -> None:
    serving = mooring.serve("--port", "0", "--processes", "2")
    serving.get("/health")
    parent, first = psutil.Process(serving.process.pid), children(serving)[0]
    before = parent.rlimit(psutil.RLIMIT_NOFILE)
    parent.rlimit(psutil.RLIMIT_NOFILE, (3, before[1]))  # what it has open stays; one more it can't have
    first.send_signal(signal.SIGKILL)
    until(lambda: [line for line in serving.events if line["event"] == "server_process_not_started"])
    parent.rlimit(psutil.RLIMIT_NOFILE, before)
    until(lambda: len(children(serving)) == 2)
    until(lambda: all(answer.status_code == 200 for answer in ask(serving, "/metrics", 6)))
    assert serving.end() == 0


def test_a_replacement_that_ends_before_it_is_ready_is_no_end_for_the_others(mooring: Mooring) -> None:
    serving = mooring.serve("--port", "0", "--processes", "2")
    serving.get("/health")
    first, other = children(serving)
    first.send_signal(signal.SIGKILL)
    second = until(lambda: next((one for one in children(serving) if one not in (first, other)), None))
    second.send_signal(signal.SIGKILL)
    until(lambda: len({*children(serving)} - {first, second}) == 2)
    until(lambda: all(answer.status_code == 200 for answer in ask(serving, "/metrics", 6)))
    assert [line["status"] for line in serving.events if line["event"] == "server_process_died"] == [-9, -9]
    assert serving.end() == 0


async def test_where_none_can_be_started_it_says_so_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    settings = Settings(data=tmp_path / "data", processes=2)
    with listen("127.0.0.1", 0) as listening:
        async with asyncio.timeout(20):
            with pytest.raises(SetupProblem, match="server process can't be started: No such file"):
                await Several(settings, listening, "127.0.0.1").run()


def test_one_that_hangs_holds_nobody_up(mooring: Mooring) -> None:
    serving = mooring.serve("--port", "0", "--processes", "2")
    serving.get("/metrics")
    with hanging(children(serving)[0]):
        began = time.monotonic()
        with httpx.Client(base_url=serving.url, trust_env=False, timeout=5) as http:
            answers = [_or_none(http) for _ in range(4)]
        assert any(answer is not None and "photo_api_ready 1" in answer for answer in answers)
        assert time.monotonic() - began < 25
    assert serving.end() == 0


def _or_none(http: httpx.Client) -> str | None:
    """The hanging one may have taken the connection."""
    try:
        return http.get("/metrics").text
    except httpx.TimeoutException:
        return None


@contextmanager
def hanging(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def test_while_the_parent_hangs_no_scrape_tells_a_part_for_the_whole(mooring: Mooring) -> None:
    serving = mooring.serve("--port", "0", "--processes", "2")
    assert serving.get("/metrics").status_code == 200
    with hanging(psutil.Process(serving.process.pid)):
        answer = serving.get("/metrics")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SIBLINGS_NOT_HEARD")
        assert "photo_api" not in answer.text
        assert serving.get("/health").status_code == 200, "it serves on"
    assert until(lambda: serving.get("/metrics").text.startswith("# HELP"))
    assert serving.end() == 0


def test_who_guesses_at_any_of_them_is_ranked_once(mooring: Mooring) -> None:
    """Networks take turns at the processes; each name's figure is the sum, and with one place for two nobody falls."""
    few = {"MOORING_METRICS_TOP": "2", "MOORING_TRUSTED_PROXIES": "127.0.0.1"}
    serving = mooring.serve("--port", "0", "--processes", "2", **few)
    before: dict[str, float] = {}
    for turn in range(6):
        for network in range(4):
            guess(serving, f"198.51.{network}.1", 1 + (turn + network) % 4 * 3)
        after = guesses(serving.get("/metrics").text)
        assert all(after[name] >= before[name] for name in after.keys() & before.keys())
        assert len(after.keys() - {"other"}) <= 2
        before = after
    assert {*guesses(ask(serving, "/metrics", 1)[0].text)} == {*before}
    assert serving.end() == 0


def guess(serving: Serving, address: str, times: int) -> None:
    for _ in range(times):
        with httpx.Client(trust_env=False, timeout=30, headers={"X-Forwarded-For": address}) as http:
            assert http.get(f"{serving.url}/share/{'x' * 43}").status_code in (404, 429)


def guesses(text: str) -> dict[str, float]:
    found = re.findall(r'^photo_api_share_link_brute_force_attempts_total\{client_id="(.*?)"\} (\S+)$', text, re.M)
    return {name: float(count) for name, count in found}


def test_who_takes_events_shows_what_arrived(mooring: Mooring, redis: Redis) -> None:
    serving = mooring.serve()
    person = serving.sign_in()
    issued = person.issue()
    put(issued)
    queue = f"{redis.url}?list=events"
    events = mooring.start("events", "--from", queue, "--metrics-port", "0", MOORING_TRIGGERS="client,event,sweep")
    address = until(lambda: re.search(r"What it counts: (\S+)", events.err.read_text()))[1]
    told = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "photos"}, "object": {"key": issued["object_key"]}},
    }
    with Client.from_url(redis.url) as client:
        client.rpush("events", json.dumps({"Records": [told]}))
    until(lambda: person.state(issued) == "UPLOADED")
    with httpx.Client(trust_env=False, timeout=10) as http:
        until(lambda: number(http.get(address).text, 'photo_api_upload_arrivals_total{trigger="event"} ') == 1)
        text = http.get(address).text
        assert number(text, "photo_api_ready ") == 1
        assert number(text, 'photo_api_upload_outcomes_total{kind="photo",outcome="arrived"} ') == 1
        assert http.get(address.replace("/metrics", "/health")).status_code == 200
    assert events.end() == 0


def test_a_worker_shows_what_it_counts(mooring: Mooring) -> None:
    worker = mooring.start("worker", "--metrics-port", "0")
    address = until(lambda: re.search(r"What it counts: (\S+)", worker.err.read_text()))[1]
    with httpx.Client(trust_env=False, timeout=10) as http:
        answer = http.get(address)
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert number(answer.text, "photo_api_ready ") == 1
        assert "photo_api_processing_jobs_active 0" in answer.text
        assert "photo_api_users_total" not in answer.text, "servers show that"
        health = address.replace("/metrics", "/health")
        assert (http.get(health).status_code, http.head(health).status_code) == (200, 200)
        assert http.get(address + "/more").status_code == 404
        assert http.post(address).status_code == 405
    assert worker.end() == 0
