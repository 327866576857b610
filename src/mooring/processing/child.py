"""The child: gets ready, waits for its order, bounds itself, has one recipe work on one file, says how it went, and
ends. What it says is lines of JSON: how far it is, and last the answer.

It is handed open files and nothing else: no database, no storage, no secret, no environment."""

import ctypes
import json
import os
import resource
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from mooring.processing.task import Refused, Task

MOST_FILES = 8
LONGEST_ORDER = 4096
_PR_SET_PDEATHSIG = 1


def main() -> None:
    recipe, parent = sys.argv[1:]
    _die_with(int(parent))
    develop = import_module(f"mooring.processing.{recipe}").develop  # before its order: a spare has that behind it
    order, files = _ordered()
    _bound(order["memory"], order["seconds"])
    original, *targets = map(_at, files)
    try:
        answer = develop(
            Task(
                original=original,
                content_type=order["content_type"],
                targets=dict(zip(order["targets"], targets, strict=True)),
                limits=order["limits"],
                threads=order["threads"],
                tell=lambda percent: _say({"progress": percent}),
            )
        )
    except Refused as refusal:
        answer = {"refused": str(refusal), "why": str(refusal.__cause__ or "")}
    except MemoryError:
        answer = {"broke": "memory"}
    except OSError as trouble:  # a full disk, most likely: no word on the file
        answer = {"broke": "machine", "why": str(trouble)}
    _say(answer)


def _die_with(parent: int) -> None:
    """The parent's end is ours too. It may have come before we asked for that."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _ordered() -> tuple[dict[str, Any], list[int]]:
    """What to do, and the files to do it on: the original, and one for each target."""
    with socket.socket(fileno=0) as orders:
        text, files, _, _ = socket.recv_fds(orders, LONGEST_ORDER, MOST_FILES)
    if not text:
        sys.exit(0)  # nothing to do any more
    return json.loads(text), files


def _bound(memory: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _at(number: int) -> Path:
    return Path(f"/dev/fd/{number}")


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
