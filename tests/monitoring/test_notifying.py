"""Whom a real Alertmanager would tell, by the shipped configuration: nobody twice, and nobody of the wrong thing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mooring.observe.monitoring.export import watching_files, write
from mooring.observe.monitoring.places import Places
from servers.nginx import free_port
from servers.prometheus import alertmanager_in
from servers.serving import until

Alert = dict[str, str]


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    write(tmp_path, watching_files(Places(webhook_url="http://127.0.0.1:1/")))
    with alertmanager_in(tmp_path, free_port()) as url:
        yield url


def told(url: str, *alerts: Alert) -> dict[str, dict[str, Any]]:
    """By the alert's name: to whom it goes, and by what it is silenced."""
    posted = httpx.post(f"{url}/api/v2/alerts", json=[{"labels": alert} for alert in alerts], trust_env=False)
    assert posted.status_code == 200, posted.text

    def look() -> dict[str, dict[str, Any]] | None:
        found = httpx.get(f"{url}/api/v2/alerts", trust_env=False).json()
        by_name = {one["labels"]["alertname"]: one for one in found}
        processed = all(one["status"]["state"] != "unprocessed" for one in found)
        return by_name if len(by_name) == len(alerts) and processed else None

    return until(look)


def alert(name: str, severity: str, **labels: str) -> Alert:
    return {"alertname": name, "severity": severity, **labels}


def test_what_is_critical_rings_and_silences_its_own_warning_only(alertmanager: str) -> None:
    found = told(
        alertmanager,
        alert("ExternalErrorsCritical", "critical", subject="ExternalErrors", service="cdn"),
        alert("ExternalErrorsWarning", "warning", subject="ExternalErrors", service="cdn"),
        alert("OfAnotherService", "warning", subject="ExternalErrors", service="object_storage"),
        alert("OfAnotherSubject", "warning", subject="LogQueue", service="cdn"),
        alert("HighErrorRate", "critical", subject="ErrorRate"),
        alert("ErrorRateWarning", "warning", subject="ErrorRate"),
    )
    silenced = {name for name, one in found.items() if one["status"]["inhibitedBy"]}
    assert silenced == {"ExternalErrorsWarning", "ErrorRateWarning"}
    receivers = {name: {one["name"] for one in found[name]["receivers"]} for name in found}
    assert receivers["HighErrorRate"] == {"on-call"}
    assert receivers["OfAnotherSubject"] == {"team", "digest"}
