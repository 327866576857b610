"""What must never be in a log is taken out of it; and the suite's own reader notices what was put there."""

import io
import json
import subprocess
from pathlib import Path

import pytest
import structlog

from mooring.observe.logs import configure_logs
from mooring.observe.redaction import GONE, Redaction
from servers import ours
from servers.logs import secrets_found, secrets_in

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF_-123"
TOKEN = "k3Jx0vYb1n7QwErTyUiOpAsDfGhJkLzXcVbNm123456"
SECRETS: dict[str, dict[str, object]] = {
    "an access token": {"why": f"bad token {JWT}"},
    "a header": {"headers": f"Authorization: Bearer {TOKEN}"},
    "a password": {"asked": {"email": "a@b.c", "password": 'with "quotes\\'}},
    "a refresh token": {"refresh_token": TOKEN},
    "a hash": {"why": "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA"},
    "an S3 URL": {"url": f"https://s3.example/b/k?X-Amz-Date=1&X-Amz-Credential=AK/1/x&X-Amz-Signature={TOKEN}"},
    "a disk URL": {"path": f"/storage/photos/x?expires=1&signature={TOKEN}"},
    "an NHN URL": {"url": f"https://cdn.example/x?token=exp=1~hmac={TOKEN}"},
    "an Akamai URL": {"url": f"https://cdn.example/x?hdnts=exp=1~acl=/*~hmac={TOKEN}"},
    "an nginx URL": {"url": f"https://cdn.example/x?md5={TOKEN}&expires=1"},
    "a CloudFront URL": {"url": f"https://cdn.example/x?Expires=1&Signature={TOKEN}&Key-Pair-Id=K1"},
    "a share link": {"path": f"/share/{TOKEN}/photos/1/image"},
    "a capability": {"path": f"/uppy/{TOKEN}/s3/params"},
    "a database address": {"why": f"can't reach postgresql://mooring:{TOKEN}@db.example:5432/mooring"},
    "a webhook's secret": {"why": f"whsec_{TOKEN}"},
}
HARMLESS: list[dict[str, object]] = [
    {"event": "photo_presigned", "upload_id": 1, "user_id": 2, "request_id": "0a1b-2"},
    {"event": "share_link_opened", "token_status": "valid", "path": "/share/…/photos/1"},
    {"event": "x", "why": "The access token has expired.", "url": "https://example.org/a?b=c"},
]


@pytest.mark.parametrize("name", SECRETS)
def test_what_is_secret_is_taken_out_and_the_rest_is_still_json(name: str) -> None:
    line = json.dumps({"event": "x", **SECRETS[name], "upload_id": 7}).encode()
    redaction = Redaction()
    assert redaction.suspects(line)
    cleaned = redaction.clean(line)
    assert GONE in cleaned
    assert TOKEN.encode() not in cleaned
    assert b"quotes" not in cleaned
    assert JWT.encode() not in cleaned
    assert json.loads(cleaned)["upload_id"] == 7


@pytest.mark.parametrize("event", HARMLESS)
def test_what_is_harmless_stays_as_it_is(event: dict[str, object]) -> None:
    line = json.dumps(event, ensure_ascii=False).encode()
    assert Redaction().clean(line) == line


def test_the_secrets_of_this_process_are_known_whatever_they_look_like() -> None:
    redaction = Redaction(['plain words, "quoted"', "short"])
    line = json.dumps({"event": "x", "why": 'said plain words, "quoted" aloud, in short'}).encode()
    assert redaction.suspects(line)
    assert json.loads(redaction.clean(line))["why"] == "said [redacted] aloud, in short"


@pytest.mark.usefixtures("leaks_are_meant")
def test_no_line_is_written_before_it_was_looked_at() -> None:
    before = structlog.get_config()
    to = io.BytesIO()
    try:
        configure_logs("info", to, ["the secret of this house"])
        log = structlog.get_logger()
        log.info("told", why="the secret of this house", url=f"/storage/x?signature={TOKEN}")
    finally:
        structlog.configure(**before)
    [line] = map(json.loads, to.getvalue().splitlines())
    assert (line["why"], line["url"]) == ("[redacted]", "/storage/x?signature=[redacted]")


@pytest.mark.parametrize("name", [name for name in SECRETS if name not in ("a password", "a refresh token")])
def test_the_reader_of_the_suite_would_notice(name: str) -> None:
    """By the looks; what has none, as a password, by the words that the tests use."""
    assert secrets_in(json.dumps({"event": "x", **SECRETS[name]}).encode())
    assert secrets_in(b'{"event":"x","why":"correct horse battery"}')
    assert secrets_in(b'{"event":"x","why":"[redacted]"}')


@pytest.mark.parametrize("event", HARMLESS)
def test_the_reader_of_the_suite_lets_the_rest_pass(event: dict[str, object]) -> None:
    assert not secrets_in(json.dumps(event, ensure_ascii=False).encode())


TELLS = "import sys; print('horse battery'); sys.exit('Bearer " + TOKEN + "')"


@pytest.mark.usefixtures("leaks_are_meant")
@pytest.mark.parametrize("err", [None, "err"])
def test_what_a_process_of_ours_writes_is_read_also_where_its_files_are_gone(tmp_path: Path, err: str | None) -> None:
    out = tmp_path / "out"
    process = ours.start([ours.PYTHON, "-c", TELLS], out, tmp_path / err if err else None)
    out.unlink()
    assert process.wait(60) == 1
    assert sorted(secrets_found()) == [f"Bearer {TOKEN}".encode(), b"horse battery"]
    assert not secrets_found(), "each once"


@pytest.mark.usefixtures("leaks_are_meant")
def test_so_is_what_a_command_says() -> None:
    assert ours.run([ours.PYTHON, "-c", TELLS]).returncode == 1
    assert sorted(secrets_found()) == [f"Bearer {TOKEN}".encode(), b"horse battery"]


@pytest.mark.parametrize("command", [[ours.PYTHON, "-c", ""], [ours.COMMAND], [str(ours.PYTHON), "-m", "mooring"]])
def test_a_process_of_ours_whose_words_nobody_reads_does_not_start(command: list[str | Path]) -> None:
    with pytest.raises(pytest.fail.Exception, match="Nobody would read"):
        subprocess.run(command, check=True)
