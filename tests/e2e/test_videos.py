"""Videos through real processes: resumed after everything was killed, and worked on to the poster."""

import io
import json
import signal
from collections.abc import Iterable
from typing import Any

import av
import httpx
import psutil  # type: ignore[import-untyped,unused-ignore]

from films import film
from servers.serving import Mooring, Person, until

MIB = 2**20
PART = 5 * MIB
LARGE = b"".join(bytes([number]) * PART for number in range(1, 6)) + b"the end"  # six parts
IN_PARTS = {"MOORING_MULTIPART_ABOVE_BYTES": str(PART), "MOORING_MULTIPART_PART_BYTES": str(PART)}


def issue(person: Person, size: int, **more: Any) -> dict[str, Any]:
    asked = {"filename": "clip.mp4", "contentType": "video/mp4", "fileSize": size, **more}
    answer = person.http.post("/api/videos/presigned-url", json=asked)
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


def send(person: Person, urls: Iterable[dict[str, Any]], body: bytes = LARGE) -> None:
    for part in urls:
        number = part["number"]
        where = httpx.URL(part["url"]).copy_with(port=person.http.base_url.port)  # another process, another port
        answer = httpx.put(where, content=body[(number - 1) * PART : number * PART], trust_env=False, timeout=60)
        assert answer.status_code == 200, answer.text


def complete(person: Person, video_id: int) -> dict[str, Any]:
    answer = person.http.post(f"/api/videos/{video_id}/complete")
    assert answer.status_code == 200, answer.text
    video: dict[str, Any] = answer.json()
    return video


def test_who_lost_everything_but_the_id_goes_on_after_a_kill(mooring: Mooring) -> None:
    mooring.env |= IN_PARTS
    first = mooring.serve()
    plan = issue(first.sign_in(), len(LARGE))
    send(first.people[-1], plan["parts"][:2])
    first.end(signal.SIGKILL)

    second = mooring.serve()
    person = second.sign_in()
    [listed] = person.http.get("/api/videos").json()["videos"]
    video_id = listed["videoId"]
    there = person.http.get(f"/api/videos/{video_id}/parts").json()
    assert [part["number"] for part in there["parts"]] == [1, 2]
    missing = person.http.post(f"/api/videos/{video_id}/parts").json()["parts"]
    assert [part["number"] for part in missing] == [3, 4, 5, 6]
    send(person, missing[:3])
    second.end(signal.SIGKILL)

    third = mooring.serve()
    person = third.sign_in()
    send(person, person.http.post(f"/api/videos/{video_id}/parts").json()["parts"])
    assert complete(person, video_id)["state"] == "UPLOADED"
    third.end(signal.SIGKILL)

    fourth = mooring.serve()
    person = fourth.sign_in()
    assert complete(person, video_id)["state"] == "UPLOADED"
    assert person.http.get(f"/api/videos/{video_id}/stream").content == LARGE
    found = json.loads(mooring.run("reconcile", "--dry-run", "--grace", "0s", "--json").stdout)
    assert (found["orphans"], found["missing"], found["multiparts"]) == ([], [], [])
    assert fourth.end() == 0


def test_a_film_in_parts_becomes_a_poster_and_a_smaller_film(mooring: Mooring) -> None:
    mooring.env |= IN_PARTS | {"MOORING_MULTIPART_ABOVE_BYTES": "0"}
    person = mooring.serve(MOORING_WORKER="on").sign_in()
    body = film(seconds=3, size=(1920, 1080))
    plan = issue(person, len(body), projectId=7)
    send(person, plan["parts"], body)
    video_id = plan["videoId"]
    complete(person, video_id)
    seen: set[int | None] = set()

    def completed() -> dict[str, Any] | None:
        video: dict[str, Any] = person.http.get(f"/api/videos/{video_id}").json()
        assert video["state"] in ("UPLOADED", "PROCESSING", "COMPLETED"), video
        seen.add(video["progress"])
        return video if video["state"] == "COMPLETED" else None

    video = until(completed, 60)
    assert (video["width"], video["height"], video["videoCodec"], video["progress"]) == (1920, 1080, "h264", 100)
    assert abs(video["durationSeconds"] - 3) < 0.2
    assert {one["name"]: (one["contentType"], one["height"]) for one in video["renditions"]} == {
        "720p": ("video/mp4", 720),
        "poster": ("image/jpeg", 720),
    }
    small = person.http.get(f"/api/videos/{video_id}/stream", params={"rendition": "720p"})
    with av.open(io.BytesIO(small.content)) as smaller:
        assert smaller.streams.video[0].height == 720
    poster = httpx.get(httpx.URL(video["posterUrl"]), trust_env=False)
    assert (poster.status_code, poster.content[:2]) == (200, b"\xff\xd8")
    piece = person.http.get(f"/api/videos/{video_id}/stream", headers={"Range": "bytes=4-7"})
    assert (piece.status_code, piece.content) == (206, b"ftyp")


def test_the_server_takes_parts_in_without_holding_them(mooring: Mooring) -> None:
    """The bench does the same with two gigabytes."""
    mooring.env |= IN_PARTS
    serving = mooring.serve()
    person = serving.sign_in()
    server = psutil.Process(serving.process.pid)
    body = bytes(PART)
    plan = issue(person, 40 * PART)
    send_zeros(plan["parts"][:5], body)
    before = server.memory_info().rss
    send_zeros(plan["parts"][5:], body)
    complete(person, plan["videoId"])
    grown = server.memory_info().rss - before
    assert grown < 16 * MIB, f"grown by {grown / MIB:.1f} MiB over {35 * PART / MIB:.0f} MiB"


def send_zeros(urls: Iterable[dict[str, Any]], body: bytes) -> None:
    with httpx.Client(trust_env=False, timeout=60) as http:
        for part in urls:
            assert http.put(part["url"], content=body).status_code == 200
