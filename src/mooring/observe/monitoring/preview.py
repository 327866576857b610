"""The dashboard as one page that a person can open: no script, nothing from elsewhere, everything drawn in it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape
from importlib.resources import files as package

from mooring import clock
from mooring.observe.monitoring.asking import Line, Prometheus
from mooring.observe.monitoring.drawing import COLORS, CRITICAL, WARNING, curves, heat, spark
from mooring.observe.monitoring.export import ROWS
from mooring.observe.monitoring.panels import Panel, Row, substituted
from mooring.observe.monitoring.units import shown

GOOD = "#1a9c5b"
MOST_NAMED = 6  # lines with a name below their panel; the page is no place for a hundred

Named = tuple[str, Line]


def drawn(url: str, last: timedelta, *, at: datetime | None = None, rows: Sequence[Row] = ROWS) -> str:
    until = at or clock.now()
    with Prometheus(url) as prometheus:
        sections = [_section(row, prometheus, until, last) for row in rows]
        alerts = prometheus.now('ALERTS{alertstate="firing"}', until)
    style = (package("mooring.observe.monitoring") / "preview.css").read_text()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Mooring</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<style>\n{style}</style></head><body>\n<header><h1>Mooring</h1>"
        f"<p>{until - last:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC</p>{_alerts(alerts)}</header>\n"
        f"{''.join(sections)}</body></html>\n"
    )


def _alerts(firing: Sequence[Line]) -> str:
    if not firing:
        return '<p class="pill good">no alert</p>'
    by_gravity = sorted(firing, key=lambda line: (line.labels.get("severity", ""), line.labels.get("alertname", "")))
    pills = dict.fromkeys((one.labels.get("alertname", ""), one.labels.get("severity", "")) for one in by_gravity)
    return "".join(f'<p class="pill {escape(severity)}">{escape(name)}</p>' for name, severity in pills)


def _section(row: Row, prometheus: Prometheus, until: datetime, last: timedelta) -> str:
    cards = "\n".join(_card(panel, prometheus, until, last) for panel in row.panels)
    return f"<h2>{escape(row.title)}</h2>\n<section>\n{cards}\n</section>\n"


def _card(panel: Panel, prometheus: Prometheus, until: datetime, last: timedelta) -> str:
    lines: list[Named] = []
    for query in panel.queries:
        text = substituted(query.expression)
        found = prometheus.now(text, until) if panel.is_instant else prometheus.over(text, until=until, last=last)
        lines += [(line.named(query.legend) or panel.title, line) for line in found]
    inside = _inside(panel, lines, (until - last, until)) if lines else '<p class="nothing">no data</p>'
    return (
        f'<article class="{panel.kind}" style="grid-column: span {panel.width}">'
        f'<h3 title="{escape(panel.about)}">{escape(panel.title)}</h3>{inside}</article>'
    )


def _inside(panel: Panel, lines: list[Named], span: tuple[datetime, datetime]) -> str:
    only = [line for _, line in lines]
    if panel.kind == "stat":
        return _stat(panel, lines)
    if panel.kind == "gauge":
        return "".join(_dial(panel, name, line.last) for name, line in lines[:4])
    if panel.kind == "table":
        return _table(panel, lines)
    if panel.kind == "bars":
        return _bars(panel, lines)
    if panel.kind == "heatmap":
        return heat(panel, only, span, [name for name, _ in lines])
    by_size = sorted(lines, key=lambda one: -max(one[1].values))
    return curves(panel, [line for _, line in by_size], span) + _legend(panel, by_size)


def color_of(panel: Panel, value: float) -> str:
    """By the panel's thresholds."""
    warning, critical = panel.warning, panel.critical
    if panel.less_is_worse:
        return CRITICAL if value <= (critical or 0) else WARNING if value < (warning or 0) else GOOD
    if critical is not None and value >= critical:
        return CRITICAL
    if warning is not None and value >= warning:
        return WARNING
    return GOOD if warning is not None or critical is not None else COLORS[0]


def _stat(panel: Panel, lines: Sequence[Named]) -> str:
    shapes = []
    for name, line in lines:
        color = color_of(panel, line.last)
        caption = f"<small>{escape(name)}</small>" if len(lines) > 1 else ""
        shapes.append(f'<div><b style="color:{color}">{_number(panel, line.last)}</b>{caption}</div>')
    way = spark(lines[0][1].values, color_of(panel, lines[0][1].last)) if len(lines[0][1].values) > 1 else ""
    return f'<div class="numbers">{"".join(shapes)}</div>{way}'


def _dial(panel: Panel, name: str, value: float) -> str:
    """Three quarters of a circle, filled as far as the value goes."""
    whole = 222.3
    part = max(0.0, min(1.0, value / (panel.most or 100))) * whole
    arc = 'M 22 78 A 45 45 0 1 1 78 78" fill="none" stroke-width="11" stroke-linecap="round'
    return (
        f'<figure><svg viewBox="0 -10 100 104" role="img"><path d="{arc}" stroke="#e9edf3"/>'
        f'<path d="{arc}" stroke="{color_of(panel, value)}" stroke-dasharray="{part:.1f} 400"/>'
        f'<text x="50" y="56" text-anchor="middle">{_number(panel, value)}</text></svg>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
    )


def _table(panel: Panel, lines: Sequence[Named]) -> str:
    rows = sorted(lines, key=lambda one: -one[1].last)[:10]
    cells = "".join(
        f"<tr><td>{escape(name)}</td>"
        f'<td style="color:{color_of(panel, line.last)}">{_number(panel, line.last)}</td></tr>'
        for name, line in rows
    )
    return f"<table>{cells}</table>"


def _bars(panel: Panel, lines: Sequence[Named]) -> str:
    longest = max((line.last for _, line in lines), default=0) or 1
    return "".join(
        f'<div class="bar"><span>{escape(name)}</span><i><em style="width:{max(0, line.last) / longest * 100:.1f}%;'
        f'background:{COLORS[place % len(COLORS)]}"></em></i><b>{_number(panel, line.last)}</b></div>'
        for place, (name, line) in enumerate(lines[:10])
    )


def _legend(panel: Panel, lines: Sequence[Named]) -> str:
    names = "".join(
        f'<li><i style="background:{COLORS[place % len(COLORS)]}"></i>{escape(name)}'
        f" <b>{_number(panel, line.last)}</b></li>"
        for place, (name, line) in enumerate(lines[:MOST_NAMED])
    )
    rest = f"<li>and {len(lines) - MOST_NAMED} more</li>" if len(lines) > MOST_NAMED else ""
    return f"<ul>{names}{rest}</ul>"


def _number(panel: Panel, value: float) -> str:
    return escape(shown(value, panel.unit, panel.decimals))
