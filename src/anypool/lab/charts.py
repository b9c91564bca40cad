"""Charts as Vega-Lite specifications. Their colours are the page's variables, so one chart serves light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from .measures import MEASURES, Info
from .summary import PerSeed, Row, accuracy_interval

Spec = dict[str, Any]

HUES = 8
"""Colours of the page's palette; poolings beyond have them again, with another shape."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")
SHARE = ".1~%"
"""Percent, with a digit after the point where it says something."""

SHORT = "format(datum.value, abs(datum.value) < 1 ? '.2~g' : '.3~s')"
"""Numbers on an axis: 0.05, 2, 145k."""

CONFIG: Spec = {
    "font": "system-ui, -apple-system, 'Segoe UI', sans-serif",
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)", "gridColor": "var(--line)", "tickColor": "var(--line)", "labelFontSize": 12,
        "labelColor": "var(--soft)", "titleColor": "var(--soft)", "titleFontWeight": "normal", "titleFontSize": 12,
        "labelLimit": 130, "titlePadding": 8,
    },
    "legend": {
        "labelColor": "var(--ink)", "titleColor": "var(--soft)", "titleFontWeight": "normal", "orient": "bottom",
        "columns": 4, "labelLimit": 110, "symbolStrokeWidth": 2, "symbolOpacity": 1, "symbolFillColor": "var(--soft)",
        "titleLimit": 300, "tickCount": 3,
    },
    "text": {"color": "var(--ink)", "fontSize": 12},
    "rule": {"strokeCap": "round"},
}  # fmt: skip


@cache
def library() -> str:
    """The JavaScript that draws them: Vega, Vega-Lite and vega-embed, bundled by vl-convert without a network."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed"))


@dataclass(frozen=True)
class Palette:
    """A colour and a shape for every name, the same in all charts of a page."""

    names: tuple[str, ...]

    def colour(self, name: str) -> str:
        """The colour, as CSS says it."""
        return f"var(--p{self.names.index(name) % HUES})"

    def encodings(self, field: str, legend: Spec | None = None) -> Spec:
        """What makes a mark look like the name in this field."""
        colours = [self.colour(name) for name in self.names]
        shapes = [SHAPES[place // HUES % len(SHAPES)] for place in range(len(self.names))]
        kind = {"field": field, "type": "nominal", "legend": legend}
        return {
            "color": {**kind, "scale": {"domain": self.names, "range": colours}},
            "shape": {**kind, "scale": {"domain": self.names, "range": shapes}},
        }


def _chart(height: int, data: Iterable[Mapping[str, Any]], label: str, **parts: Any) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": label,
        "width": "container",
        "height": height,
        "data": {"values": list(data)},
        "config": CONFIG,
        **parts,
    }


def _quantity(field: str, title: str, axis: str | None = None, **more: Any) -> Spec:
    shown: Spec = {"title": title} if axis is None else {"title": title, "axis": {"format": axis, "tickCount": 5}}
    return {"field": field, "type": "quantitative", "scale": {"zero": False, "nice": True}, **shown, **more}


def _tip(field: str, title: str, form: str | None = None) -> Spec:
    return {"field": field, "title": title, "type": "quantitative", "format": form} if form else _name_tip(field, title)


def _name_tip(field: str, title: str) -> Spec:
    return {"field": field, "title": title, "type": "nominal"}


def _choice(name: str, title: str, options: Sequence[str]) -> Spec:
    """A list to choose from, above the chart."""
    bind = {"input": "select", "options": list(options), "name": f"{title} "}
    return {"name": name, "value": options[0], "bind": bind}


HOVER: Spec = {
    "name": "hover",
    "select": {"type": "point", "on": "pointerover", "clear": "pointerout", "fields": ["pool"]},
}
FADED: Spec = {"condition": {"param": "hover", "value": 1}, "value": 0.15}


# ---------------------------------------------------------------------------------------------------------------------
# Of a comparison


def trade_off(rows: Sequence[Row], palette: Palette, images: int, label_all: bool = False) -> Spec:
    """Accuracy against shift consistency, the size of a point being what is saved for backward, where it is known.

    Poolings in words are those on the Pareto front; with `label_all`, all, for a picture that does not answer.
    """
    data = [_standing(row, images) for row in rows if "consistency" in row.measures]
    leading = front(data, {"accuracy": "higher", "consistency": "higher"})
    for one in data:
        one["label"] = one["pool"] if label_all or one in leading else ""
    sized = all("saved" in one for one in data)
    size = {**_quantity("saved", "bytes saved for backward, per image"), "scale": {"range": [60, 500]}}
    tips = [_name_tip("pool", "pooling"), *_accuracy_tips(), _tip("consistency", "shift consistency", SHARE)]
    across = _quantity("accuracy", "test accuracy, with its 95 % interval", SHARE, scale=_around_seeds(rows))
    up = _quantity("consistency", "shift consistency", SHARE)
    looks = palette.encodings("pool")
    interval = {
        "mark": {"type": "rule", "strokeWidth": 2, "clip": True},
        "encoding": {"x": {**across, "field": "low"}, "x2": {"field": "high"}, "y": up, "color": looks["color"]}
        | {"opacity": {"condition": {"param": "hover", "value": 0.45}, "value": 0.1}},
    }
    point = {
        "mark": {"type": "point", "filled": True, "stroke": "var(--card)", "strokeWidth": 1},
        "params": [HOVER],
        "encoding": {"x": across, "y": up, "opacity": FADED, "tooltip": tips + _saved_tip(sized), **looks}
        | ({"size": size} if sized else {"size": {"value": 120}}),
    }
    label = {
        "mark": {"type": "text", "dy": -14},
        "encoding": {"x": across, "y": up, "text": {"field": "label"}},
    }
    return _chart(300, data, "test accuracy against shift consistency, by pooling", layer=[interval, point, label])


def _around_seeds(rows: Sequence[Row]) -> Spec:
    """A scale that all seeds are on, with some room; intervals may leave it."""
    values = [value for row in rows for value in row.accuracy.values]
    room = max(0.005, 0.08 * (max(values) - min(values)))
    return {"domain": [min(values) - room, min(1.0, max(values) + room)]}


def _standing(row: Row, images: int) -> dict[str, Any]:
    low, high = accuracy_interval(row.accuracy, images)
    known = {"pool": row.pool, "accuracy": row.accuracy.mean, "low": low, "high": high}
    for field, name in (("consistency", "consistency"), ("saved", "saved_bytes")):
        if name in row.measures:
            known[field] = row.measures[name].mean
    return known


def _accuracy_tips() -> list[Spec]:
    return [_tip("accuracy", "test accuracy", SHARE), _tip("low", "at least", SHARE), _tip("high", "at most", SHARE)]


def _saved_tip(sized: bool) -> list[Spec]:
    return [_tip("saved", "bytes saved", ",.0f")] if sized else []


def costs(rows: Sequence[Row], palette: Palette, images: int) -> Spec | None:
    """Accuracy against a cost that the reader chooses; None where there is none."""
    data = [
        {**_standing(row, images), "cost": title, "value": value}
        for row in rows
        for title, value in _costs_of(row).items()
    ]
    titles = list(dict.fromkeys(one["cost"] for one in data))
    if not titles:
        return None
    across = {**_quantity("value", "less is better"), "axis": {"labelExpr": SHORT, "tickCount": 5}}
    up = _quantity("accuracy", "test accuracy", SHARE, scale=_around_seeds(rows))
    looks = palette.encodings("pool")
    tips = [_name_tip("pool", "pooling"), *_accuracy_tips(), _name_tip("cost", "cost"), _tip("value", "is", ".4~g")]
    interval = {
        "mark": {"type": "rule", "strokeWidth": 2, "clip": True},
        "encoding": {"x": across, "y": {**up, "field": "low"}, "y2": {"field": "high"}, "color": looks["color"]}
        | {"opacity": {"condition": {"param": "hover", "value": 0.45}, "value": 0.1}},
    }
    point = {
        "mark": {"type": "point", "filled": True, "size": 120},
        "params": [HOVER],
        "encoding": {"x": across, "y": up, "opacity": FADED, "tooltip": tips, **looks},
    }
    return _chart(
        280, data, "test accuracy against cost, by pooling",
        params=[_choice("cost", "Cost", titles)],
        transform=[{"filter": "datum.cost == cost"}],
        layer=[interval, point],
    )  # fmt: skip


def _costs_of(row: Row) -> dict[str, float]:
    found = {
        info.heading: row.measures[name].mean
        for name, info in MEASURES.items()
        if info.of == "cost" and name in row.measures
    }
    return {"seconds per epoch": row.seconds.mean, **found} if row.seconds else found


def explorer(rows: Sequence[Row], palette: Palette) -> Spec:
    """One measure, which the reader chooses, by pooling: a dot per seed, a bar at the mean."""
    names = [name for name in MEASURES if any(name in row.measures for row in rows)]
    data = [
        {"pool": row.pool, "seed": seed, "measure": _with_unit(MEASURES[name]), "value": value}
        for name in names
        for row in rows
        if name in row.measures
        for seed, value in zip(row.seed_numbers, _shown(row.measures[name], MEASURES[name]), strict=True)
    ]
    by_pool = {
        "field": "pool",
        "type": "nominal",
        "title": None,
        "sort": {"op": "mean", "field": "value", "order": "descending"},
    }
    across = _quantity("value", "a dot is a seed, a bar the mean")
    looks = palette.encodings("pool")
    tips = [_name_tip("pool", "pooling"), _name_tip("seed", "seed"), _tip("value", "value", ".4~g")]
    dots = {
        "mark": {"type": "point", "filled": True, "size": 70},
        "params": [HOVER],
        "encoding": {"x": across, "y": by_pool, "tooltip": tips, **looks}
        | {"opacity": {"condition": {"param": "hover", "value": 0.5}, "value": 0.1}},
    }
    mean = {
        "mark": {"type": "tick", "thickness": 3, "bandSize": 18},
        "encoding": {"x": {**across, "aggregate": "mean"}, "y": by_pool, "color": looks["color"]}
        | {"tooltip": [_name_tip("pool", "pooling"), {"aggregate": "mean", **_tip("value", "mean", ".4~g")}]},
    }
    return _chart(
        max(140, 24 * len(rows)), data, "a measure by pooling",
        params=[_choice("measure", "Measure", [_with_unit(MEASURES[name]) for name in names])],
        transform=[{"filter": "datum.measure == measure"}],
        layer=[dots, mean],
    )  # fmt: skip


def _with_unit(info: Info) -> str:
    return (
        f"{info.heading}, %" if info.unit == "share" else f"{info.heading}, dB" if info.unit == "dB" else info.heading
    )


def _shown(measure: PerSeed, info: Info) -> list[float]:
    return [100 * value if info.unit == "share" else value for value in measure.values]


def curves(rows: Sequence[Row], palette: Palette) -> Spec | None:
    """Accuracy on the test images after each epoch, the mean of the seeds; None where there are no two epochs."""
    if min((len(row.curve) for row in rows), default=0) < 2:
        return None
    data = [
        {"pool": row.pool, "epoch": epoch, "accuracy": one.mean, "low": min(one.values), "high": max(one.values)}
        for row in rows
        for epoch, one in enumerate(row.curve, 1)
    ]
    epochs = max(len(row.curve) for row in rows)
    ticks = {"values": list(range(1, epochs + 1, max(1, epochs // 6))), "format": "d"}
    across = {
        "field": "epoch",
        "type": "quantitative",
        "title": "epochs of training",
        "axis": ticks,
        "scale": {"zero": False, "nice": False},
    }
    up = _quantity("accuracy", "test accuracy", SHARE)
    looks = palette.encodings("pool", {"title": None})
    tips = [
        _name_tip("pool", "pooling"), _name_tip("epoch", "epoch"), _tip("accuracy", "test accuracy", SHARE),
        _tip("low", "least seed", SHARE), _tip("high", "greatest seed", SHARE),
    ]  # fmt: skip
    picked = {**HOVER, "bind": "legend", "select": {"type": "point", "fields": ["pool"]}, "name": "picked"}
    shown = {"condition": {"param": "picked", "value": 1}, "value": 0.08}
    band = {
        "mark": {"type": "area"},
        "encoding": {"x": across, "y": {**up, "field": "low"}, "y2": {"field": "high"}, "color": looks["color"]}
        | {"opacity": {"condition": {"param": "picked", "value": 0.12, "empty": False}, "value": 0}},
    }
    line = {
        "mark": {"type": "line", "strokeWidth": 2.2},
        "params": [picked],
        "encoding": {"x": across, "y": up, "opacity": shown, "color": looks["color"]},
    }
    points = {
        "mark": {"type": "point", "filled": True, "size": 45},
        "encoding": {"x": across, "y": up, "opacity": shown, "tooltip": tips, **looks},
    }
    return _chart(300, data, "test accuracy after each epoch, by pooling", layer=[band, line, points])


# ---------------------------------------------------------------------------------------------------------------------
# Of a search

Aim = Literal["higher", "lower"]


def heading(name: str) -> str:
    """What a measure is called in words; another name is its own.

    >>> heading("consistency"), heading("energy")
    ('shift consistency', 'energy')
    """
    return MEASURES[name].heading if name in MEASURES else name


def unit(name: str) -> str:
    """The unit of a measure; another name has plain numbers."""
    return MEASURES[name].unit if name in MEASURES else "number"


def front(points: Sequence[dict[str, Any]], aims: Mapping[str, Aim]) -> list[dict[str, Any]]:
    """The points that no other equals or beats in every aim and beats in one: the Pareto front.

    >>> points = [{"a": 1, "ms": 3}, {"a": 2, "ms": 5}, {"a": 1, "ms": 4}]
    >>> front(points, {"a": "higher", "ms": "lower"})
    [{'a': 1, 'ms': 3}, {'a': 2, 'ms': 5}]
    """

    def worth(point: Mapping[str, Any]) -> list[float]:
        return [point[name] if aim == "higher" else -point[name] for name, aim in aims.items()]

    def is_beaten(point: Mapping[str, Any]) -> bool:
        mine = worth(point)
        others = (worth(other) for other in points)
        return any(theirs != mine and all(t >= m for t, m in zip(theirs, mine, strict=True)) for theirs in others)

    return [point for point in points if not is_beaten(point)]


def pareto(points: Sequence[Mapping[str, Any]], aims: Mapping[str, Aim]) -> Spec:
    """Two aims of a search against each other, every point a trial, those of the front joined and in colour.

    Args:
        points: each with its `label` and a number for every aim.
        aims: their names, as `MEASURES` has them or others, and which way is better; the first goes up, the second
            across, and all are in the tooltips.
    """
    titles = {name: heading(name) for name in aims}
    forms = {name: SHARE if unit(name) == "share" else ".4~g" for name in aims}
    data = [dict(point) for point in points]
    for one in data:
        one["on_front"] = False
    for one in front(data, aims):
        one["on_front"] = True
    vertical, across = (list(aims) * 2)[:2]
    encoding = {
        "x": _quantity(across, f"{titles[across]} ({aims[across]} is better)", forms[across]),
        "y": _quantity(vertical, f"{titles[vertical]} ({aims[vertical]} is better)", forms[vertical]),
    }
    tips = [_name_tip("label", "trial"), *(_tip(name, titles[name], forms[name]) for name in aims)]
    on_front = {"condition": {"test": "datum.on_front", "value": "var(--p0)"}, "value": "var(--soft)"}
    line = {
        "transform": [{"filter": "datum.on_front"}],
        "mark": {"type": "line", "strokeWidth": 1.5, "strokeDash": [4, 4], "color": "var(--p0)"},
        "encoding": {**encoding, "order": {"field": across}},
    }
    dots = {
        "mark": {"type": "point", "filled": True, "size": 90, "opacity": 0.85},
        "encoding": {**encoding, "color": on_front, "tooltip": tips},
    }
    return _chart(320, data, f"{titles[vertical]} against {titles[across]}", layer=[line, dots])
