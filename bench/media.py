"""Recordings and videos worked on, against plain `ffmpeg` with the same settings; and how soon a job begins."""

import asyncio
import json
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import Gauge

from asked import Asked
from ground import BENCH, PYTHON, ROOT, SERVER_CORE, WORK
from mooring.db.migrate import migrate
from mooring.db.pool import open_database
from mooring.jobs import turns
from mooring.jobs.worker import Worker
from mooring.processing.media import BIT_RATES
from mooring.processing.video import X264
from table import Line, at_most, shown

SOUND = "aevalsrc='0.4*sin(2*PI*440*t)*sin(PI*t/7)|0.3*sin(2*PI*(300+40*sin(t))*t)':s=44100:d=180"
NOISE = "anoisesrc=c=pink:a=0.2:r=44100:d=180"
PICTURES = "testsrc2=s=1920x1080:r=30:d=10,noise=alls=8:allf=t"
AAC = ["-c:a", "aac", "-aac_coder", "fast"]
PEAKS = (
    "aformat=channel_layouts=mono,asetnsamples=n=2048,astats=metadata=1:reset=1:measure_perchannel=none"
    ":measure_overall=Min_level+Max_level,ametadata=print:file=peaks.txt,anullsink"
)
JOBS = 60


def measure(asked: Asked) -> list[Line]:
    return [*_recording(asked.rounds), *_video(asked.rounds), *_queue(asked)]


# ── recipes ──


def _recording(rounds: int) -> list[Line]:
    file = _made("three.wav", f"-f lavfi -i {SOUND} -f lavfi -i {NOISE} -filter_complex amix -c:a pcm_s16le")
    m4a = [*AAC, "-b:a", str(BIT_RATES["stereo"]), "-movflags", "+faststart"]
    both = ["-filter_complex", f"[0:a]asplit[a][b];[b]{PEAKS}", "-map", "[a]", *m4a, "out.m4a"]
    ours, theirs, alone = [], [], []
    for _ in range(rounds):
        ours.append(_worked_on("recording", file))
        theirs.append(_ffmpeg(["-i", file, *both]))
        alone.append(_ffmpeg(["-i", file, *m4a, "out.m4a"]))
    return [
        _against("3 min WAV → m4a + peaks, CPU against plain `ffmpeg` doing the same", ours, theirs),
        shown("… against `ffmpeg` making the m4a alone", f"{_ratio(ours, alone):.2f} ×"),
    ]


def _video(rounds: int) -> list[Line]:
    sound = "-f lavfi -i sine=f=440:r=48000:d=10 -c:v libx264 -preset fast -b:v 10M -pix_fmt yuv420p -c:a aac"
    file = _made("ten.mp4", f"-f lavfi -i {PICTURES} {sound}")
    x264 = [word for name, value in X264.items() for word in (f"-{'profile:v' if name == 'profile' else name}", value)]
    smaller = ["-filter_complex", "[0:v]scale=1280:720:flags=bicubic,format=yuv420p,split[a][b]"]
    film = [
        "-map",
        "[a]",
        "-map",
        "0:a",
        "-c:v",
        "libx264",
        "-threads",
        "1",
        *x264,
        *AAC,
        "-b:a",
        str(BIT_RATES["mono"]),
    ]
    poster = ["-map", "[b]", "-ss", "1", "-frames:v", "1", "-q:v", "3", "out.jpg"]
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_worked_on("video", file))
        made = [*smaller, *film, "-movflags", "+faststart", "out.mp4", *poster]
        theirs.append(_ffmpeg(["-threads", "1", "-i", file, *made]))
    title = "10 s 1080p → 720p + poster, CPU against plain `ffmpeg` with the same settings"
    return [_against(title, ours, theirs)]


def _against(title: str, ours: Sequence[float], theirs: Sequence[float]) -> Line:
    details = f"{statistics.median(ours):.2f} s against {statistics.median(theirs):.2f} s"
    return at_most(title, _ratio(ours, theirs), 1.1, "×", details)


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def _worked_on(kind: str, file: Path) -> float:
    """CPU seconds of the whole job: the child process that is started for it, and what starts it."""
    command = [PYTHON, BENCH / "work_on_media.py", kind, file]
    said = subprocess.run(
        _pinned(command), capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "src")}
    )
    return float(json.loads(said.stdout)["cpu"])


def _ffmpeg(how: Sequence[str | Path]) -> float:
    before = _children()
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *how]
    subprocess.run(_pinned(command), cwd=WORK, check=True)
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _pinned(command: Sequence[str | Path]) -> list[str | Path]:
    return ["taskset", "-c", ",".join(map(str, SERVER_CORE)), *command]


def _made(name: str, how: str) -> Path:
    file = WORK / name
    if not file.exists():
        _ffmpeg([*how.replace("'", "").split(" "), file])
    return file


# ── the queue ──


def _queue(asked: Asked) -> list[Line]:
    waited = asyncio.run(_until_begun(asked.cluster.create("queue")))
    details = f"slowest of {JOBS} {max(waited):.0f} ms"
    return [at_most("enqueue to start on an idle worker, median", statistics.median(waited), 50, "ms", details)]


async def _until_begun(url: str) -> list[float]:
    await migrate(url)
    db = await open_database(url, most=4)
    begun: asyncio.Queue[float] = asyncio.Queue()

    async def note(_: Mapping[str, Any], __: int) -> None:
        begun.put_nowait(time.perf_counter())

    give = partial(turns.give, db, ["process_photo"])
    worker = Worker(url, {"process_photo": note}, 2, Gauge("jobs", "Jobs", registry=None), before_taking=give)
    running = asyncio.create_task(worker.run())
    waited = []
    for number in range(JOBS + 1):
        asked_at = time.perf_counter()
        await db.execute(
            """INSERT INTO pgqueuer (priority, entrypoint, dedupe_key, payload, status)
               VALUES ($1, 'process_photo', $2, '{"user": 1}', 'queued')""",
            turns.FREE,
            str(number),
        )
        waited.append((await begun.get() - asked_at) * 1e3)
        await asyncio.sleep(0.05)  # idle again
    await worker.stop(1)
    await running
    await db.close()
    return waited[1:]  # the first finds a worker that is still connecting
