"""How long the embedded PostgreSQL takes until it is ready: in a new folder, and again."""

import shutil
import statistics
from pathlib import Path
from time import perf_counter

from asked import Asked
from ground import WORK
from mooring.db.embedded import Embedded
from table import Line, at_most

TIMES = 5


def measure(_: Asked) -> list[Line]:
    first, again = [], []
    for number in range(TIMES):
        folder = WORK / f"starting-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        first.append(_seconds(folder))
        again.append(_seconds(folder))
        shutil.rmtree(folder)
    return [
        at_most("embedded PostgreSQL ready, the first time", statistics.median(first), 1.0, "s"),
        at_most("… later", statistics.median(again), 0.3, "s"),
    ]


def _seconds(folder: Path) -> float:
    begun = perf_counter()
    with Embedded(folder):
        return perf_counter() - begun
