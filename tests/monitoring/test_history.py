"""Alerts that hold now against yesterday or an hour ago, and those on the error budget, by promtool."""

from pathlib import Path

import pytest

from monitoring.made import IS_UP, MACHINE, REQUEST, failing_at
from monitoring.promtool import Situation, lasting, only, proven
from mooring.observe.monitoring.burn import BURNS, Burn

DAY = 25 * 60  # minutes of the usual, and one more hour
HOUR = 70
IN, OUT = (f'node_network_{way}_bytes_total{{{MACHINE},device="eth0"}}' for way in ("receive", "transmit"))
UP_BEFORE = (IS_UP.name, "1x200")


def then(name: str, usual: float, minutes: int, now: float, lasting_minutes: int = 40) -> tuple[str, str]:
    """A counter that counts so much a minute, and then so much."""
    return name, f"0+{usual:g}x{minutes} {usual * minutes:.12g}+{now:g}x{lasting_minutes}"


@pytest.mark.parametrize(
    ("name", "alert", "usual", "least", "times", "lasts"),
    [
        (REQUEST.format("/albums", 200), "TrafficSurgeCritical", 200, 50, 5, 2),
        (IN, "NetworkInWarning", 60 * 2e6, 60 * 1e5, 2, 10),
        (IN, "NetworkInCritical", 60 * 2e6, 60 * 1e5, 5, 5),
        (OUT, "NetworkOutWarning", 60 * 2e6, 60 * 1e5, 2, 10),
        (OUT, "NetworkOutCritical", 60 * 2e6, 60 * 1e5, 5, 5),
    ],
)
def test_more_than_yesterday(
    name: str, alert: str, usual: float, least: float, times: float, lasts: int, tmp_path: Path
) -> None:
    more = times * 1.06  # what is unusual soon becomes a part of the day it is held against
    above = [then(name, usual, DAY, usual * more)]
    asked = [
        Situation("below", [then(name, usual, DAY, usual * times * 0.97)], step=60).silent(alert, DAY + 35),
        Situation("above", above, step=60).silent(alert, DAY + lasts - 1).fires(alert, DAY + lasts + 15),
        Situation("no history", [then(name, usual, 180, usual * more)], step=60).silent(alert, 215),
        Situation("little of it", [then(name, least, DAY, least * more)], step=60).silent(alert, DAY + 35),
        Situation("without traffic", [then(name, usual, DAY, 0)], step=60).silent(alert, DAY + 35),
        Situation("gone", [(name, f"{above[0][1]} stale")], step=60).silent(alert, DAY + 60),
    ]
    proven(tmp_path, [(only([alert]), asked)], every=300)


@pytest.mark.parametrize(
    ("alert", "percent", "lasts"), [("StorageGrowthWarning", 10, 5), ("StorageGrowthCritical", 50, 2)]
)
def test_storage_that_grows_within_an_hour(alert: str, percent: float, lasts: int, tmp_path: Path) -> None:
    def grown(usual: float, part: float) -> list[tuple[str, str]]:
        now = usual * (1 + percent * part / 100)
        levels = f"{usual:.12g}x{HOUR} {now:.12g}x30"
        return [(f'photo_api_object_storage_usage_bytes{{instance="{one}",job="mooring"}}', levels) for one in "ab"]

    asked = [
        Situation("below", grown(100e9, 0.98), step=60).silent(alert, HOUR + 25),
        Situation("above", grown(100e9, 1.02), step=60).silent(alert, HOUR + lasts - 1).fires(alert, HOUR + lasts + 2),
        Situation("a new house", grown(1e6, 20), step=60).silent(alert, HOUR + 25),
        Situation("nothing comes", grown(100e9, 0), step=60).silent(alert, HOUR + 25),
        Situation("gone", [(name, f"{text} stale") for name, text in grown(100e9, 2)], step=60).silent(
            alert, HOUR + 45
        ),
    ]
    proven(tmp_path, [(only([alert]), asked)], every=60)


@pytest.mark.parametrize(("alert", "most", "lasts"), [("UserUploadsWarning", 1e9, 5), ("UserUploadsCritical", 10e9, 2)])
def test_a_user_who_uploads_much_within_an_hour(alert: str, most: float, lasts: int, tmp_path: Path) -> None:
    def counter(values: str, user: str = "7", instance: str = "a") -> tuple[str, str]:
        return f'photo_api_photo_upload_size_total_bytes{{instance="{instance}",user_id="{user}"}}', values

    def more(bytes_: float, *, over: int = 40) -> str:
        return f"500e9x{HOUR} {500e9 + bytes_:.12g}x{over}"

    which = 'user_id="7"'
    half = most * 0.51
    asked = [
        Situation("below", [counter(more(most * 0.98)), UP_BEFORE], step=60).silent(alert, HOUR + 25),
        Situation("above", [counter(more(most * 1.05)), UP_BEFORE], step=60)
        .silent(alert, HOUR + lasts - 1)
        .fires(alert, HOUR + lasts + 2, which),
        Situation("the first ever", [counter(f"_x{HOUR} {most * 1.05:g}x40"), UP_BEFORE], step=60)
        .silent(alert, HOUR + lasts - 1)
        .fires(alert, HOUR + lasts + 2, which),
        Situation("by two", [counter(more(half)), counter(more(half * 1.1), instance="b"), UP_BEFORE], step=60)
        .fires(alert, HOUR + lasts + 4, which),
        Situation("nobody looked an hour ago", [counter("500e9x30"), (IS_UP.name, "1x30")], step=60).silent(alert, 30),
        Situation("a crowd", [counter(more(most * 2), user="other"), UP_BEFORE], step=60).silent(alert, HOUR + 25),
        Situation("nothing comes", [counter(more(0)), UP_BEFORE], step=60).silent(alert, HOUR + 25),
        Situation("gone", [counter(f"{more(most * 2)} stale"), UP_BEFORE], step=60).silent(alert, HOUR + 110),
    ]  # fmt: skip
    proven(tmp_path, [(only([alert]), asked)], every=60)


@pytest.mark.parametrize("burn", BURNS, ids=lambda burn: burn.alert)
def test_an_error_budget_that_burns(burn: Burn, tmp_path: Path) -> None:
    step, lasts = (30, burn.lasts / 60) if burn.lasts < 600 else (120, burn.lasts / 60)
    every = step * 2
    length = lasts + 20
    bad, good = (lasting(failing_at(burn, burn.share * part), length, step=step) for part in (1.03, 0.97))
    asked = [
        Situation("just within", good, step=step).silent(burn.alert, length),
        Situation("too fast", bad, step=step).silent(burn.alert, lasts - every / 60).fires(burn.alert, length),
        Situation("without traffic", [(name, "0x99") for name, _ in bad], step=step).silent(burn.alert, length),
        Situation("without anything", lasting([IS_UP], length, step=step), step=step).silent(burn.alert, length),
        Situation("a handful", [(bad[0][0], "0+0x5 1x300"), (bad[1][0], "0x300")], step=step).silent(
            burn.alert, length
        ),
        Situation("gone", [(name, f"{text} stale") for name, text in bad], step=step).silent(
            burn.alert, length + burn.short / 60 + every / 30
        ),
    ]
    proven(tmp_path, [(only([burn.alert]), asked)], every=every)


def test_a_burn_that_is_over_is_not_told_of(tmp_path: Path) -> None:
    """The long window still remembers it."""
    failed = (REQUEST.format("/albums", 500), "0+100x120 12000x30")
    asked = [failed, (REQUEST.format("/albums", 200), "0+900x150")]
    over = (
        Situation("over", asked, step=30).fires("ErrorBudgetBurnsInTwoDays", 59).silent("ErrorBudgetBurnsInTwoDays", 68)
    )
    proven(tmp_path, [(only(["ErrorBudgetBurnsInTwoDays"]), [over])])
