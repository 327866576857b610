"""The dashboard as Grafana reads it, built with its own SDK. Imported late: loading that takes a while."""

import json
from collections.abc import Callable
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    gauge,
    heatmap,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as choices
from grafana_foundation_sdk.models import dashboard as parts
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from mooring.observe.monitoring.panels import VARIABLES, Kind, Panel, Row

SOURCE = parts.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
Builder = Any  # each of the SDK's panels has a class of its own, with the same methods


def dashboard_json(rows: list[Row], *, title: str, uid: str) -> str:
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["mooring"])
        .timezone("browser")
        .refresh("30s")
        .time("now-1h", "now")
        .timepicker(_ranges())
        .tooltip(parts.DashboardCursorSync.CROSSHAIR)
        .link(_range_link("1 h", "now-1h"))
        .link(_range_link("6 h", "now-6h"))
        .link(_range_link("24 h", "now-24h"))
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for name, (metric, label) in VARIABLES.items():
        board.with_variable(_variable(name, metric, label))
    number = 0
    for row in rows:
        board.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            number += 1
            board.with_panel(_panel(panel).id(number))
    tree = json.loads(json.dumps(board.build(), cls=JSONEncoder))
    return json.dumps(tree, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _ranges() -> dashboard.TimePicker:
    return dashboard.TimePicker().refresh_intervals(["10s", "30s", "1m", "5m"]).time_options(["1h", "6h", "24h"])


def _range_link(title: str, begins: str) -> dashboard.DashboardLink:
    """Grafana's own picker keeps its list to itself: the three ranges are one click away all the same."""
    link = dashboard.DashboardLink(title).type(parts.DashboardLinkType.LINK).url(f"?from={begins}&to=now")
    return link.include_vars(True).keep_time(False)


def _variable(name: str, metric: str, label: str) -> dashboard.QueryVariable:
    question: dict[str, object] = {"query": f"label_values({metric}, {label})", "refId": name}
    return (
        dashboard.QueryVariable(name)
        .label(name.title())
        .datasource(SOURCE)
        .query(question)
        .refresh(parts.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(parts.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(parts.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _panel(panel: Panel) -> Builder:
    built = MAKES[panel.kind]().title(panel.title).description(panel.about).datasource(SOURCE)
    built.height(HEIGHT).span(panel.width).unit(panel.unit).thresholds(_thresholds(panel))
    if panel.decimals is not None:
        built.decimals(panel.decimals)
    if panel.most is not None:
        built.max(panel.most)
    if panel.kind != "heatmap":
        built.min(0)
    for place, query in enumerate(panel.queries):
        asked = prometheus.Dataquery().expr(query.expression).legend_format(query.legend or "__auto")
        asked.ref_id(chr(ord("A") + place)).datasource(SOURCE)
        asked.format(PromQueryFormat.TABLE if panel.kind == "table" else PromQueryFormat.TIME_SERIES)
        built.with_target(asked.instant() if panel.is_instant else asked.range())
    return built


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    found = [(panel.warning, "orange"), (panel.critical, "red")]
    steps = [parts.Threshold(None, "green")]
    steps += [parts.Threshold(value, color) for value, color in found if value is not None]
    if panel.less_is_worse:
        least = panel.warning or 0
        steps = [parts.Threshold(None, "red"), parts.Threshold(least / 2, "orange"), parts.Threshold(least, "green")]
    return dashboard.ThresholdsConfig().mode(parts.ThresholdsMode.ABSOLUTE).steps(steps)


def _lines() -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(choices.LegendDisplayMode.LIST).show_legend(True)
    legend.placement(choices.LegendPlacement.BOTTOM)
    return (
        timeseries.Panel()
        .line_width(2)
        .fill_opacity(12)
        .gradient_mode(choices.GraphGradientMode.OPACITY)
        .show_points(choices.VisibilityMode.NEVER)
        .legend(legend)
        .tooltip(common.VizTooltipOptions().mode(choices.TooltipDisplayMode.MULTI))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(choices.GraphTresholdsStyleMode.DASHED))
    )


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _number() -> stat.Panel:
    return stat.Panel().reduce_options(_last()).graph_mode(choices.BigValueGraphMode.AREA)


def _dial() -> gauge.Panel:
    return gauge.Panel().reduce_options(_last()).show_threshold_markers(True)


def _bars() -> bargauge.Panel:
    bars = bargauge.Panel().reduce_options(_last()).orientation(choices.VizOrientation.HORIZONTAL)
    return bars.display_mode(choices.BarGaugeDisplayMode.GRADIENT)


def _table() -> table.Panel:
    """Without the moment of the query, which is the same in each row; the largest first."""
    hidden = parts.DataTransformerConfig("organize", options={"excludeByName": {"Time": True}})
    return (
        table.Panel()
        .with_transformation(hidden)
        .sort_by([common.TableSortByFieldState().display_name("Value").desc(True)])
    )


def _heat() -> heatmap.Panel:
    return heatmap.Panel().calculate(False).show_value(choices.VisibilityMode.NEVER)


MAKES: dict[Kind, Callable[[], Builder]] = {
    "timeseries": _lines,
    "stat": _number,
    "gauge": _dial,
    "bars": _bars,
    "table": _table,
    "heatmap": _heat,
}
