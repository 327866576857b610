"""What a panel is, whoever draws it: Grafana from the exported JSON, or our own preview."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["timeseries", "stat", "gauge", "table", "bars", "heatmap"]

# Which of a metric's labels each variable of the dashboard chooses by. Guide 002 has the first three. node_exporter's
# `instance` is not ours, so machines are chosen by a variable of their own.
VARIABLES: Mapping[str, tuple[str, str]] = {
    "instance": ("photo_api_ready", "instance"),
    "endpoint": ("http_requests_total", "handler"),
    "service": ("photo_api_external_request_errors_total", "service"),
    "machine": ("node_uname_info", "instance"),
}
_SELECTOR = re.compile(r"\b((?:http|photo_api|node)_\w+)(?:\{([^}]*)\})?")


@dataclass(frozen=True, slots=True)
class Query:
    """As the guide writes it; `legend` names its lines by their labels, in double braces."""

    text: str
    legend: str = ""

    @property
    def expression(self) -> str:
        """With the dashboard's variables in every selector."""
        return _SELECTOR.sub(_filtered, self.text)


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    about: str
    kind: Kind
    queries: Sequence[Query]
    unit: str = "short"  # Grafana's name for it
    warning: float | None = None
    critical: float | None = None
    width: int = 6  # of 24
    is_instant: bool = False
    decimals: int | None = None
    less_is_worse: bool = False
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: Sequence[Panel]


def substituted(expression: str, chosen: Mapping[str, str] | None = None) -> str:
    """As Grafana puts it to Prometheus: where nothing was chosen, all."""
    values = chosen or {}
    return re.sub(r"\$(\w+)", lambda found: values.get(found[1], ".*"), expression)


def _filtered(found: re.Match[str]) -> str:
    name, labels = found[1], found[2] or ""
    filters = [part for part in (labels, *_filters_of(name, labels)) if part]
    return f"{name}{{{','.join(filters)}}}"


def _filters_of(name: str, labels: str) -> Sequence[str]:
    if name.startswith("node_"):
        return ['instance=~"$machine"']
    filters = ['instance=~"$instance"']
    if name.startswith("http_") and "handler" not in labels:
        filters.append('handler=~"$endpoint"')
    if name.startswith("photo_api_external_") and "service" not in labels:
        filters.append('service=~"$service"')
    return filters
