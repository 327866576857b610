"""The load: wrk, 32 connections on one thread, the same script for every contender."""

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ground import BENCH, OTHER_CORES, WORK, Server

CONNECTIONS = 32


@dataclass(frozen=True)
class Ask:
    method: str
    path: str
    token: str = ""
    body: str = ""

    def line(self) -> str:
        return f"{self.method}\t{self.path}\t{self.token}\t{self.body}\n"


@dataclass(frozen=True)
class Round:
    """What one contender did under one load."""

    completed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float
    rss_mb: float

    @property
    def per_second(self) -> float:
        return self.completed / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time of the server per request."""
        return self.cpu_seconds / self.completed * 1e6


def write_asks(name: str, asks: Iterable[Ask]) -> Path:
    path = WORK / "asks" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as out:
        out.writelines(ask.line() for ask in asks)
    return path


def press(server: Server, asks: Path, *, seconds: float, cycle: bool = True, connections: int = CONNECTIONS) -> Round:
    """One round. A refusal or a broken connection ends the bench: the figure would be one about errors."""
    before = server.cpu_seconds()
    result = _wrk(server.url, asks, seconds=seconds, cycle=cycle, connections=connections)
    used = server.cpu_seconds() - before
    if result["refused"] or result["broken"]:
        raise SystemExit(f"{server.name}: {result['refused']} refusals, {result['broken']} broken connections")
    if result["ran_out"]:
        raise SystemExit(f"{server.name} went through all {asks.name} in {seconds} s: prepare more")
    return Round(
        completed=int(result["completed"]),
        seconds=result["seconds"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        cpu_seconds=used,
        rss_mb=server.rss_mb(),
    )


def _wrk(url: str, asks: Path, *, seconds: float, cycle: bool, connections: int) -> dict[str, float]:
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "--timeout",
        "20s",
        "-s",
        str(BENCH / "load.lua"),
        url,
    ]
    done = subprocess.run(
        [*command, "--", str(asks), "cycle" if cycle else "once"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, OTHER_CORES),
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            result: dict[str, float] = json.loads(line.removeprefix("RESULT "))
            return result
    raise SystemExit(f"wrk failed:\n{done.stdout}{done.stderr}")
