"""The checklists: figures of a real Prometheus and database, and what is said when somebody can't be asked."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from conftest import HeldClock
from mooring.clock import now
from mooring.errors import SetupProblem
from mooring.observe.monitoring.asking import Line, Prometheus
from mooring.observe.monitoring.checklist import EVERY, Check, Period, checks_of
from mooring.observe.monitoring.report import Point, Report, _figure, _verdict, as_page, as_text, reported
from servers.nginx import free_port
from servers.prometheus import prometheus_in
from servers.serving import Mooring
from world import World

CONFIG = """
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: mooring
    static_configs: [{targets: ["127.0.0.1:1"]}]
"""


def line(value: float, **labels: str) -> Line:
    return Line(labels, [0.0], [value])


# ── one point ──


@pytest.mark.parametrize(
    ("lines", "verdict", "figure"),
    [
        ([line(99.95)], "ok", "99.95 %"),
        ([line(99.2)], "look", "99.20 %"),
        ([], "can't tell", "no data"),
    ],
)
def test_a_goal_is_met_missed_or_unknown(lines: list[Line], verdict: str, figure: str) -> None:
    check = Check("Availability", "x", "x", "percent", least=99.9, decimals=2)
    assert (_verdict(check, lines), _figure(check, lines)) == (verdict, figure)


def test_what_never_happened_is_well() -> None:
    check = Check("Security", "x", "x", most=0, none_is_well=True)
    assert (_verdict(check, []), _figure(check, [])) == ("ok", "none")


def test_one_of_many_is_enough_to_look_and_the_largest_are_named() -> None:
    check = Check("Security", "x", "x", most=10, legend="{{client_id}}")
    lines = [line(number, client_id=f"c{number}") for number in range(5, 13)]
    assert _verdict(check, lines) == "look"
    assert _figure(check, lines) == "c12 12, c11 11, c10 10, c9 9, c8 8, and 3 more"


def test_each_period_has_the_points_of_the_guide() -> None:
    areas = {period: {check.area for check in checks_of(period)} for period in EVERY}
    assert {"Availability", "Performance", "Resources", "Security", "Other services", "Business"} <= areas["day"]
    assert {"Alerts", "Monitoring"} <= areas["week"]
    assert "Error budget used" in {check.title for check in checks_of("month")}


# ── the whole ──


@pytest.mark.parametrize("period", EVERY)
async def test_without_prometheus_the_database_still_answers(world: World, clock: HeldClock, period: Period) -> None:
    user = await world.user()
    album = await world.album(user)
    await world.issue(user, album)
    found = await reported(world.db, "http://127.0.0.1:1", period, at=clock.forward(minutes=20))
    points = {point.title: point for point in found.points}
    assert (points["Incomplete"].figure, points["Incomplete"].verdict) == (f"1 (user {user} 1)", "ok")
    assert points["Users, and what they store"].figure == "1, 0 B"
    asked = [points[check.title] for check in checks_of(period)]
    assert {point.verdict for point in asked} == {"can't tell"}
    assert all("No Prometheus answers at http://127.0.0.1:1" in point.figure for point in asked)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "not an address", "http://[", "file:///etc/passwd"])
def test_an_address_where_no_prometheus_is_is_a_sentence(url: str) -> None:
    with Prometheus(url) as asked, pytest.raises(SetupProblem, match="No Prometheus answers at"):
        asked.now("up")


def test_a_target_that_is_down_is_to_be_looked_at(mooring: Mooring, tmp_path: Path) -> None:
    """The whole command, with a Prometheus that finds nobody, and one that is not there."""
    (tmp_path / "prometheus.yml").write_text(CONFIG)
    page = tmp_path / "report.html"
    with prometheus_in(tmp_path) as url:
        with Prometheus(url) as asked, pytest.raises(SetupProblem, match="refuses 'sum\\('"):
            asked.now("sum(")
        said = mooring.run("report", "--week", "--prometheus", url, "--html", str(page))
    assert said.stdout.startswith("Weekly review, ")
    assert "can't tell  Ready instances now" in said.stdout
    assert "ok          Incomplete" in said.stdout
    assert "Weekly review" in page.read_text()
    found = json.loads(mooring.run("report", "--prometheus", f"http://127.0.0.1:{free_port()}", "--json").stdout)
    assert found["period"] == "day"
    assert {point["verdict"] for point in found["points"]} == {"ok", "can't tell"}


def test_hostile_words_stay_words_on_the_page() -> None:
    at = now()
    evil = "<script>alert(1)</script>"
    page = as_page(Report("day", at, [Point(evil, evil, f'"><img src=x onerror={evil}', "look")]))
    assert "<script" not in page
    assert "<img" not in page
    assert f"{at - timedelta(days=1):%Y-%m-%d}" in page


def test_the_text_counts_what_is_to_be_done() -> None:
    points = [Point("A", "one", "1", "ok"), Point("A", "two", "2", "look"), Point("B", "three", "-", "can't tell")]
    text = as_text(Report("month", now(), points))
    assert text.endswith("1 to look at, 1 that can't be told, of 3.")
    assert "\nB\n  can't tell  three  -" in text
