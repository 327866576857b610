"""A process of its own that uses the embedded PostgreSQL in a folder.

Prints the address, or what is wrong, and stays until its input ends."""

import argparse
import os
import resource
import signal
import sys
from pathlib import Path

from mooring.db import programs
from mooring.db.embedded import Embedded
from mooring.errors import SetupProblem


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--as", type=int, dest="uid")
    parser.add_argument("--programs", type=Path)
    parser.add_argument("--largest-file", type=int)
    given = parser.parse_args()
    if given.programs:
        programs.wheel = lambda: (given.programs, "test")
    if given.uid is not None:  # after the imports: that user may not be able to read them
        os.setgroups([])
        os.setgid(given.uid)
        os.setuid(given.uid)
    if given.largest_file:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (given.largest_file, given.largest_file))
    try:
        with Embedded(given.folder) as server:
            print(server.url, flush=True)
            sys.stdin.read()
    except SetupProblem as problem:
        print(f"SetupProblem: {problem}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
