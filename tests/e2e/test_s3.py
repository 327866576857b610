"""`mooring serve` in front of a real S3 storage: the bytes go past it."""

import json
import os
from pathlib import Path

import httpx
import pytest

from servers.s3 import S3Server
from servers.serving import BODY, Mooring, Serving, put
from servers.swift import swift_in


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", ["swift", *(["ceph"] if metafunc.config.getoption("--ceph") else [])])


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> S3Server:
    server: S3Server = request.getfixturevalue(kind)
    return server


def at(server: S3Server) -> dict[str, str]:
    bucket = server.new_bucket()
    return {
        "MOORING_STORAGE": f"s3://{bucket.name}?endpoint={bucket.endpoint}",
        "AWS_ACCESS_KEY_ID": bucket.access_key,
        "AWS_SECRET_ACCESS_KEY": bucket.secret_key,
    }


def serving_from(server: S3Server, mooring: Mooring) -> Serving:
    mooring.env |= at(server)
    assert mooring.run("storage", "setup").stdout.startswith("ok        bucket: ")
    return mooring.serve()


def test_from_an_empty_storage_to_a_confirmed_photo(server: S3Server, mooring: Mooring) -> None:
    serving = serving_from(server, mooring)
    person = serving.sign_in()
    issued = person.issue(filename="한글 이름+1%.jpg")
    assert issued["upload_url"].startswith(server.endpoint)
    assert put(issued, headers={"Content-Type": "text/html"}).status_code == 403
    assert put(issued, BODY + b"!").status_code == 403
    early = person.confirm(issued)
    assert (early.status_code, early.json()["error"]["code"]) == (404, "FILE_NOT_ARRIVED")
    assert put(issued).status_code == 200
    confirmed = person.confirm(issued)
    assert (confirmed.status_code, confirmed.json()["filename"]) == (200, "한글 이름+1%.jpg")
    assert httpx.get(confirmed.json()["url"], trust_env=False).content == BODY
    assert put(issued, b"x" * len(BODY)).status_code == 412  # written once
    found = json.loads(mooring.run("reconcile", "--dry-run", "--grace", "0s", "--json").stdout)
    assert found == {"orphans": [], "missing": [], "multiparts": [], "checked_objects": 1, "checked_uploads": 1}
    assert serving.end() == 0


def test_a_file_sent_through_us_ends_there_too(server: S3Server, mooring: Mooring) -> None:
    mooring.env["MOORING_PHOTO_MAX_BYTES"] = str(2**20)
    person = serving_from(server, mooring).sign_in()
    picture = b"\xff\xd8\xff" + os.urandom(700_000)

    def sent(body: bytes) -> httpx.Response:
        return person.http.post("/photos/", data={"album_id": person.album_id}, files={"file": ("a.jpg", body)})

    answer = sent(picture)
    assert answer.status_code == 201, answer.text
    assert httpx.get(answer.json()["url"], trust_env=False).content == picture
    assert person.http.get(f"/photos/{answer.json()['photo_id']}/image").content == picture
    assert sent(picture + bytes(2**20)).status_code == 413
    found = json.loads(mooring.run("reconcile", "--dry-run", "--grace", "0s", "--json").stdout)
    assert found == {"orphans": [], "missing": [], "multiparts": [], "checked_objects": 1, "checked_uploads": 1}


def test_a_storage_that_dies_leaves_the_upload_pending(tmp_path: Path, mooring: Mooring) -> None:
    with swift_in(tmp_path) as server:
        serving = serving_from(server, mooring)
        person = serving.sign_in()
        issued = person.issue()
        assert put(issued).status_code == 200
    refused = person.confirm(issued)
    assert (refused.status_code, refused.json()["error"]["code"]) == (500, "STORAGE_UNAVAILABLE")
    assert person.state(issued) == "PENDING"
    assert serving.get("/health").status_code == 200
    assert 'photo_api_photo_upload_confirm_total{result="failure"} 1.0' in serving.get("/metrics").text
    said = mooring.run("storage", "setup", status=1)
    assert said.stdout.startswith("not done  bucket: ")


def test_guide_003s_client_sends_its_type_and_nothing_else(server: S3Server, mooring: Mooring) -> None:
    """A header more among those that are signed, and storage would refuse its PUT."""
    person = serving_from(server, mooring).sign_in()
    asked = {"originalFilename": "a.mp3", "fileSize": len(BODY), "contentType": "audio/webm;codecs=opus"}
    issued = person.http.post("/records/async/presigned-url", data=asked).json()
    headers = {"Content-Type": "audio/webm;codecs=opus"}
    sent = httpx.put(issued["presignedUrl"], content=BODY, headers=headers, trust_env=False, timeout=30)
    assert sent.status_code in (200, 201), sent.text
    record = person.http.post("/records/async", json={"title": "Mine", "uploadId": issued["uploadId"]}).json()
    assert (record["processingStatus"], record["publicUrl"]) == ("PROCESSING", None)
    assert person.http.get(f"/uploads/{issued['uploadId']}").json()["state"] == "UPLOADED"
