"""The page that shows the dashboard without Grafana: what is drawn for whom, and what hostile labels can't do."""

from datetime import UTC, datetime, timedelta

import pytest

from mooring.observe.monitoring import preview
from mooring.observe.monitoring.asking import Line
from mooring.observe.monitoring.drawing import CRITICAL, WARNING
from mooring.observe.monitoring.panels import Kind, Panel, Query
from mooring.observe.monitoring.units import shown

UNTIL = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SPAN = (UNTIL - timedelta(hours=1), UNTIL)
EVIL = "</text><script>alert(1)</script>"


def line(*values: float, **labels: str) -> Line:
    begins = SPAN[0].timestamp()
    return Line(labels, [begins + 60 * number for number in range(len(values))], values)


def panel(kind: Kind = "timeseries", **how: object) -> Panel:
    return Panel("P", "About", kind, [Query("up", "{{client_id}}")], **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["timeseries", "stat", "gauge", "table", "bars", "heatmap"])
def test_each_kind_is_drawn_and_no_label_gets_out_of_its_place(kind: Kind) -> None:
    lines = [(EVIL, line(1, 5, 3)), ("plain", line(2, 2, 2))]
    page = preview._inside(panel(kind, unit="cpm", warning=2, critical=4, most=10), lines, SPAN)
    assert page
    assert "<script" not in page
    assert "plain"[:5] in page


@pytest.mark.parametrize(("value", "color"), [(0.5, preview.GOOD), (1, WARNING), (4.9, WARNING), (5, CRITICAL)])
def test_colours_are_the_thresholds(value: float, color: str) -> None:
    assert preview.color_of(panel(warning=1, critical=5), value) == color


@pytest.mark.parametrize(("value", "color"), [(1, preview.GOOD), (0.4, WARNING), (0, CRITICAL)])
def test_where_less_is_worse_zero_is_red(value: float, color: str) -> None:
    assert preview.color_of(panel(warning=0.5, critical=0, less_is_worse=True), value) == color


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0213, "s", "21.3 ms"),
        (2.5, "s", "2.5 s"),
        (0, "s", "0 s"),
        (0.0000021, "s", "2.1 µs"),
        (1536, "bytes", "1.5 KiB"),
        (0, "bytes", "0 B"),
        (3 * 2**50, "bytes", "3 PiB"),
        (12, "percent", "12 %"),
        (12345, "reqpm", "12.3k req/min"),
        (-3, "short", "-3"),
        (1e15, "short", "1000T"),
    ],
)
def test_numbers_are_written_for_people(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_a_hundred_lines_are_drawn_and_six_are_named() -> None:
    many = [(f"c{number}", line(number, number)) for number in range(100)]
    page = preview._inside(panel(), many, SPAN)
    assert "and 94 more" in page
    assert "c99" in page
    assert "c50" not in page
