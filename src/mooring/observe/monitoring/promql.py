"""Whether the PromQL that is to be written is any, by promtool."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mooring.observe.monitoring.panels import Row, substituted
from mooring.observe.monitoring.rules import RUNBOOKS, rule_files
from mooring.observe.monitoring.yaml import document


def broken(rows: Sequence[Row]) -> str | None:
    """What promtool has against rules and panels: nothing where all is well. None where there is no promtool."""
    program = shutil.which("promtool")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for name, tree in {**rule_files(runbooks=RUNBOOKS), "panels.yml": _as_rules(rows)}.items():
            (Path(folder) / name).write_text(document(tree))
        checked = [program, "check", "rules", *sorted(file.name for file in Path(folder).glob("*.yml"))]
        done = subprocess.run(checked, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _as_rules(rows: Sequence[Row]) -> dict[str, object]:
    """promtool reads rules, not panels: each query as if it were recorded."""
    queries = [query.expression for row in rows for panel in row.panels for query in panel.queries]
    recorded = [{"record": f"panel:query:{n}", "expr": substituted(text)} for n, text in enumerate(queries)]
    return {"groups": [{"name": "panels", "rules": recorded}]}
