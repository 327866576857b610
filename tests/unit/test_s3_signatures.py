"""Our signatures are botocore's, on keys and headers of all sorts."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import cycle
from urllib.parse import parse_qsl, quote, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from mooring.storage.keys import check_key
from mooring.storage.port import Signed
from mooring.storage.s3 import S3Storage
from mooring.storage.s3_bucket import Bucket
from mooring.storage.s3_headers import attachment

AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
LIFE = timedelta(minutes=15)
LETTERS = "abcXYZ019-_.~ +%=&?#:;,@!$*'()\"<>|\\^`{}[]한글é日本🌊\u0301\u200b"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def some_key(chance: random.Random) -> str:
    while True:
        segments = ("".join(chance.choices(LETTERS, k=chance.randint(1, 30))) for _ in range(chance.randint(1, 4)))
        key = "/".join(segments)
        try:
            check_key(key)
        except ValueError:
            continue
        return key


KEYS = [some_key(random.Random(number)) for number in range(1_000)]


def signed_by_botocore(
    bucket: Bucket,
    method: str,
    key: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str],
) -> str:
    where = f"{bucket.origin}{bucket.path}{quote(key, safe='/~')}"
    if query:
        where += "?" + "&".join(f"{name}={quote(value, safe='~')}" for name, value in query.items())
    request = AWSRequest(method=method, url=where, headers=dict(headers))
    keys = Credentials(bucket.access_key, bucket.secret_key, bucket.session_token)
    botocore.auth.S3SigV4QueryAuth(keys, "s3", bucket.region, expires=int(LIFE.total_seconds())).add_auth(request)
    return str(request.url)


def put(storage: S3Storage, key: str) -> tuple[str, str]:
    signed = storage.presign_put(key, content_type="image/jpeg", length=len(key), at=AT, lapses_in=LIFE)
    return signed.url, signed_by_botocore(storage.bucket, "PUT", key, headers=sent(signed, len(key)))


def put_with_checksum(storage: S3Storage, key: str) -> tuple[str, str]:
    signed = storage.presign_put(
        key,
        content_type="audio/webm;codecs=opus",
        length=2**40,
        at=AT,
        lapses_in=LIFE,
        sha256=SHA256,
        write_once=False,
    )
    assert signed.headers["x-amz-checksum-sha256"] == "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="
    return signed.url, signed_by_botocore(storage.bucket, "PUT", key, headers=sent(signed, 2**40))


def get(storage: S3Storage, key: str) -> tuple[str, str]:
    name = key.rpartition("/")[2]
    url = storage.presign_get(key, at=AT, lapses_in=LIFE, filename=name, content_type="image/webp")
    query = {"response-content-disposition": attachment(name), "response-content-type": "image/webp"}
    return url, signed_by_botocore(storage.bucket, "GET", key, query=query, headers={})


def part(storage: S3Storage, key: str) -> tuple[str, str]:
    multipart_id = f"2~{key[:5]}/+="
    signed = storage.presign_part(key, multipart_id, len(key), length=5 * 2**20, at=AT, lapses_in=LIFE)
    query = {"partNumber": str(len(key)), "uploadId": multipart_id}
    return signed.url, signed_by_botocore(storage.bucket, "PUT", key, query=query, headers=sent(signed, 5 * 2**20))


def sent(signed: Signed, length: int) -> dict[str, str]:
    return {**signed.headers, "Content-Length": str(length)}


PLACES = [
    Bucket(
        "some-bucket",
        "ap-northeast-2",
        endpoint,
        "AKIDEXAMPLE",
        "wJalr/bPxRfi+CYEXAMPLEKEY",
        token,
        path_style,
    )
    for token in (None, "FwoG/+Zz==")
    for endpoint, path_style in (
        (None, False),
        (None, True),
        ("http://127.0.0.1:8080", True),
        ("https://storage.example.com", False),
    )
]


@pytest.mark.parametrize("ask", [put, put_with_checksum, get, part])
def test_every_signature_is_botocores(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[S3Storage, str], tuple[str, str]]
) -> None:
    # botocore writes the time without asking for its zone, as datetime.utcnow() did.
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: AT.replace(tzinfo=None))
    storages = cycle(map(S3Storage, PLACES))
    for key, storage in zip(KEYS, storages, strict=False):
        ours, theirs = map(urlsplit, ask(storage, key))
        assert (ours.scheme, ours.netloc, ours.path) == (theirs.scheme, theirs.netloc, theirs.path)
        assert parameters(ours.query) == parameters(theirs.query)


def parameters(query: str) -> list[tuple[str, str]]:
    return sorted(parse_qsl(query, strict_parsing=True))


def test_what_must_be_sent_is_what_was_signed() -> None:
    storage = S3Storage(Bucket("some-bucket", "eu-west-1", None, "AKIDEXAMPLE", "secret", None, path_style=False))
    signed = storage.presign_put("a b", content_type="image/png", length=3, at=AT, lapses_in=LIFE, sha256=SHA256)
    names = dict(parse_qsl(urlsplit(signed.url).query))["X-Amz-SignedHeaders"].split(";")
    assert names == sorted([*(name.lower() for name in signed.headers), "content-length", "host"])


def test_a_url_outlives_what_it_was_promised_for_by_less_than_a_second() -> None:
    storage = S3Storage(Bucket("some-bucket", "eu-west-1", None, "AKIDEXAMPLE", "secret", None, path_style=False))
    at = AT + timedelta(milliseconds=900)
    query = dict(parse_qsl(urlsplit(storage.presign_get("a", at=at, lapses_in=LIFE)).query))
    lapsed_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%S%z") + timedelta(
        seconds=int(query["X-Amz-Expires"])
    )
    assert timedelta(0) <= lapsed_at - (at + LIFE) < timedelta(seconds=1)


@pytest.mark.parametrize("life", [timedelta(0), timedelta(days=8)])
def test_a_life_that_s3_does_not_have_is_refused(life: timedelta) -> None:
    storage = S3Storage(Bucket("some-bucket", "eu-west-1", None, "AKIDEXAMPLE", "secret", None, path_style=False))
    with pytest.raises(ValueError, match="seven days"):
        storage.presign_get("a", at=AT, lapses_in=life)
