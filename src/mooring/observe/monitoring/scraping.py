"""Prometheus' own configuration: whom it asks, how often, which rules it follows, and whom it tells."""

from typing import Any

from mooring.observe.monitoring.pace import LIFE, SECOND, Pace
from mooring.observe.monitoring.places import Places
from mooring.observe.monitoring.rules import EVALUATED_EVERY

ASKED_EVERY = 15 * SECOND


def prometheus(places: Places, pace: Pace = LIFE) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": pace.span(ASKED_EVERY), "evaluation_interval": pace.span(EVALUATED_EVERY)},
        "rule_files": ["rules/*.yml"],
        "alerting": {"alertmanagers": [_found(places.alertmanagers)]},
        "scrape_configs": [
            {
                "#": "The rules know these two by their job's name.",
                "job_name": "mooring",
                **_found([*places.targets, *places.workers, *places.events]),
            },
            {"job_name": "node", **_found(places.machines)},
        ],
    }


def _found(targets: list[str]) -> dict[str, Any]:
    return {"static_configs": [{"targets": targets}]}
