"""Curves and heat, drawn by matplotlib to SVG that stands in a page. Loading it takes a while: imported late."""

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, MultipleLocator

from mooring.observe.monitoring.asking import Line
from mooring.observe.monitoring.panels import Panel
from mooring.observe.monitoring.units import shown

COLORS = ("#2f6fed", "#12a594", "#e5a000", "#d6409f", "#7a5af8", "#e5484d", "#0091c2", "#65a30d", "#a16207", "#64748b")
WARNING, CRITICAL = "#e08700", "#d92d3a"
INK, FAINT = "#5b6472", "#e4e8ee"
HEIGHT = 2.1
PER_COLUMN = 0.72  # inches of each of the 24 columns of the page
STEPS = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 7 * 86_400)
_HEAD = re.compile(r"^.*?(?=<svg)", re.S)
_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*"([^>]*?)', re.S)
# Nothing says when or by what it was drawn.
MUTE = {"Date": None, "Creator": None, "Format": None, "Type": None}


def curves(panel: Panel, lines: Sequence[Line], span: tuple[datetime, datetime]) -> str:
    with _style():
        figure, axes = _paper(panel)
        for line, color in zip(lines, _colors(len(lines)), strict=True):
            at = np.array(line.at) - span[0].timestamp()  # of large numbers the picture would lose the small digits
            axes.plot(at, line.values, color=color, linewidth=1.6, solid_capstyle="round", zorder=3)
            axes.fill_between(at, line.values, color=color, alpha=0.07 if len(lines) > 3 else 0.12, linewidth=0)
        top = max((max(line.values) for line in lines), default=0) or 1
        limits = ((panel.warning, WARNING), (panel.critical, CRITICAL))
        near = [(value, color) for value, color in limits if value and value <= top * 2.5]
        for value, color in near:
            axes.axhline(value, color=color, linewidth=1, linestyle=(0, (4, 3)), alpha=0.8, zorder=2)
        highest = max([top, *(value for value, _ in near)]) * 1.12
        axes.set_ylim(0, min(highest, panel.most) if panel.most else highest)
        _time_axis(axes, span)
        axes.yaxis.set_major_locator(_round_steps(panel, axes.get_ylim()[1]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, panel.unit)))
        axes.grid(axis="y", color=FAINT, linewidth=0.8)
        return _svg(figure)


def heat(panel: Panel, lines: Sequence[Line], span: tuple[datetime, datetime], names: Sequence[str]) -> str:
    """A row for each line, a column for each stretch of time; the more, the darker."""
    columns = 60
    begins, ends = (moment.timestamp() for moment in span)
    cells = np.zeros((len(lines), columns))
    for row, line in enumerate(lines):
        for at, value in zip(line.at, line.values, strict=True):
            column = min(columns - 1, int((at - begins) / (ends - begins) * columns))
            cells[row, column] = max(cells[row, column], value)
    with _style():
        figure, axes = _paper(panel)
        edges = np.linspace(0, ends - begins, columns + 1)
        axes.pcolormesh(
            edges, np.arange(len(lines) + 1), cells, cmap="YlGnBu", vmin=0, edgecolors="white", linewidth=0.6
        )
        axes.set_yticks(np.arange(len(lines)) + 0.5, [name[:18] for name in names])
        axes.invert_yaxis()
        _time_axis(axes, span)
        return _svg(figure)


def spark(values: Sequence[float], color: str) -> str:
    """A number's way there, without any words."""
    figure = Figure(figsize=(2.4, 0.5))
    axes = figure.add_axes((0, 0.04, 1, 0.92))
    axes.plot(values, color=color, linewidth=1.6)
    axes.fill_between(range(len(values)), values, color=color, alpha=0.14, linewidth=0)
    axes.set_ylim(0, max([*values, 1e-9]) * 1.15)
    axes.margins(x=0)
    axes.axis("off")
    return _svg(figure)


def _round_steps(panel: Panel, top: float) -> Locator:
    """Of bytes, those that are round in KiB."""
    if panel.unit not in ("bytes", "Bps"):
        return MaxNLocator(4)
    return MultipleLocator(2.0 ** np.ceil(np.log2(max(top, 1e-9) / 4)))


def _style() -> AbstractContextManager[None]:
    """Words stay words."""
    return mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "mooring", "font.family": "sans-serif", "font.size": 8}
    )


def _colors(count: int) -> list[str]:
    return [COLORS[number % len(COLORS)] for number in range(count)]


def _paper(panel: Panel) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(PER_COLUMN * panel.width, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(colors=INK, length=0, pad=5)
    return figure, axes


def _time_axis(axes: Axes, span: tuple[datetime, datetime]) -> None:
    begins, ends = (moment.timestamp() for moment in span)
    step = next((one for one in STEPS if (ends - begins) / one <= 5), STEPS[-1])
    at = np.arange(np.ceil(begins / step) * step, ends, step)
    written = "%H:%M:%S" if step < 60 else "%H:%M" if step < 43_200 else "%d.%m."
    axes.set_xlim(0, ends - begins)
    axes.set_xticks(at - begins, [f"{datetime.fromtimestamp(float(moment), UTC):{written}}" for moment in at])


def _svg(figure: Figure) -> str:
    paper = io.StringIO()
    figure.savefig(paper, format="svg", transparent=True, metadata=MUTE)
    return _SIZE.sub(r'\1 width="100%"\2', _HEAD.sub("", paper.getvalue()), count=1)
