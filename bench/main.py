"""Measure Mooring against its budgets: `make bench`, or `bench/run.sh`.

    python main.py [--rows N] [--rounds N] [--seconds N] [--write]
    python main.py peers [--rounds N] [--seconds N] [--write]

All contenders run in turn, round by round, in one run on one machine. Figures are medians of the rounds, and
ratios are medians of the rounds' ratios, so that a noisy minute hurts everyone alike."""

import argparse
import os
import platform
import sys
from datetime import UTC, datetime

import against_peers
import budgets
import database
import table
from ground import BENCH, OTHER_CORES, SERVER_CORE, WORK


def main() -> int:
    asked = _arguments()
    WORK.mkdir(exist_ok=True)
    with database.running() as cluster:
        if asked.what == "peers":
            lines = against_peers.measure(cluster, rounds=asked.rounds, seconds=asked.seconds)
        else:
            lines = budgets.measure(cluster, rounds=asked.rounds, seconds=asked.seconds, rows=asked.rows)
    print(table.markdown(lines))
    if asked.write:
        table.write_between_marks(BENCH / "README.md", asked.what, lines, _machine())
    missed = table.missed(lines)
    for line in missed:
        print(f"missed: {line.what}: {line.figure}, budget {line.budget}", file=sys.stderr)
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Mooring against its budgets.")
    parser.add_argument("what", nargs="?", choices=["budgets", "peers"], default="budgets")
    parser.add_argument("--rows", type=int, default=10_000_000, help="uploads in the ledger")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each contender")
    parser.add_argument("--seconds", type=int, default=3, help="length of a round")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    return parser.parse_args()


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
