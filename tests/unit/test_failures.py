"""Failures within a time, counted by network: the window moves, and an attack from everywhere costs neither memory nor
time, nor shuts anybody out who is elsewhere."""

import pytest

from conftest import Seconds
from mooring.accounts import failures
from mooring.accounts.failures import Failures
from mooring.accounts.throttle import LoginThrottle
from mooring.errors import TooManyAttempts, TooManyGuesses
from mooring.library.share_throttle import ShareThrottle

HERE = "192.0.2.1"


def test_the_window_moves(seconds: Seconds) -> None:
    throttle = LoginThrottle(seconds)
    for _ in range(10):
        seconds.at += 1
        throttle.failed("ada@example.org", HERE)
    with pytest.raises(TooManyAttempts) as refused:
        throttle.check("ada@example.org", HERE)
    assert refused.value.retry_after == 291  # when the oldest of the ten lapses
    seconds.at += 291
    throttle.check("ada@example.org", HERE)
    throttle.failed("ada@example.org", HERE)
    with pytest.raises(TooManyAttempts) as refused:
        throttle.check("ada@example.org", HERE)
    assert refused.value.retry_after == 1


def test_what_is_refused_does_not_make_it_longer(seconds: Seconds) -> None:
    counted = Failures(2, 10, seconds)
    for _ in range(5):
        counted.count("a", HERE)
        seconds.at += 1
    assert counted.wait("a", HERE) == 5
    assert counted.wait("a", HERE, most=1) == 6


def test_fifty_thousand_from_everywhere_cost_bounded_memory_and_a_walk_a_second(
    seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Failures(30, 60, seconds)
    walks = 0
    plain = Failures._purge

    def purge(this: Failures, at: float) -> None:
        nonlocal walks
        walks += 1
        plain(this, at)

    monkeypatch.setattr(Failures, "_purge", purge)
    for number in range(50_000):
        seconds.at += 0.001
        counted.count(f"2001:{number:x}:0:1::")
    assert len(counted) <= 2 * failures.MOST_KEPT + 1
    assert walks <= 50
    seconds.at += 61
    counted.count(HERE)
    assert len(counted) == 1, "what lapsed is gone"


def test_when_there_are_too_many_newcomers_count_with_their_neighbours(
    seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "MOST_KEPT", 100)
    throttle = ShareThrottle(seconds)
    for number in range(1000):  # all of one attacker's /48
        if throttle.of_tokens.wait(f"2001:db8:7:{number:x}::") == 0:
            throttle.unknown_token(f"2001:db8:7:{number:x}::1")
    assert len(throttle.of_tokens) == 101
    with pytest.raises(TooManyGuesses):
        throttle.check_tokens("2001:db8:7:ffff::1")
    throttle.check_tokens("2001:db8:8::1")
    throttle.check_tokens(HERE)
    throttle.check_tokens("2001:db8:7:1::2")  # counted singly, and once so far


def test_when_even_those_are_too_many_newcomers_count_together(
    seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "MOST_KEPT", 100)
    counted = Failures(10, 60, seconds)
    for number in range(1000):
        counted.count(f"10.{number >> 8}.{number & 255}.1")
    assert len(counted) == 201
    assert counted.wait(HERE) > 0
    assert counted.wait("10.0.1.1") == 0
    seconds.at += 60
    assert counted.wait(HERE) == 0


def test_success_takes_back_no_failure_of_others(seconds: Seconds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "MOST_KEPT", 0)
    throttle, logins = ShareThrottle(seconds), LoginThrottle(seconds)
    for _ in range(9):
        throttle.try_password(1, HERE)
        logins.failed("ada@example.org", HERE)
    for _ in range(50):
        throttle.try_password(2, "192.0.2.2")
        throttle.right_password(2, "192.0.2.2")
        logins.succeeded("bob@example.org", "192.0.2.2")
    throttle.try_password(1, HERE)
    logins.failed("ada@example.org", HERE)
    with pytest.raises(TooManyAttempts):
        throttle.try_password(3, "192.0.2.3")
    with pytest.raises(TooManyAttempts):
        logins.check("eve@example.org", "192.0.2.3")
