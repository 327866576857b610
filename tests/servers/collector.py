"""A stand-in for NHN Cloud's Log & Crash Search: holds what it gets against the documented rules, and answers as
documented. What it shall do otherwise a test says."""

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

APP_KEY = "an-app-key-of-the-tests"
MOST_OF_REQUEST, MOST_OF_LOG, MOST_OF_FIELD, MOST_OF_TEXT = 52 * 2**20, 8_388_608, 1024, 2**20
FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
TEXTS = {"projectName", "projectVersion", "logVersion", "body", "logSource", "logType", "host", "sendTime", "logLevel"}
ITS_OWN = {name.lower() for name in TEXTS} | {"lncbulkindex", "logtime", "userid", "platform", "location", "errorcode"}
Fault = Callable[[list[dict[str, Any]]], Any]  # an answer in place of the usual one, or None


@dataclass
class Collector:
    url: str = ""
    logs: list[dict[str, Any]] = field(default_factory=list)  # that it took
    requests: int = 0
    broken_rules: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)  # for the requests to come, one each

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        raw = await request.read()
        if len(raw) > MOST_OF_REQUEST or request.content_type != "application/json" or request.path != "/v2/log":
            self.broken_rules.append("the request itself")
        asked = json.loads(raw)
        logs = asked if isinstance(asked, list) else [asked]
        if self.faults:
            fault = self.faults.pop(0)(logs)
            if isinstance(fault, web.StreamResponse):
                return fault
            if fault is not None:
                return web.json_response(self._answer(logs, fault))
        return web.json_response(self._answer(logs, {}))

    def _answer(self, logs: list[dict[str, Any]], refused: dict[int, str]) -> dict[str, Any]:
        results = []
        for place, one in enumerate(logs):
            self.broken_rules += broken_by(one)
            message = refused.get(place) or verdict(one)
            if message == "Success":
                self.logs.append(one)
            results.append({"isSuccessful": message == "Success", "resultMessage": message})
        errors = sum(not one["isSuccessful"] for one in results)
        return {
            "header": {"isSuccessful": True, "resultCode": 0, "resultMessage": "Success"},
            "body": {"data": {"total": len(logs), "errors": errors, "resultList": results}},
        }


def verdict(one: dict[str, Any]) -> str:
    if one.get("logVersion") != "v2":
        return f"LogVersion Mismatch: {one.get('logVersion')}, /v2/log"
    if one.get("projectName") != APP_KEY:
        return f"The project({one.get('projectName')}) is not registered"
    return "Success"


def broken_by(one: dict[str, Any]) -> list[str]:
    said = [f"no {name}" for name in ("projectName", "projectVersion", "logVersion") if not one.get(name)]
    if not re.fullmatch(r"[A-Za-z0-9\-._]+", one.get("projectVersion", "")):
        said.append("projectVersion")
    if len(json.dumps(one).encode()) > MOST_OF_LOG:
        said.append("a log of more than 8 MB")
    if not isinstance(one.get("lncBulkIndex", 1), int) or not re.fullmatch(r"\d{13}", one.get("sendTime", "0" * 13)):
        said.append("lncBulkIndex or sendTime")
    for name, value in one.items():
        if name in TEXTS and not isinstance(value, str):
            said.append(f"{name} is no text")
        if name not in TEXTS and name != "lncBulkIndex":
            said += _custom(name, value)
    return said


def _custom(name: str, value: Any) -> list[str]:
    most = MOST_OF_TEXT if name.startswith("txt") else MOST_OF_FIELD
    wrong = not FIELD.fullmatch(name) or name.lower() in ITS_OWN or name.startswith(("long", "double"))
    return [f"the field {name}"] if wrong or not isinstance(value, str) or len(value.encode()) > most else []


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application(client_max_size=2 * MOST_OF_REQUEST)
    app.router.add_post("/{path:.*}", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    collector.url = f"http://{host}:{port}/v2/log"
    yield collector
    await runner.cleanup()
    assert collector.broken_rules == []
