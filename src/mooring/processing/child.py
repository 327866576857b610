"""The child: bounds itself, has one recipe work on one file, says how it went in one line of JSON, and ends.

It is handed open files and nothing else: no database, no storage, no secret, no environment."""

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def main() -> None:
    order: dict[str, Any] = json.loads(sys.argv[1])
    _bound(order["memory"], order["seconds"], order["parent"])
    from mooring.processing.photo import Refused, develop  # bounded from here on

    try:
        answer = develop(
            _at(order["original"]),
            order["content_type"],
            {name: _at(number) for name, number in order["targets"].items()},
            pixel_limit=order["pixel_limit"],
        )
    except Refused as refusal:
        answer = {"refused": str(refusal), "why": str(refusal.__cause__ or "")}
    except MemoryError:
        answer = {"broke": "memory"}
    sys.stdout.write(json.dumps(answer))


def _bound(memory: int, seconds: int, parent: int) -> None:
    """The parent's end is ours too. It may have come before we asked for that."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _at(number: int) -> Path:
    return Path(f"/dev/fd/{number}")


if __name__ == "__main__":
    main()
