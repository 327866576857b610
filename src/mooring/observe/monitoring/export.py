"""Writes `deploy/monitoring/`, or says in what it differs from what the code says."""

from pathlib import Path

from mooring.errors import SetupProblem
from mooring.observe.monitoring.guide_rows import GUIDE_ROWS
from mooring.observe.monitoring.more_rows import MORE_ROWS
from mooring.observe.monitoring.notifying import alertmanager
from mooring.observe.monitoring.pace import LIFE, Pace
from mooring.observe.monitoring.places import Places
from mooring.observe.monitoring.rules import rule_files
from mooring.observe.monitoring.scraping import prometheus
from mooring.observe.monitoring.yaml import document

WRITTEN_BY = "Written by `mooring monitoring export`. Change the table in src/mooring/observe/monitoring/ instead."
ROWS = [*GUIDE_ROWS, *MORE_ROWS]


def files(places: Places, pace: Pace = LIFE) -> dict[str, str]:
    """Every file by its path below the folder."""
    from mooring.observe.monitoring.grafana import dashboard_json

    return {
        **watching_files(places, pace),
        "grafana/mooring.json": dashboard_json(ROWS, title="Mooring", uid="mooring"),
        "grafana/provisioning/datasources/prometheus.yml": document(_source(places), WRITTEN_BY),
        "grafana/provisioning/dashboards/mooring.yml": document(_provider(), WRITTEN_BY),
    }


def watching_files(places: Places, pace: Pace = LIFE) -> dict[str, str]:
    """What Prometheus and Alertmanager read."""
    rules = {f"rules/{name}": document(tree, WRITTEN_BY) for name, tree in rule_files(pace, places.runbooks).items()}
    return {
        "prometheus.yml": document(prometheus(places, pace), WRITTEN_BY),
        "alertmanager.yml": document(alertmanager(places, pace), WRITTEN_BY),
        **rules,
    }


def write(folder: Path, texts: dict[str, str]) -> None:
    """Rules and dashboards that are no more are removed: Prometheus would go on with them."""
    for stale in _own(folder) - set(texts):
        (folder / stale).unlink()
    for name, text in texts.items():
        keep(folder / name, text)


def keep(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    except OSError as failure:
        raise SetupProblem(f"{file} can't be written: {failure.strerror}.") from failure


def differing(folder: Path, texts: dict[str, str]) -> list[str]:
    """The files that are missing, too many, or not what they should be."""
    there = {name: (folder / name).read_text() for name in _own(folder)}
    return sorted(name for name in texts.keys() | there.keys() if texts.get(name) != there.get(name))


def _own(folder: Path) -> set[str]:
    """The files there that only we write."""
    found = [*folder.glob("*.yml"), *folder.glob("rules/*.yml"), *folder.glob("grafana/*.json")]
    found += folder.glob("grafana/provisioning/*/*.yml")
    return {file.relative_to(folder).as_posix() for file in found}


def _source(places: Places) -> dict[str, object]:
    source = {
        "name": "Prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": places.prometheus,
        "isDefault": True,
    }
    return {"apiVersion": 1, "datasources": [source]}


def _provider() -> dict[str, object]:
    where = {"path": "/var/lib/grafana/dashboards"}
    return {"apiVersion": 1, "providers": [{"name": "Mooring", "type": "file", "options": where}]}
