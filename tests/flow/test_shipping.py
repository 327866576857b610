"""Log lines on their way to Log & Crash Search: by its rules, once each, and never in anybody's way."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from aiohttp import web

from mooring.observe.metrics import Metrics
from mooring.observe.records import Project
from mooring.observe.shipping import MOST_ATTEMPTS, MOST_IN_BULK, Shipper
from servers.collector import APP_KEY, Collector

PAUSES = (0.01, 0.02)
AT = "2030-01-02T03:04:05.678901+00:00"


def line(number: int = 1, **more: Any) -> bytes:
    event = {"upload_id": number, "user_id": 7, "event": "photo_presigned", "request_id": "a-1", "trigger": "client"}
    return json.dumps({**event, "level": "info", "at": AT, **more}).encode() + b"\n"


@asynccontextmanager
async def shipping(
    url: str, metrics: Metrics, *, most: int = 10_000, key: str = APP_KEY, stop: float = 5
) -> AsyncIterator[Shipper]:
    async with httpx.AsyncClient(trust_env=False) as http:
        project = Project(key, "1.2.3", "node-1")
        shipper = Shipper(http, url, project, metrics, most=most, gather=0.01, pauses=PAUSES)
        running = asyncio.create_task(shipper.run())
        try:
            yield shipper
        finally:
            await shipper.stop(stop)
            running.cancel()
            await asyncio.wait([running])


def dropped(metrics: Metrics, reason: str) -> float:
    return float(metrics.log_lines_dropped.labels(reason)._value.get())


def failed(metrics: Metrics) -> float:
    return float(metrics.external_errors.labels("log_service")._value.get())


def numbers(logs: Sequence[dict[str, Any]]) -> list[int]:
    return [int(one["upload_id"]) for one in logs]


async def test_a_line_arrives_with_its_fields_by_the_rules(collector: Collector) -> None:
    metrics = Metrics()
    async with shipping(collector.url, metrics) as shipper:
        shipper.take(
            [line(5, why="걸음 " * 900, count=3, nothing=None, userID="x", location="y", **{"1st part!": [1]})]
        )
    [log] = collector.logs
    assert log["body"].startswith('{"upload_id": 5')
    assert (log["projectVersion"], log["host"], log["logLevel"]) == ("1.2.3", "node-1", "INFO")
    assert log["sendTime"] == "1893553445678"
    assert {name: log[name] for name in ("event", "upload_id", "user_id", "request_id", "trigger", "count")} == {
        "event": "photo_presigned", "upload_id": "5", "user_id": "7", "request_id": "a-1", "trigger": "client",
        "count": "3",
    }  # fmt: skip
    assert log["txt_why"] == "걸음 " * 900, "longer than a field may be"
    assert (log["own_userID"], log["own_location"], log["own_1st_part_"]) == ("x", "y", "[1]")
    assert "nothing" not in log
    assert (metrics.external_seconds.values[("log_service",)][0], failed(metrics)) == (1, 0)


async def test_many_go_together_and_keep_their_order(collector: Collector) -> None:
    async with shipping(collector.url, Metrics()) as shipper:
        for start in range(0, 1200, 100):
            shipper.take([line(number) for number in range(start, start + 100)])
    assert numbers(collector.logs) == list(range(1200))
    order = [one["lncBulkIndex"] for one in collector.logs]
    assert order == sorted(set(order)), "the newest has the highest"
    assert collector.requests == -(-1200 // MOST_IN_BULK)


async def test_only_what_failed_is_sent_again_and_what_never_will_be_taken_is_not(collector: Collector) -> None:
    metrics = Metrics()
    collector.faults = [lambda _: {1: "Internal error", 3: "The project(x) is not registered"}, lambda _: {0: "Busy"}]
    async with shipping(collector.url, metrics) as shipper:
        shipper.take([line(number) for number in range(5)])
    assert sorted(numbers(collector.logs)) == [0, 1, 2, 4]
    assert collector.requests == 3
    assert dropped(metrics, "refused") == 1


async def test_lines_that_are_refused_are_no_failure_of_calls_that_took_others(collector: Collector) -> None:
    metrics = Metrics()
    unfit = dict.fromkeys((1, 2, 3), "The project(x) is not registered")
    collector.faults = [lambda _: unfit] * 3
    async with shipping(collector.url, metrics) as shipper:
        shipper.take([line(number) for number in range(3 * MOST_IN_BULK)])
    assert len(collector.logs) == 3 * MOST_IN_BULK - 9
    assert (collector.requests, dropped(metrics, "refused"), failed(metrics)) == (3, 9, 0)


async def test_lines_that_the_answer_says_nothing_of_are_sent_again(collector: Collector) -> None:
    metrics = Metrics()

    def short(logs: Sequence[dict[str, Any]]) -> web.Response:
        """It tells of the first two, and takes them."""
        collector.logs += logs[:2]
        results = [{"isSuccessful": True, "resultMessage": "Success"}] * 2
        return web.json_response({"header": {"isSuccessful": True}, "body": {"data": {"resultList": results}}})

    collector.faults = [short]
    async with shipping(collector.url, metrics) as shipper:
        shipper.take([line(number) for number in range(5)])
    assert numbers(collector.logs) == [0, 1, 2, 3, 4]
    assert (collector.requests, dropped(metrics, "refused"), failed(metrics)) == (2, 0, 0)


async def test_lines_that_no_answer_ever_speaks_of_are_let_go_and_counted(collector: Collector) -> None:
    metrics = Metrics()
    none = {"header": {"isSuccessful": True}, "body": {"data": {"resultList": []}}}
    collector.faults = [lambda _: web.json_response(none)] * MOST_ATTEMPTS
    async with shipping(collector.url, metrics) as shipper:
        shipper.take([line(1), line(2)])
    assert (collector.logs, dropped(metrics, "refused"), failed(metrics)) == ([], 2, MOST_ATTEMPTS)


async def test_what_is_refused_again_and_again_is_let_go(collector: Collector) -> None:
    metrics = Metrics()
    collector.faults = [lambda _: {0: "Internal error"}] * MOST_ATTEMPTS
    async with shipping(collector.url, metrics) as shipper:
        shipper.take([line(1)])
    assert (collector.logs, dropped(metrics, "refused")) == ([], 1)


async def test_a_key_that_nobody_knows_costs_one_attempt_each(collector: Collector) -> None:
    metrics = Metrics()
    async with shipping(collector.url, metrics, key="unknown") as shipper:
        shipper.take([line(1), line(2)])
    assert (collector.requests, dropped(metrics, "refused"), failed(metrics)) == (1, 2, 1)


async def test_while_the_service_is_away_nothing_is_lost_that_there_is_room_for(collector: Collector) -> None:
    metrics = Metrics()
    collector.faults = [
        lambda _: web.Response(status=503),
        lambda _: web.Response(status=429),
        lambda _: web.Response(text="<html>a proxy's</html>"),
        lambda _: web.json_response({"header": {"isSuccessful": False, "resultMessage": "Try later"}}),
    ]
    async with shipping(collector.url, metrics, most=100) as shipper:
        shipper.take([line(number) for number in range(130)])
        assert (shipper.size, dropped(metrics, "full")) == (100, 30)
        text = metrics.text().decode()
        assert "photo_api_log_queue_size 100.0" in text
        assert 'photo_api_log_lines_dropped_total{reason="full"} 30.0' in text
    assert numbers(collector.logs) == list(range(100))
    assert failed(metrics) == 4, "each of the calls that failed, once"
    assert "photo_api_log_queue_size 0.0" in metrics.text().decode()


async def test_a_request_that_is_refused_as_such_is_not_sent_for_ever(collector: Collector) -> None:
    metrics = Metrics()
    collector.faults = [lambda _: web.Response(status=400)]
    async with shipping(collector.url, metrics) as shipper:
        shipper.take([line(1), line(2)])
    assert (collector.requests, dropped(metrics, "refused"), failed(metrics)) == (1, 2, 1)


async def test_the_end_is_bounded_and_what_is_left_is_counted() -> None:
    metrics = Metrics()
    async with hanging() as url, shipping(url, metrics, stop=0.2) as shipper:
        shipper.take([line(number) for number in range(40)])
    assert dropped(metrics, "stopped") == 40


async def test_lines_of_any_size_keep_within_its_bounds(collector: Collector) -> None:
    async with shipping(collector.url, Metrics()) as shipper:
        shipper.take([line(1, traceback="x" * 3 * 2**20), line(2, why="é" * 600), line(3, why="\udcff\x00 half")])
    assert numbers(collector.logs[:2]) == [1, 2]
    assert collector.logs[2]["body"].startswith('{"upload_id": 3'), "no JSON that anybody reads: it goes whole"
    assert len(collector.logs[0]["body"]) <= 2**20


@asynccontextmanager
async def hanging() -> AsyncIterator[str]:
    """Takes connections, and says nothing, ever."""
    writers = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2/log"
    finally:
        for writer in writers:
            writer.close()
        server.close()
