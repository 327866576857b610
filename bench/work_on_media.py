"""One recording or video worked on, in a process of its own: prints the CPU seconds that its job cost, with the child
process that is started for it.

    python work_on_media.py recording|video FILE"""

import asyncio
import json
import resource
import sys
from contextlib import ExitStack
from pathlib import Path

from mooring.processing import recipes
from mooring.processing.sandbox import Done, Sandbox

RECIPES = {
    "recording": recipes.recording(seconds=600, memory_bytes=2**30, max_seconds=3600, has_spare=False),
    "video": recipes.video(seconds=600, memory_bytes=2**31, max_seconds=3600, max_pixels=36_000_000, threads=1),
}


def main(kind: str, file: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    with ExitStack() as closing, file.open("rb") as original:
        done = asyncio.run(Sandbox(RECIPES).develop(kind, original, "", closing))
    if not isinstance(done, Done):
        raise SystemExit(f"the recipe failed: {done}")
    after, child = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = child.ru_utime + child.ru_stime + after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu": cpu}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
