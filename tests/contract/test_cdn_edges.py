"""What our signers sign, real edges let through, and nothing else: nginx verifying tokens and caching, in front of a
Swift that refuses everybody but it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
import pytest

from contract.conftest import made
from contract.things import JPEG, kept
from mooring.clock import now
from mooring.delivery.cdn.choice import Cdn, signer_of
from mooring.delivery.cdn.port import Signer
from mooring.storage.s3 import S3Storage
from servers.nginx import KEY_ID, EdgeServer, edge_in
from servers.s3 import S3Server

KEY = "photos/0b1e_한글 이름~(1)+1%!*'.jpg"
OTHER = "photos/0b1e_other.jpg"
BODY = b"0123456789" * 1000


@pytest.fixture(scope="module")
def edge(swift: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeServer]:
    with edge_in(tmp_path_factory.mktemp("edge"), swift) as edge:
        yield edge


@dataclass(frozen=True)
class Shelf:
    """A bucket with two objects, behind the edge of one CDN."""

    signer: Signer
    storage: S3Storage
    base_url: str

    def url(self, key: str = KEY, *, until: datetime | None = None) -> str:
        return self.signer.url(key, until=until or now() + timedelta(seconds=60))


@pytest.fixture(params=["nhn", "akamai", "nginx", "cloudfront"])
async def shelf(request: pytest.FixtureRequest, edge: EdgeServer) -> AsyncIterator[Shelf]:
    cdn: Cdn = request.param
    async with AsyncExitStack() as until_the_end:
        storage = await made(edge.origin, until_the_end)
        for key in (KEY, OTHER):
            await kept(storage, key, BODY, JPEG)
        edge.only_reader_of(storage.bucket.name)
        base_url = f"{edge.url}/{cdn}/{storage.bucket.name}"
        signer = signer_of(cdn, url=base_url, key=edge.key(cdn), key_id=KEY_ID)
        assert signer is not None
        yield Shelf(signer, storage, base_url)


async def test_with_its_token_an_object_comes_from_storage_then_from_the_cache(
    shelf: Shelf, http: httpx.AsyncClient
) -> None:
    first = await http.get(shelf.url())
    assert (first.status_code, first.headers["X-Cache"], first.content) == (200, "MISS", BODY)
    assert first.headers["Content-Type"] == JPEG
    await shelf.storage.delete(KEY)
    later = await http.get(shelf.url(until=now() + timedelta(seconds=90)))
    assert (later.status_code, later.headers["X-Cache"], later.content) == (200, "HIT", BODY)


async def test_a_range_comes_as_a_range(shelf: Shelf, http: httpx.AsyncClient) -> None:
    for cached in ("MISS", "HIT"):
        answer = await http.get(shelf.url(), headers={"Range": "bytes=5-14"})
        assert (answer.status_code, answer.content) == (206, BODY[5:15])
        assert answer.headers["X-Cache"] == cached
        assert answer.headers["Content-Range"] == f"bytes 5-14/{len(BODY)}"


async def test_without_a_token_nothing_comes_cached_or_not(shelf: Shelf, http: httpx.AsyncClient) -> None:
    bare = shelf.url().partition("?")[0]
    assert (await http.get(bare)).status_code == 403
    assert (await http.get(shelf.url())).status_code == 200
    for address in (bare, bare + "?", bare + "?token=", bare + "?md5=&expires=", bare + "?x=1"):
        assert (await http.get(address)).status_code == 403


async def test_a_token_that_is_over_opens_nothing(shelf: Shelf, http: httpx.AsyncClient) -> None:
    assert (await http.get(shelf.url(until=now() - timedelta(seconds=2)))).status_code == 403


async def test_an_altered_token_opens_nothing(shelf: Shelf, http: httpx.AsyncClient) -> None:
    at = now() + timedelta(seconds=60)
    good = shelf.url(until=at)
    seconds = str(int(at.timestamp()))
    assert good.count(seconds) == 1
    assert (await http.get(good.replace(seconds, str(int(seconds) + 1)))).status_code == 403
    start = max(good.find(name) + len(name) for name in ("hmac=", "md5=", "Signature=") if name in good)
    other = "0" if good[start] != "0" else "1"
    assert (await http.get(good[:start] + other + good[start + 1 :])).status_code == 403


async def test_a_token_opens_no_other_path(shelf: Shelf, http: httpx.AsyncClient) -> None:
    _, _, token = shelf.url().partition("?")
    elsewhere, _, _ = shelf.url(OTHER).partition("?")
    assert (await http.get(f"{elsewhere}?{token}")).status_code == 403
    assert (await http.get(shelf.url(OTHER))).status_code == 200


async def test_the_storage_itself_lets_nobody_past_the_edge(shelf: Shelf, http: httpx.AsyncClient) -> None:
    assert (await http.get(shelf.url(OTHER))).status_code == 200
    bucket = shelf.storage.bucket
    direct = f"{bucket.endpoint}/v1/AUTH_test/{bucket.name}/{OTHER}"
    for referrer in (None, "http://example.org/", "http://edge-only.guessed/"):
        headers = {"Referer": referrer} if referrer else {}
        assert (await http.get(direct, headers=headers)).status_code in (401, 403)
