"""Measure Mooring against its budgets: `make bench`, or `bench/run.sh`.

    python main.py [SECTION ...] [--rows N] [--rounds N] [--seconds N] [--write]

Without a section all of them, but for the peers.

All contenders run in turn, round by round, in one run on one machine. Figures are medians of the rounds, and
ratios are medians of the rounds' ratios, so that a noisy minute hurts everyone alike."""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import after_arrival
import against_peers
import budgets
import database
import delivering
import large_files
import media
import observing
import recordings
import starting
import streams
import sweeping
import table
import telling
from asked import Asked
from ground import BENCH, OTHER_CORES, SERVER_CORE, WORK
from table import Line

# What is measured, by the name of its table in README.md.
SECTIONS: Mapping[str, Callable[[Asked], list[Line]]] = {
    "requests": budgets.requests,
    "signing": budgets.signing,
    "starting": starting.measure,
    "ledger": budgets.totals,
    "photos": delivering.measure,
    "pictures": after_arrival.measure,
    "recordings": recordings.measure,
    "media": media.measure,
    "large": large_files.measure,
    "streams": streams.measure,
    "telling": telling.measure,
    "sweeping": sweeping.measure,
    "observing": observing.measure,
    "peers": against_peers.measure,
}


def main() -> int:
    named = _arguments()
    WORK.mkdir(exist_ok=True)
    missed: list[Line] = []
    with database.running() as cluster:
        asked = Asked(cluster, named.rounds, named.seconds, named.rows)
        for section in named.sections or [name for name in SECTIONS if name != "peers"]:
            lines = SECTIONS[section](asked)
            print(f"\n{section}\n\n{table.markdown(lines)}", flush=True)
            missed += table.missed(lines)
            if named.write:
                table.write_between_marks(BENCH / "README.md", section, lines, _machine())
    for line in missed:
        print(f"missed: {line.what}: {line.figure}, budget {line.budget}", file=sys.stderr)
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Mooring against its budgets.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"what to measure: {', '.join(SECTIONS)}")
    parser.add_argument("--rows", type=int, default=10_000_000, help="uploads in the ledger")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each contender")
    parser.add_argument("--seconds", type=int, default=3, help="length of a round")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    named = parser.parse_args()
    if unknown := set(named.sections) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(unknown)}")
    return named


def _machine() -> str:
    cores = os.cpu_count()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {cores} cores ({_processor()}), Python {platform.python_version()}; "
        f"server on {_count(SERVER_CORE)}, load, database and storage on {_count(OTHER_CORES)}."
    )


def _count(cores: frozenset[int]) -> str:
    return "one core" if len(cores) == 1 else f"{len(cores)} others"


def _processor() -> str:
    with open("/proc/cpuinfo") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
