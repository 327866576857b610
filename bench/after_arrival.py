"""What becomes of a photo after it arrived: worked on, ready soon, and sent whole where there is no CDN."""

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from asked import Asked
from embedded import embedded, somebody
from ground import BENCH, OTHER_CORES, PYTHON, ROOT, SERVER_CORE, WORK, Server, free_port, serving
from table import Line, at_most

ORIGINAL_MB, TIMES_SENT, TIMES_READY = 100, 20, 15
NGINX = """daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off; sendfile on;
    server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


def measure(asked: Asked) -> list[Line]:
    return [*_recipe(asked.rounds), *_streaming(asked.rounds), *_ready()]


# ── the recipe ──


def _recipe(rounds: int) -> list[Line]:
    file = _picture(4000, 3000)
    ours, pillows = [], []
    for _ in range(rounds):
        ours.append(_worked_on("mooring", file))
        pillows.append(_worked_on("pillow", file))
    ratio = statistics.median(one["cpu"] / other["cpu"] for one, other in zip(ours, pillows, strict=True))
    our, their = (statistics.median(one["cpu"] for one in some) for some in (ours, pillows))
    title = "12-megapixel JPEG → `thumb` + `large` + BlurHash, CPU against Pillow without draft"
    details = f"{our * 1e3:.0f} ms against {their * 1e3:.0f} ms; {file.stat().st_size / 1e6:.1f} MB"
    peak = max(one["peak_mb"] for one in ours)
    return [at_most(title, ratio, 0.6, "×", details), at_most("peak memory of one photo job", peak, 200, "MB")]


def _worked_on(how: str, file: Path) -> dict[str, float]:
    command = ["taskset", "-c", ",".join(map(str, SERVER_CORE)), PYTHON, BENCH / "work_on_picture.py", how, file]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "src")})
    used: dict[str, float] = json.loads(said.stdout)
    return used


def _picture(width: int, height: int) -> Path:
    """As hard to compress as a photo: the suite's own."""
    sys.path.append(str(ROOT / "tests"))
    from pictures import detailed, jpeg

    file = WORK / f"{width}x{height}.jpg"
    file.write_bytes(jpeg(detailed(width, height)))
    return file


# ── without a CDN ──


def _streaming(rounds: int) -> list[Line]:
    original = b"\xff\xd8\xff" + bytes(ORIGINAL_MB * 10**6 - 3)
    ours, nginxs = [], []
    with embedded("streaming", MOORING_WORKER="off") as server, _nginx(original) as nginx:
        person = somebody(server)
        photo_id = _uploaded(person, original)
        token = person.headers["Authorization"]
        for _ in range(rounds):
            ours.append(_sent(server, f"/photos/{photo_id}/image", token))
            nginxs.append(_sent(nginx, "/original", ""))
    ratio = statistics.median(one / other for one, other in zip(ours, nginxs, strict=True))
    our, their = (statistics.median(some) * 1e3 for some in (ours, nginxs))
    title = f"streaming a {ORIGINAL_MB} MB original from disk, server CPU against nginx sending the same file"
    return [at_most(title, ratio, 4, "×", f"{our:.1f} ms against {their:.1f} ms")]


def _sent(server: Server, path: str, token: str) -> float:
    """CPU seconds of the server, for each time."""
    command = ["taskset", "-c", ",".join(map(str, OTHER_CORES)), "curl", "-sf", "-o", "/dev/null", server.url + path]
    before = server.cpu_seconds()
    for _ in range(TIMES_SENT):
        subprocess.run([*command, "-H", f"Authorization: {token}"], check=True)
    return (server.cpu_seconds() - before) / TIMES_SENT


@contextmanager
def _nginx(original: bytes) -> Iterator[Server]:
    folder, port = WORK / "nginx", free_port()
    folder.mkdir(exist_ok=True)
    (folder / "original").write_bytes(original)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    command = [program, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]
    with serving("nginx", command, port=port, alive="/") as nginx:
        yield nginx


# ── from the confirm to the end ──


def _ready() -> list[Line]:
    file = _picture(4800, 3600).read_bytes()
    waited = []
    with embedded("ready") as server:
        person = somebody(server)
        for _ in range(TIMES_READY):
            waited.append(_until_completed(person, _put(person, file)))
    title = f"confirm → `COMPLETED` for one {len(file) / 1e6:.1f} MB photo on an idle embedded server, median"
    return [at_most(title, statistics.median(waited), 1, "s", f"slowest of {TIMES_READY} {max(waited):.2f} s")]


def _until_completed(person: httpx.Client, photo_id: int) -> float:
    began = time.perf_counter()
    _confirm(person, photo_id)
    while (state := person.get(f"/uploads/{photo_id}").json()["state"]) != "COMPLETED":
        if state == "FAILED" or time.perf_counter() - began > 60:
            raise SystemExit(f"the photo is {state} after {time.perf_counter() - began:.0f} s")
        time.sleep(0.005)
    return time.perf_counter() - began


# ── what a client does ──


def _uploaded(person: httpx.Client, file: bytes) -> int:
    photo_id = _put(person, file)
    _confirm(person, photo_id)
    return photo_id


def _put(person: httpx.Client, file: bytes) -> int:
    asked = {"album_id": 1, "filename": "a.jpg", "content_type": "image/jpeg", "file_size": len(file)}
    issued: dict[str, Any] = person.post("/photos/presigned-url", json=asked).raise_for_status().json()
    headers = issued["upload_headers"]
    httpx.put(issued["upload_url"], content=file, headers=headers, trust_env=False, timeout=60).raise_for_status()
    return int(issued["photo_id"])


def _confirm(person: httpx.Client, photo_id: int) -> None:
    person.post("/photos/confirm", json={"photo_id": photo_id}).raise_for_status()
