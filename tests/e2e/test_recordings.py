"""Recordings with real processes: one that serves, and another that works."""

import httpx

from servers.serving import Mooring, Person, until
from sounds import as_browsers_record, sound

RECORDED = as_browsers_record(sound("audio/webm", 3))
PATIENT = {"MOORING_IMMEDIATE_PROCESSING_MS": "30000"}


def uploaded(person: Person, body: bytes) -> int:
    """As guide 003's client does it, its label included."""
    asked = {"originalFilename": "recording.mp3", "fileSize": len(body), "contentType": "audio/mpeg"}
    issued = person.http.post("/records/async/presigned-url", data=asked).json()
    headers = {"Content-Type": "audio/mpeg"}
    put = httpx.put(issued["presignedUrl"], content=body, headers=headers, trust_env=False, timeout=30)
    assert put.status_code == 200, put.text
    return int(issued["uploadId"])


def create(person: Person, upload_id: int, **headers: str) -> httpx.Response:
    body = {"title": "Mine", "uploadId": upload_id, "durationSeconds": 99}
    return person.http.post("/records/async", json=body, headers=headers, timeout=60)


def test_the_answer_hears_of_a_worker_in_another_process(mooring: Mooring) -> None:
    serving = mooring.serve(**PATIENT)
    person = serving.sign_in()
    mooring.work()
    record = create(person, uploaded(person, RECORDED)).json()
    assert (record["processingStatus"], record["durationSeconds"]) == ("COMPLETED", 3)
    assert record["updatedAt"] > record["createdAt"]
    again = uploaded(person, RECORDED)
    first, second = (create(person, again, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json()["processingStatus"] == "COMPLETED"
    assert first.content == second.content
    assert 'photo_api_immediate_processing_total{result="completed"} 2.0' in serving.get("/metrics").text
    listened = httpx.get(record["publicUrl"], trust_env=False, headers={"Range": "bytes=4-7"})
    assert (listened.status_code, listened.content) == (206, b"ftyp")


def test_a_text_that_is_called_a_recording_fails_in_the_answer_and_the_worker_works_on(mooring: Mooring) -> None:
    serving = mooring.serve(MOORING_WORKER="on", **PATIENT)
    person = serving.sign_in()
    text = uploaded(person, b"not really a recording")
    record = create(person, text).json()
    assert (record["processingStatus"], record["durationSeconds"]) == ("FAILED", 99)
    assert person.http.get(f"/uploads/{text}").json()["error_message"]
    assert create(person, uploaded(person, RECORDED)).json()["processingStatus"] == "COMPLETED"


def test_without_a_worker_the_answer_does_not_wait_for_ever(mooring: Mooring) -> None:
    serving = mooring.serve(MOORING_IMMEDIATE_PROCESSING_MS="50")
    person = serving.sign_in()
    record = create(person, uploaded(person, RECORDED)).json()
    assert record["processingStatus"] == "PROCESSING"
    mooring.work()
    until(lambda: person.http.get(f"/records/async/{record['id']}").json()["processingStatus"] == "COMPLETED", 30)
