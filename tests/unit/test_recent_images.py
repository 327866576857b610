"""What is remembered of images, and how little it takes to forget it."""

import pytest

from mooring.library import recent_images
from mooring.library.recent_images import RecentImages
from mooring.uploads.served import ServedFile

FILE = ServedFile("photos/1.jpg", "etag", "image/jpeg", 10, "1.jpg")
WHICH = (1, "thumb")


@pytest.fixture
def recent() -> RecentImages:
    recent = RecentImages()
    recent.began()
    return recent


def keep(recent: RecentImages, user_id: int = 7, which: tuple[int, str] = WHICH) -> None:
    recent.keep(user_id, recent.shelf(user_id), which, FILE)


def found(recent: RecentImages, user_id: int = 7, which: tuple[int, str] = WHICH) -> ServedFile | None:
    return recent.find(recent.shelf(user_id), which)


def test_it_is_found_for_its_owner_and_its_size_alone(recent: RecentImages) -> None:
    keep(recent)
    assert found(recent) is FILE
    assert found(recent, user_id=8) is None
    assert found(recent, which=(1, "large")) is None


def test_what_is_told_of_a_user_ends_what_was_known_of_them(recent: RecentImages) -> None:
    keep(recent, 7)
    keep(recent, 8)
    recent.heard("7")
    assert found(recent, 7) is None
    assert found(recent, 8) is FILE


def test_a_look_that_something_overtook_is_not_kept(recent: RecentImages) -> None:
    shelf = recent.shelf(7)
    recent.heard("7")
    recent.keep(7, shelf, WHICH, FILE)
    assert found(recent) is None


def test_nothing_is_remembered_while_nobody_listens() -> None:
    recent = RecentImages()
    keep(recent)
    assert found(recent) is None
    recent.began()
    keep(recent)
    shelf = recent.shelf(7)
    recent.ended()
    recent.keep(7, shelf, WHICH, FILE)
    assert found(recent) is None
    recent.began()
    assert found(recent) is None, "who knows what was told meanwhile"


def test_it_does_not_last(recent: RecentImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_images, "SECONDS", 0.0)
    keep(recent)
    assert found(recent) is None


@pytest.mark.parametrize("photos_each", [1, 50])
def test_it_stays_small(recent: RecentImages, monkeypatch: pytest.MonkeyPatch, photos_each: int) -> None:
    monkeypatch.setattr(recent_images, "MOST_REMEMBERED", 100)
    most = 0
    for turn in range(1000):
        keep(recent, turn // photos_each, (turn, "thumb"))
        most = max(most, sum(1 + len(shelf) for shelf in recent._shelves.values()))
        if turn % 7 == 0:
            recent.forget(turn // photos_each)
    assert 50 < most <= 101
