"""The dashboard, asked of a real Prometheus that scraped a real server with traffic, errors, attacks and uploads."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageChops

from monitoring.busy import Watched, use, watched
from mooring import clock
from mooring.observe.monitoring.asking import Line, Prometheus
from mooring.observe.monitoring.export import ROWS
from mooring.observe.monitoring.panels import VARIABLES, Panel, substituted
from mooring.observe.monitoring.preview import drawn
from mooring.observe.monitoring.rules import rules
from servers.logs import check_written
from servers.postgres import missing, passable_folder
from servers.receiver import receiving
from servers.serving import Mooring

pytestmark = pytest.mark.timeout(300)  # real scrapes, on a machine that may be busy
LAST = timedelta(minutes=2)
PICTURE = Path(__file__).parents[2] / "docs/how-to/monitoring.png"
PANELS = [panel for row in ROWS for panel in row.panels]


somebody_elses = contextmanager(receiving)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """With `--picture` for as long as a picture needs."""
    with passable_folder() as short:
        mooring = Mooring(short / "data")
        try:
            with watched(mooring, tmp_path_factory.mktemp("monitoring")) as house, somebody_elses() as hook:
                use(house, hook.url(), rounds=14 if request.config.getoption("--picture") else 3)
                yield house
        finally:
            for serving in mooring.served:
                for person in serving.people:
                    person.http.close()
                serving.end(signal.SIGTERM)
        check_written()


def answers(house: Watched, panel: Panel, chosen: dict[str, str] | None = None) -> list[list[Line]]:
    """Of each of its queries, as Grafana puts it."""
    with Prometheus(house.prometheus) as asked:
        texts = [substituted(query.expression, chosen) for query in panel.queries]
        if panel.is_instant:
            return [asked.now(text) for text in texts]
        return [asked.over(text, until=clock.now(), last=LAST) for text in texts]


def test_every_query_of_every_panel_has_an_answer(house: Watched) -> None:
    empty = [
        (panel.title, query.text)
        for panel in PANELS
        for query, found in zip(panel.queries, answers(house, panel), strict=True)
        if not found
    ]
    assert empty == []


@pytest.mark.parametrize("variable", list(VARIABLES))
def test_each_variable_really_filters(house: Watched, variable: str) -> None:
    """What is there is still there when it is chosen, and nothing is when something else is."""
    metric, label = VARIABLES[variable]
    with Prometheus(house.prometheus) as asked:
        values = {line.labels[label] for line in asked.now(metric)}
    assert values
    filtered = [panel for panel in PANELS if any(f"${variable}" in query.expression for query in panel.queries)]
    assert filtered
    for panel in filtered:
        every = {variable: "|".join(re.escape(value).replace("\\", "\\\\") for value in values)}
        assert [len(found) for found in answers(house, panel, every)] == [len(one) for one in answers(house, panel)]
        for query, found in zip(panel.queries, answers(house, panel, {variable: "nobody"}), strict=True):
            shown = [line for line in found if any(line.values)]  # `or vector(0)` shows 0 of nothing
            assert shown == [] or f"${variable}" not in query.expression, (panel.title, query.text)


def test_what_went_wrong_shows(house: Watched) -> None:
    """Nobody takes the log lines, the database died twice, somebody guessed and somebody flooded."""
    troubles = ("Errors of other services", "Log queue", "Database errors", "Guessed share links", "Rate limit")
    for panel in PANELS:
        if panel.title in troubles:
            [found] = answers(house, panel)
            assert max(max(line.values) for line in found) > 0, panel.title


def test_each_endpoint_can_be_looked_at_alone(house: Watched) -> None:
    [by_endpoint] = [panel for panel in PANELS if panel.title == "Response time by endpoint"]
    [found] = answers(house, by_endpoint, {"endpoint": "/photos/presigned-url|/albums"})
    assert {line.labels["handler"] for line in found} == {"/photos/presigned-url", "/albums"}


def test_the_preview_shows_everything_and_asks_nobody(
    house: Watched, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    last = timedelta(minutes=2) if request.config.getoption("--picture") else timedelta(seconds=40)
    page = drawn(house.prometheus, last)
    assert page.count("<article") == len(PANELS)
    assert "no data" not in page
    assert "<script" not in page
    assert re.findall(r"(?:src|href)=\"(?!#)[^\"]*\"", page) == []
    (tmp_path / "preview.html").write_text(page)
    picture = photographed(tmp_path / "preview.html")
    assert picture.stat().st_size > 100_000
    if request.config.getoption("--picture"):
        trimmed(picture).save(PICTURE, optimize=True)


def trimmed(picture: Path) -> Image.Image:
    """Without the empty paper below."""
    whole = Image.open(picture).convert("RGB")
    paper = Image.new("RGB", whole.size, whole.getpixel((0, 0)))
    _, _, _, bottom = ImageChops.difference(whole, paper).getbbox() or (0, 0, 0, whole.height)
    return whole.crop((0, 0, whole.width, min(whole.height, bottom + 30)))


def photographed(page: Path) -> Path:
    program = shutil.which("chromium")
    if program is None:
        missing("Chromium is not installed: apt-get install chromium")
    picture = page.with_suffix(".png")
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1500,4000"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [program, *words, profile, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return picture


def test_prometheus_knows_every_rule_and_none_is_broken(house: Watched) -> None:
    answer = httpx.get(f"{house.prometheus}/api/v1/rules", trust_env=False).json()
    known = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in known if rule["type"] == "alerting"} == {rule.name for rule in rules()}
    assert [(rule["name"], rule["lastError"]) for rule in known if rule["health"] != "ok"] == []
