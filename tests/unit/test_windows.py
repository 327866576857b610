import pytest
from limits import parse

from conftest import Seconds
from mooring.web import windows
from mooring.web.windows import Window


def taken(window: Window, client: str, tries: int) -> int:
    return sum(window.hit(client) == 0 for _ in range(tries))


def test_so_many_and_not_one_more(seconds: Seconds) -> None:
    window = Window(parse("10/minute"), seconds)
    assert taken(window, "a", 25) == 10
    assert taken(window, "b", 25) == 10, "another client has a count of its own"


def test_nobody_gets_twice_the_limit_at_the_turn(seconds: Seconds) -> None:
    window = Window(parse("10/minute"), seconds)
    seconds.at += 59
    assert taken(window, "a", 25) == 10
    seconds.at += 2
    assert taken(window, "a", 25) == 0
    seconds.at += 30
    assert taken(window, "a", 25) == 5
    seconds.at += 29
    assert 4 <= taken(window, "a", 25) <= 5


def test_after_a_while_everything_is_forgotten(seconds: Seconds) -> None:
    window = Window(parse("10/minute"), seconds)
    assert taken(window, "a", 25) == 10
    seconds.at += 10**7
    assert taken(window, "a", 25) == 10


@pytest.mark.parametrize("limit", ["1/second", "3/minute", "10/minute", "100 per 5 minutes"])
@pytest.mark.parametrize("begins", [0, 0.3, 0.7, 0.99])
def test_who_waits_as_long_as_told_comes_in(seconds: Seconds, limit: str, begins: float) -> None:
    window = Window(parse(limit), seconds)
    seconds.at += begins * window.seconds
    for _ in range(5):
        while not (wait := window.hit("a")):
            pass
        assert 1 <= wait <= 2 * window.seconds
        seconds.at += wait
        assert window.hit("a") == 0


def test_a_flood_of_addresses_does_not_fill_the_memory(seconds: Seconds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MOST_CLIENTS", 100)
    window = Window(parse("10/minute"), seconds)
    assert taken(window, "early", 3) == 3
    assert sum(window.hit(f"client {number}") == 0 for number in range(1000)) == 99 + 10
    assert len(window._now) <= 101
    assert taken(window, "early", 25) == 7, "who was counted before still has a count of their own"
