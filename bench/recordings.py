"""How soon a new record is COMPLETED: a person records, sends the bytes, and asks for the record."""

import sys
import time

import httpx

from asked import Asked
from embedded import embedded, somebody
from ground import ALL_CORES, ROOT
from table import Line, at_most

SHORT, LONGEST = 10, 30  # seconds
EACH = 40


def measure(_: Asked) -> list[Line]:
    with embedded("recordings", cores=ALL_CORES) as server:
        person = somebody(server)
        _created(person, _recorded(1))  # the first finds nobody standing by
        short = [_created(person, _recorded(SHORT)) for _ in range(EACH)]
        all_ = short + [
            _created(person, _recorded(seconds)) for seconds in (1, 3, 20, LONGEST) for _ in range(EACH // 4)
        ]
    completed = sum(state == "COMPLETED" for state, _ in all_) / len(all_)
    took = sorted(seconds for _, seconds in short)
    p95 = took[int(len(took) * 0.95)] * 1e3
    slowest = sorted(seconds for _, seconds in all_)[int(len(all_) * 0.95)] * 1e3
    return [
        at_most(
            f"`POST /records/async`, {SHORT} s of sound, worked on before the answer, P95",
            p95,
            500,
            "ms",
            f"median {took[len(took) // 2] * 1e3:.0f} ms; of all lengths P95 {slowest:.0f} ms",
            gated=False,
        ),
        Line(
            f"answered `COMPLETED`, of {len(all_)} recordings of 1 to {LONGEST} s",
            f"**{completed:.0%}**",
            "≥ 90 %",
            completed >= 0.9,
        ),
    ]


def _created(person: httpx.Client, sound: bytes) -> tuple[str, float]:
    """What the answer said, and how long it took."""
    asked = {"originalFilename": "recording.mp3", "fileSize": len(sound), "contentType": "audio/mpeg"}
    issued = person.post("/records/async/presigned-url", data=asked).raise_for_status().json()
    headers = {"Content-Type": "audio/mpeg"}
    httpx.put(issued["presignedUrl"], content=sound, headers=headers, trust_env=False).raise_for_status()
    time.sleep(0.2)  # an idle machine: nothing is left of the one before
    began = time.perf_counter()
    record = person.post("/records/async", json={"title": "Mine", "uploadId": issued["uploadId"]})
    took = time.perf_counter() - began
    return str(record.raise_for_status().json()["processingStatus"]), took


def _recorded(seconds: int) -> bytes:
    """As a browser records it: the suite's own."""
    sys.path.append(str(ROOT / "tests"))
    from sounds import as_browsers_record, sound

    return _KNOWN.setdefault(seconds, as_browsers_record(sound("audio/webm", seconds)))


_KNOWN: dict[int, bytes] = {}
