"""promtool, and the files that it tests rules by."""

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitoring.made import STEP, Series
from mooring.observe.monitoring.rules import rule_files
from mooring.observe.monitoring.yaml import document
from servers.postgres import missing


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed: apt-get install prometheus prometheus-alertmanager")
    return found


@dataclass
class Situation:
    """Series, and of how many alerts of a name somebody is told at a moment (in minutes)."""

    name: str
    series: Sequence[tuple[str, str]]
    told: list[tuple[float, str, int]] = field(default_factory=list)
    step: int = STEP

    def silent(self, alert: str, at: float) -> "Situation":
        self.told.append((at, f'alertname="{alert}"', 0))
        return self

    def fires(self, alert: str, at: float, labels: str = "") -> "Situation":
        self.told.append((at, f'alertname="{alert}"{labels and ","}{labels}', 1))
        return self

    @property
    def written(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "interval": f"{self.step}s",
            "input_series": [{"series": name, "values": values} for name, values in self.series],
            "promql_expr_test": [
                {
                    "eval_time": f"{round(at * 60)}s",
                    "expr": f'count(ALERTS{{alertstate="firing",{labels}}}) or vector(0)',
                    "exp_samples": [{"labels": "{}", "value": number}],
                }
                for at, labels, number in self.told
            ],
        }


def lasting(series: Iterable[Series], minutes: float, *, gone: bool = False, step: int = STEP) -> list[tuple[str, str]]:
    return [(one.name, one.values(minutes, gone=gone, step=step)) for one in series]


def proven(folder: Path, parts: Sequence[tuple[Any, Sequence[Situation]]], *, every: int = 30) -> None:
    """promtool agrees about each part's rules in its situations, or its words are the failure."""
    for number, (rules, situations) in enumerate(parts):
        (folder / f"rules-{number}.yml").write_text(document(rules))
        tests = {
            "rule_files": [f"rules-{number}.yml"],
            "evaluation_interval": f"{every}s",
            "tests": [situation.written for situation in situations],
        }
        (folder / f"tests-{number}.yml").write_text(document(tests))
    words = said_by_promtool(folder)
    assert not words, words


def said_by_promtool(folder: Path) -> str:
    """What it has against the rules there; nothing where all is well."""
    tests = sorted(file.name for file in folder.glob("tests-*.yml"))
    command = [program("promtool"), "test", "rules", *tests]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def only(alerts: Iterable[str]) -> dict[str, Any]:
    """Of all rules those of these alerts, and the recorded ratios where they need them."""
    wanted = set(alerts)
    groups = []
    for tree in rule_files().values():
        for group in tree["groups"]:
            rules = [rule for rule in group["rules"] if rule.get("alert", "") in wanted]
            if group["name"] == "mooring_ratios" and any(alert.startswith("ErrorBudget") for alert in wanted):
                rules = group["rules"]
            if rules:
                groups.append({**group, "rules": rules})
    return {"groups": groups}
