"""Asks a Prometheus, and answers in plain numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import httpx

from mooring.errors import SetupProblem


@dataclass(frozen=True, slots=True)
class Line:
    """A series: its labels, and its values at moments (in seconds since 1970)."""

    labels: Mapping[str, str]
    at: Sequence[float]
    values: Sequence[float]

    @property
    def last(self) -> float:
        return self.values[-1]

    def named(self, legend: str) -> str:
        """By the legend's labels in double braces, as Grafana does."""
        text = legend
        for name, value in self.labels.items():
            text = text.replace(f"{{{{{name}}}}}", value)
        return text or ", ".join(value for name, value in self.labels.items() if name != "__name__")


class Prometheus:
    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.Client(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, where: TracebackType | None
    ) -> None:
        self._http.close()

    def now(self, expression: str, at: datetime | None = None) -> list[Line]:
        """One value a series. What is no number, as of 0/0, is left out."""
        asked = {"query": expression} | ({"time": str(at.timestamp())} if at else {})
        found = [(one["metric"], [one["value"]]) for one in self._ask("query", asked)]
        return [line for line in (_line(*each) for each in found) if line.values]

    def over(self, expression: str, *, until: datetime, last: timedelta, steps: int = 240) -> list[Line]:
        step = max(1.0, last.total_seconds() / steps)
        asked = {"query": expression, "start": str((until - last).timestamp()), "end": str(until.timestamp())}
        found = self._ask("query_range", {**asked, "step": f"{step:.3f}"})
        lines = [_line(one["metric"], one["values"]) for one in found]
        return [line for line in lines if line.values]

    def _ask(self, what: str, asked: Mapping[str, str]) -> list[dict[str, Any]]:
        try:
            answer = self._http.post(f"{self._url}/api/v1/{what}", data=asked)
            said = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as failure:
            raise SetupProblem(f"No Prometheus answers at {self._url}: {failure}") from failure
        if not isinstance(said, dict) or said.get("status") != "success":
            raise SetupProblem(f"Prometheus at {self._url} refuses {asked['query']!r}: {_why(said)}")
        result = said["data"]["result"]
        return [{"metric": {}, "value": result}] if said["data"]["resultType"] == "scalar" else list(result)


def _line(labels: Mapping[str, str], points: Sequence[tuple[float, str]]) -> Line:
    numbers = [(float(at), float(value)) for at, value in points]
    kept = [(at, value) for at, value in numbers if math.isfinite(value)]
    return Line(labels, [at for at, _ in kept], [value for _, value in kept])


def _why(said: object) -> object:
    return said.get("error", said) if isinstance(said, dict) else said
