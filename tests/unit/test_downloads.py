"""One URL for a while, and never one that is nearly over."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import HeldClock
from mooring.storage.disk import DiskStorage
from mooring.uploads import downloads
from mooring.uploads.downloads import Downloads

LIFE = timedelta(seconds=120)


@pytest.fixture
def some(tmp_path: Path, clock: HeldClock) -> Downloads:
    return Downloads(DiskStorage(tmp_path, b"secret", "http://testserver", clock=clock), clock, LIFE)


def test_it_is_the_same_for_half_of_its_life(some: Downloads, clock: HeldClock) -> None:
    urls = []
    for _ in range(240):
        urls.append(some.url("photos/a.jpg", "image/jpeg"))
        clock.forward(seconds=1)
    assert len(set(urls)) in (4, 5)
    assert urls[0] != some.url("photos/b.jpg", "image/jpeg") != some.url("photos/b.jpg", "image/png")


def test_another_process_gives_the_same(some: Downloads, clock: HeldClock) -> None:
    other = Downloads(some.storage, clock, LIFE)
    clock.forward(seconds=1)
    assert some.url("photos/a.jpg", "image/jpeg") == other.url("photos/a.jpg", "image/jpeg")


def test_at_least_half_of_it_is_left(some: Downloads, clock: HeldClock, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    sign = DiskStorage.presign_get

    def noted(storage: DiskStorage, key: str, **terms: object) -> str:
        given.append(terms["at"])
        return sign(storage, key, **terms)  # type: ignore[arg-type]

    monkeypatch.setattr(DiskStorage, "presign_get", noted)
    for _ in range(240):
        some.url("photos/a.jpg", "image/jpeg")
        assert timedelta(0) <= clock() - given[-1] < LIFE / 2
        clock.forward(seconds=1)


def test_it_remembers_only_so_many(some: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MOST_REMEMBERED", 10)
    for number in range(100):
        some.url(f"photos/{number}.jpg", "image/jpeg")
        assert len(some._urls) <= 10
