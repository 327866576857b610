"""Workers as real processes: inside `mooring serve`, beside it, killed, and asked to stop."""

import signal
import time
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped,unused-ignore]

from films import film
from pictures import detailed, jpeg, secretive_exif
from servers.serving import Mooring, Person, Serving, put, until

PICTURE = jpeg(detailed(1600, 1200), exif=secretive_exif(6))
PHOTO = jpeg(detailed(4000, 3000))


def uploaded(person: Person, body: bytes = PICTURE) -> dict[str, Any]:
    issued = person.issue(body)
    assert put(issued, body).status_code == 200
    assert person.confirm(issued).status_code == 200
    return issued


def until_is(person: Person, issued: dict[str, Any], state: str, seconds: float = 20) -> None:
    until(lambda: person.state(issued) == state, seconds)


def child_of(worker: Serving) -> psutil.Process | None:
    for child in psutil.Process(worker.process.pid).children(recursive=True):
        try:
            if "mooring.processing.child" in child.cmdline():
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def held_in_the_middle(worker: Serving) -> psutil.Process:
    child = until(lambda: child_of(worker))
    until(lambda: child.rlimit(psutil.RLIMIT_AS)[0] > 0)  # it has bounded itself: now it is at the picture
    child.suspend()
    assert child.is_running()
    return child


def story(person: Person, issued: dict[str, Any]) -> list[str]:
    events = person.http.get(f"/uploads/{issued['photo_id']}/history").json()["events"]
    return [event["what"] for event in events]


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_the_server_works_on_what_arrives_and_shows_what_it_found(mooring: Mooring) -> None:
    serving = mooring.serve(MOORING_WORKER="on")
    person = serving.sign_in()
    issued = uploaded(person)
    until_is(person, issued, "COMPLETED")
    photo = person.http.get(f"/photos/{issued['photo_id']}").json()
    assert (photo["width"], photo["height"], photo["camera"]) == (1200, 1600, "SecretCam 9")
    assert photo["taken_at"] == "2024-05-05T22:08:09Z"
    assert len(photo["blurhash"]) > 20
    bad = uploaded(person, b"\xff\xd8\xff and no more")
    until_is(person, bad, "FAILED")
    said = person.http.get(f"/uploads/{bad['photo_id']}").json()["error_message"]
    assert said == "The file can't be read as a JPEG: it is damaged or cut off."
    metrics = serving.get("/metrics").text
    assert 'photo_api_processing_duration_seconds_count{kind="photo",result="success"} 1.0' in metrics
    assert 'photo_api_processing_duration_seconds_count{kind="photo",result="failure"} 1.0' in metrics
    assert serving.end() == 0


def test_killed_in_the_middle_its_work_is_taken_up_by_another_within_a_minute(mooring: Mooring) -> None:
    person = mooring.serve().sign_in()
    worker, issued = mooring.work(), uploaded(person, PHOTO)
    child = held_in_the_middle(worker)
    assert person.state(issued) == "PROCESSING"
    worker.end(signal.SIGKILL)
    until(lambda: is_gone(child))
    died = time.monotonic()
    mooring.work()
    until_is(person, issued, "COMPLETED", 60)
    assert time.monotonic() - died < 60
    assert story(person, issued) == ["issued", "arrived", "begun", "completed"]


def test_asked_to_stop_it_finishes_what_it_can_and_hands_back_the_rest(mooring: Mooring) -> None:
    person = mooring.serve().sign_in()
    worker = mooring.work(MOORING_STOP_SECONDS="1")
    slow = uploaded(person, PHOTO)
    child = held_in_the_middle(worker)
    assert worker.end() == 0
    assert is_gone(child)
    assert person.state(slow) == "PROCESSING"
    patient = mooring.work()
    until_is(person, slow, "COMPLETED", 10)  # at once: nobody had to be given up for dead
    quick = uploaded(person, PHOTO)
    until(lambda: child_of(patient))
    assert patient.end() == 0
    assert person.state(quick) == "COMPLETED"


def test_killed_in_the_middle_of_a_video_there_is_one_result_in_the_end(mooring: Mooring) -> None:
    person = mooring.serve().sign_in()
    worker = mooring.work()
    body = film(seconds=5, size=(1280, 720))
    asked = {"filename": "a.mp4", "contentType": "video/mp4", "fileSize": len(body)}
    video = person.http.post("/api/videos/presigned-url", json=asked).json()
    httpx.put(video["uploadUrl"], content=body, headers=video["uploadHeaders"], trust_env=False, timeout=30)
    assert person.http.post(f"/api/videos/{video['videoId']}/complete", json={}).status_code == 200
    issued = {"photo_id": video["videoId"]}
    child = held_in_the_middle(worker)
    worker.end(signal.SIGKILL)
    until(lambda: is_gone(child))
    mooring.work()
    until_is(person, issued, "COMPLETED", 60)
    assert story(person, issued) == ["issued", "arrived", "begun", "completed"]
    shown = person.http.get(f"/api/videos/{video['videoId']}").json()
    assert (shown["progress"], len(shown["renditions"])) == (100, 2)
