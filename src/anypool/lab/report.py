"""The page that says what was measured: one HTML file with everything in it, for light and dark, paper and phones."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

import anypool as ap

from . import charts, pictures
from .examples import Examples
from .files import write_whole
from .measures import MEASURES
from .models import parameters_without_pooling
from .poolings import operators_of
from .results import to_csv
from .runs import INVERTED, Failure, Run
from .summary import PerSeed, Row, Verdict, accuracy_interval, best, claims, summarise, verdicts

WINDOW = ap.Sliding(2)


@dataclass(frozen=True)
class Picture:
    """A panel as the page needs it."""

    source: str
    caption: str
    shape: str


@dataclass(frozen=True)
class Group:
    """All that was measured on images of one polarity, in one stage."""

    polarity: str
    stage: str
    rows: list[tuple[Row, Verdict, tuple[float, float]]]
    """Each with how it stands to the highest, and its accuracy's interval."""
    leader: Row
    charts: dict[str, Any]


def write_report(
    folder: Path,
    settings: dict[str, Any],
    runs: Sequence[Run],
    failures: Sequence[Failure] = (),
    examples: Examples | None = None,
) -> Path:
    """Write report.html and results.csv on these runs; gives the path of the page.

    The examples are kept in examples.npz, and are those of that file where none are given.

    Raises:
        ValueError: there is no run to report on. OSError: a file cannot be written.
    """
    kept = folder / "examples.npz"
    page = render(settings, runs, examples or Examples.load(kept), failures)
    if examples is not None:
        examples.save(kept)
    write_whole(folder / "results.csv", to_csv(runs).encode())
    write_whole(folder / "report.html", page.encode())
    return folder / "report.html"


def render(
    settings: dict[str, Any], runs: Sequence[Run], examples: Examples | None, failures: Sequence[Failure] = ()
) -> str:
    """The report on these runs, made with these settings: a self-contained HTML page.

    Args:
        examples: images to show pooled, as they came; without them none are shown.

    Raises:
        ValueError: there is no run to report on.
    """
    if not runs:
        raise ValueError("runs must hold at least one run, got none")
    rows = summarise(runs)
    colours = {name: number for number, name in enumerate(dict.fromkeys(row.pool for row in rows))}
    kinds = dict.fromkeys((row.polarity, row.stage) for row in rows)
    groups = [_group([row for row in rows if (row.polarity, row.stage) == kind], colours, settings) for kind in kinds]
    polarities = dict.fromkeys(row.polarity for row in rows)
    looks = [] if examples is None else [(name, _looks(examples, name, list(colours))) for name in polarities]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "with_spread": _unbroken, "seconds": seconds}
    template = environment.from_string(files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        settings=settings,
        groups=groups,
        claims=claims(rows, settings["background"], settings["test_images"]),
        colours=colours,
        layers=_layers(rows),
        looks=looks,
        operators=_table(rows, "operator"),
        network=_table(rows, "network"),
        costs=_table(rows, "cost"),
        unpooled=_unpooled(settings),
        failures=failures,
        polarities=len(polarities),
        seeds=max(row.seeds for row in rows),
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
    for row in (row for row in rows if row.layers):
        geometry = tuple((layer.values_in, layer.values_out, layer.parameters_after) for layer in row.layers)
        alike.setdefault((row.parameters, geometry), []).append(row)
    return [(", ".join(dict.fromkeys(row.pool for row in same)), same[0]) for same in alike.values()]


def _unpooled(settings: dict[str, Any]) -> int | None:
    """The parameters of the course network without its poolings; None for another network."""
    if settings.get("model", "course") != "course":
        return None
    return parameters_without_pooling(settings["input_shape"], settings["classes"])


def _group(rows: list[Row], colours: dict[str, int], settings: dict[str, Any]) -> Group:
    stands = verdicts(rows, settings["test_images"])
    intervals = [accuracy_interval(row.accuracy, settings["test_images"]) for row in rows]
    told = list(zip(rows, stands, intervals, strict=True))
    return Group(rows[0].polarity, rows[0].stage, told, best(rows), _charts(rows, colours))


@dataclass(frozen=True)
class Table:
    """Measures of one sort: their headings, and for every row its names and cells."""

    headings: list[str]
    rows: list[tuple[str, list[str]]]


def _table(rows: Sequence[Row], of: str) -> Table | None:
    """The measures of this sort that some row has; what an operator does is said once for each polarity."""
    names = [name for name, info in MEASURES.items() if info.of == of and any(name in row.measures for row in rows)]
    if not names:
        return None
    several = len({(row.polarity, row.stage) for row in rows}) > 1
    lines: dict[str, list[str]] = {}
    for row in rows:
        what = f"{row.pool}, {row.polarity}" if of == "operator" else f"{row.pool}, {row.polarity}, {row.stage}"
        cells = [
            readable(row.measures[name].mean, MEASURES[name].unit) if name in row.measures else "—" for name in names
        ]
        if any(cell != "—" for cell in cells):
            lines.setdefault(what if several else row.pool, cells)
    return Table([MEASURES[name].heading for name in names], list(lines.items()))


def readable(value: float, unit: str) -> str:
    """A measure's mean as a table says it.

    >>> readable(0.1234, "share"), readable(12.345, "dB"), readable(1234567.0, "count"), readable(0.0123, "ms")
    ('12.3 %', '12.3 dB', '1,234,567', '0.0123')
    """
    if unit == "share":
        return percent(value)
    if unit == "dB":
        return f"{value:.1f} dB"
    return f"{value:,.0f}" if unit in ("count", "bytes") else f"{value:.3g}"


def _charts(rows: Sequence[Row], colours: dict[str, int]) -> dict[str, Any]:
    def dots(name: str, unit: str) -> Any:
        series = [charts.Series(row.pool, colours[row.pool], (row.measures[name],)) for row in rows]
        return charts.dots(series, f"{name} by pooling", unit, percent=True)

    drawn = {"Test accuracy": dots("accuracy", "share of test images")}
    if min(len(row.curve) for row in rows) > 1:
        learning = [charts.Series(row.pool, colours[row.pool], row.curve) for row in rows]
        drawn["Learning"] = charts.curves(learning, "test accuracy after each epoch", "epochs of training")
    drawn |= {
        MEASURES[name].heading.capitalize(): dots(name, "share of moves")
        for name in ("consistency", "fidelity")
        if all(name in row.measures for row in rows)
    }
    seconds = [charts.Series(row.pool, colours[row.pool], (row.seconds,)) for row in rows if row.seconds]
    if seconds:
        drawn["Seconds per epoch"] = charts.dots(seconds, "seconds by pooling", "seconds, training alone")
    return drawn


def _looks(examples: Examples, polarity: str, pool: Sequence[str]) -> list[list[Picture]]:
    """Each example with its pooled versions, all on the scale of the images."""
    shown = examples.inverted() if polarity == INVERTED else examples
    panels = [pictures.pooled(image, operators_of(pool), WINDOW) for image in shown.images]
    return [[_picture(panel, shown.range) for panel in line] for line in panels]


def _picture(panel: pictures.Panel, scale: tuple[float, float]) -> Picture:
    image = panel.image
    channels = image.shape[2]
    shown = image if channels in (3, 4) else image[..., 0]
    picture = Image.fromarray(pictures.to_pixels(shown, *scale))
    encoded = base64.b64encode(pictures.png(picture)).decode()
    shape = f"{image.shape[0]} × {image.shape[1]}"
    return Picture(f"data:image/png;base64,{encoded}", panel.title, shape)
