"""The page that says what was measured: one HTML file with everything in it, for light and dark, paper and phones."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
from PIL import Image

import anypool as ap

from . import charts, pictures
from .data import Dataset
from .models import parameters_without_pooling
from .poolings import operators_of
from .runs import AS_GIVEN, INVERTED, Run
from .summary import PerSeed, Row, best, chance_of_apart, claims, summarise, verdict

DIGITS_SHOWN = 3
WINDOW = ap.Sliding(2)


@dataclass(frozen=True)
class Picture:
    """A panel as the page needs it."""

    source: str
    caption: str
    shape: str


@dataclass(frozen=True)
class Group:
    """All that was measured on images of one polarity."""

    polarity: str
    rows: list[Row]
    leader: Row
    charts: dict[str, Any]
    pictures: list[list[Picture]]


def render(settings: dict[str, Any], runs: Sequence[Run], data: Dataset) -> str:
    """The report on these runs, made with these settings on `data` as it came: a self-contained HTML page.

    Raises:
        ValueError: there is no run to report on.
    """
    if not runs:
        raise ValueError("runs must hold at least one run, got none")
    rows = summarise(runs)
    polarities = [polarity for polarity in (AS_GIVEN, INVERTED) if any(row.polarity == polarity for row in rows)]
    colours = {name: number for number, name in enumerate(dict.fromkeys(row.pool for row in rows))}
    groups = [
        _group(polarity, rows, colours, data.inverted() if polarity == INVERTED else data) for polarity in polarities
    ]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "with_spread": _unbroken, "seconds": seconds}
    environment.globals["verdict"] = verdict
    template = environment.from_string(files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8"))
    seeds = max(row.seeds for row in rows)
    return template.render(
        settings=settings,
        groups=groups,
        claims=claims(rows, settings["background"]),
        colours=colours,
        layers=_layers(rows),
        unpooled=parameters_without_pooling(settings["input_shape"], settings["classes"]),
        seeds=seeds,
        chance=chance_of_apart(seeds) if seeds > 1 else None,
        runs=len(runs),
        environments=environments(runs),
    )


def environments(runs: Sequence[Run]) -> list[dict[str, str]]:
    """What the runs were made with: more than one where somebody continued elsewhere, or with other versions."""
    return [dict(items) for items in dict.fromkeys(tuple(run.environment.items()) for run in runs)]


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def with_spread(measure: PerSeed) -> str:
    """The mean and, for several seeds, the spread, in percent: 97.1 ± 0.4 %.

    >>> with_spread(PerSeed((0.97, 0.98)))
    '97.5 ± 0.7 %'
    """
    if measure.spread is None:
        return percent(measure.mean)
    return f"{100 * measure.mean:.1f} ± {100 * measure.spread:.1f} %"


def _unbroken(measure: PerSeed) -> str:
    return with_spread(measure).replace(" ", "\N{NO-BREAK SPACE}")


def seconds(measure: PerSeed | None) -> str:
    """Seconds per epoch with three significant digits, or a dash where none was measured."""
    return "—" if measure is None else f"{measure.mean:#.3g} s"


def _layers(rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """What pooling keeps, said once for all poolings that keep the same."""
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        geometry = tuple((layer.values_in, layer.values_out, layer.parameters_after) for layer in row.layers)
        alike.setdefault((row.parameters, geometry), []).append(row)
    return [(", ".join(dict.fromkeys(row.pool for row in same)), same[0]) for same in alike.values()]


def _group(polarity: str, rows: Sequence[Row], colours: dict[str, int], data: Dataset) -> Group:
    mine = [row for row in rows if row.polarity == polarity]
    return Group(polarity, mine, best(mine), _charts(mine, colours), _pictures(data, [row.pool for row in mine]))


def _charts(rows: Sequence[Row], colours: dict[str, int]) -> dict[str, Any]:
    def dots(name: str, unit: str) -> Any:
        series = [charts.Series(row.pool, colours[row.pool], (row.measures[name],)) for row in rows]
        return charts.dots(series, f"{name} by pooling", unit, percent=True)

    drawn = {"Test accuracy": dots("accuracy", "share of test images")}
    if len(rows[0].curve) > 1:
        learning = [charts.Series(row.pool, colours[row.pool], row.curve) for row in rows]
        drawn["Learning"] = charts.curves(learning, "test accuracy after each epoch", "epochs of training")
    drawn["Shift consistency"] = dots("consistency", "share of moves")
    drawn["Fidelity"] = dots("fidelity", "share of moves")
    seconds = [charts.Series(row.pool, colours[row.pool], (row.seconds,)) for row in rows if row.seconds]
    if seconds:
        drawn["Seconds per epoch"] = charts.dots(seconds, "seconds by pooling", "seconds, training alone")
    return drawn


def _pictures(data: Dataset, pool: Sequence[str]) -> list[list[Picture]]:
    """The first test images of a few classes, each with its pooled versions, all on the scale 0 to 1."""
    classes = np.unique(data.y_test)[:DIGITS_SHOWN]
    chosen = [data.x_test[np.flatnonzero(data.y_test == label)[0]] for label in classes]
    return [[_picture(panel) for panel in pictures.pooled(image, operators_of(pool), WINDOW)] for image in chosen]


def _picture(panel: pictures.Panel) -> Picture:
    image = panel.image
    channels = image.shape[2]
    shown = image if channels in (3, 4) else image[..., 0]
    picture = Image.fromarray(pictures.to_pixels(shown, 0.0, 1.0))
    encoded = base64.b64encode(pictures.png(picture)).decode()
    shape = f"{image.shape[0]} × {image.shape[1]}"
    return Picture(f"data:image/png;base64,{encoded}", panel.title, shape)
