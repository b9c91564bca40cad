"""The page that says what was measured: one HTML file with everything in it, for light and dark, paper and phones."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

import anypool as ap
from anypool import playground

from . import charts, pictures
from .charts import Aim, Palette, Spec
from .examples import Examples
from .files import write_whole
from .measures import MEASURES
from .models import parameters_without_pooling
from .poolings import operators_of
from .results import to_csv
from .runs import AS_GIVEN, FINE_TUNED, INVERTED, RECALIBRATED, SWAPPED, TRAINED, Failure, Run
from .shown import FOLDER, Shown
from .summary import Row, claims, summarise, verdicts
from .tables import Cell, Line, Table, measure_tables, percent, readable, savings, summary_table
from .tuning.outcome import read_settings
from .tuning.space import Choice
from .verdict import Card, cards, sentences

WINDOW = ap.Sliding(2)


@dataclass(frozen=True)
class Picture:
    """An image as the page needs it."""

    source: str
    caption: str
    shape: str


@dataclass(frozen=True)
class Chart:
    """A chart with what it is called, and how to read it."""

    title: str
    note: str
    spec: Spec


@dataclass(frozen=True)
class Group:
    """All that was measured on images of one polarity, in one stage."""

    title: str
    cards: list[Card]
    sentences: list[str]
    table: Table
    charts: list[Chart]


@dataclass(frozen=True)
class Strip:
    """Pairs of pictures of one pooling, in a row."""

    pool: str
    note: str
    pairs: list[tuple[Picture, Picture]]


@dataclass(frozen=True)
class Strips:
    """Those of all poolings on images of one polarity, in one stage."""

    title: str
    lines: list[Strip]


def write_report(
    folder: Path,
    settings: dict[str, Any],
    runs: Sequence[Run],
    failures: Sequence[Failure] = (),
    examples: Examples | None = None,
) -> Path:
    """Write report.html and results.csv on these runs; gives the path of the page.

    The examples are kept in examples.npz, and are those of that file where none are given. What runs left in the folder
    to be shown is shown.

    Raises:
        ValueError: there is no run to report on. OSError: a file cannot be written.
    """
    kept = folder / "examples.npz"
    shown = Shown.load_all(folder / FOLDER, [run.key for run in runs])
    page = render(settings, runs, examples or Examples.load(kept), failures, shown)
    if examples is not None:
        examples.save(kept)
    write_whole(folder / "results.csv", to_csv(runs).encode())
    write_whole(folder / "report.html", page.encode())
    return folder / "report.html"


def render(
    settings: dict[str, Any],
    runs: Sequence[Run],
    examples: Examples | None,
    failures: Sequence[Failure] = (),
    shown: Sequence[Shown] = (),
) -> str:
    """The report on these runs, made with these settings: a self-contained HTML page.

    Args:
        examples: images to show pooled, as they came; without them none are shown.
        shown: what some of the runs left to be shown.

    Raises:
        ValueError: there is no run to report on.
    """
    if not runs:
        raise ValueError("runs must hold at least one run, got none")
    rows = summarise(runs)
    palette = Palette(tuple(dict.fromkeys(row.pool for row in rows)))
    kinds = dict.fromkeys((row.polarity, row.stage) for row in rows)
    groups = [_group([row for row in rows if (row.polarity, row.stage) == kind], palette, settings) for kind in kinds]
    polarities = dict.fromkeys(row.polarity for row in rows)
    looks = [] if examples is None else [(name, _looks(examples, name, palette.names)) for name in polarities]
    return _page(
        "report.html.jinja",
        settings=settings,
        trained=rows[0].stage == TRAINED,
        groups=groups,
        claims=claims(rows, settings["background"], settings["test_images"]),
        looks=looks,
        maps=_strips(shown, _maps),
        flips=_strips(shown, _flips),
        playground=None
        if examples is None
        else playground.page(examples.images[0], name=f"an image of {settings['data']}"),
        tables=measure_tables(rows, palette),
        savings=savings(rows),
        unpooled=_unpooled(settings),
        failures=failures,
        polarities=len(polarities),
        runs=len(runs),
        environments=environments(runs),
    )


def write_search_report(folder: Path) -> Path:
    """Write report.html on the search whose tuning.json is in this directory; gives the path of the page.

    Raises:
        ValueError: there is none, it is damaged, or no trial came to its end. OSError: a file cannot be written.
    """
    if read_settings(folder) is None:
        raise ValueError(f"out must be a directory with a tuning.json, but there is none in {folder}")
    page = render_search(json.loads((folder / "tuning.json").read_bytes()))
    write_whole(folder / "report.html", page.encode())
    return folder / "report.html"


def render_search(content: Mapping[str, Any]) -> str:
    """The page on a search, from what its tuning.json holds.

    Raises:
        ValueError: no trial came to its end.
    """
    aims: dict[str, Aim] = {name: MEASURES[name].better or "higher" for name in content["settings"]["aims"]}
    points = [
        {"label": f"{trial['number']}: {', '.join(str(Choice(**one)) for one in trial['choices'])}", **trial["values"]}
        for trial in content["trials"]
        if trial["values"]
    ]
    if not points:
        raise ValueError("a search must have at least one trial that came to its end, to be shown")
    count = len(charts.front(points, aims))
    lead = f"{len(content['trials'])} trials, of which {len(points)} came to their end"
    lead += f". In {' and '.join(charts.heading(name) for name in aims)} together no other beats {count} of them."
    return render_front(f"Poolings searched on {content['settings']['data']}", lead, points, aims)


def render_front(title: str, lead: str, points: Sequence[Mapping[str, Any]], aims: Mapping[str, Aim]) -> str:
    """A page on the trials of a search: two aims against each other with the Pareto front, and a table.

    Args:
        title, lead: what the page is called, and its answer in a sentence or two.
        points: the trials, each with a `label` and a number for every aim.
        aims: names of measures, and which way is better: the first goes up, the second across.

    Raises:
        ValueError: there is no point or no aim, or a point lacks an aim.
    """
    if not points or not aims:
        raise ValueError(f"points and aims must hold at least one each, got {len(points)} and {len(aims)}")
    for point in points:
        missing = [name for name in ("label", *aims) if name not in point]
        if missing:
            raise ValueError(f"points must each have a label and all aims, but one lacks {', '.join(missing)}")
    lines = [Line(str(point["label"]), [_number(name, point[name]) for name in aims]) for point in points]
    table = Table("Trials", ["trial", *(charts.heading(name) for name in aims)], lines)
    note = "Trials in colour are the Pareto front: no other equals or beats them in every aim."
    front = Chart("The trials", note, charts.pareto(points, aims))
    return _page("front.html.jinja", title=title, lead=lead, front=front, trials=table)


def _number(name: str, value: float) -> Cell:
    return Cell(readable(value, charts.unit(name)), value)


def _page(name: str, **parts: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    inlined = {"style": _read("page.css"), "script": _read("page.js"), "library": charts.library()}
    return environment.get_template(name).render(**{key: Markup(text) for key, text in inlined.items()}, **parts)


def _read(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _playground(examples: Examples, data: str) -> str:
    return playground.page(examples.images[0], name=f"an image of {data}")


def environments(runs: Sequence[Run]) -> list[dict[str, str]]:
    """What the runs were made with: more than one where somebody continued elsewhere, or with other versions."""
    return [dict(items) for items in dict.fromkeys(tuple(run.environment.items()) for run in runs)]


def _unpooled(settings: dict[str, Any]) -> int | None:
    """The parameters of the course network without its poolings; None for another network."""
    if settings.get("model", "course") != "course":
        return None
    return parameters_without_pooling(settings["input_shape"], settings["classes"])


# ---------------------------------------------------------------------------------------------------------------------
# Groups


STAGES = {
    SWAPPED: ", poolings swapped and nothing else",
    RECALIBRATED: ", batch normalisation recalibrated",
    FINE_TUNED: ", fine-tuned",
}


def _title(polarity: str, stage: str) -> str:
    images = "Images as given" if polarity == AS_GIVEN else "Images inverted: dark and light swapped"
    return images + STAGES.get(stage, "")


def _group(rows: list[Row], palette: Palette, settings: dict[str, Any]) -> Group:
    images = settings["test_images"]
    stands = verdicts(rows, images)
    title = _title(rows[0].polarity, rows[0].stage)
    table = summary_table(title, rows, stands, palette, images)
    return Group(title, cards(rows, settings), sentences(rows, stands), table, _charts(rows, palette, images))


def _charts(rows: Sequence[Row], palette: Palette, images: int) -> list[Chart]:
    drawn = [
        ("Accuracy against consistency", "Up and to the right is better.", charts.trade_off(rows, palette, images)),
        ("Accuracy against cost", "Up and to the left is better.", charts.costs(rows, palette, images)),
        ("Any measure", "", charts.explorer(rows, palette)),
        ("Learning", "The mean of the seeds. Choose poolings in the legend.", charts.curves(rows, palette)),
    ]
    return [Chart(title, note, spec) for title, note, spec in drawn if spec is not None]


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def _looks(examples: Examples, polarity: str, pools: Sequence[str]) -> list[list[Picture]]:
    """Each example with its pooled versions, all on the scale of the images."""
    shown = examples.inverted() if polarity == INVERTED else examples
    panels = [pictures.pooled(image, operators_of(pools), WINDOW) for image in shown.images]
    return [[_picture(panel.image, panel.title, shown.range) for panel in line] for line in panels]


def _strips(shown: Sequence[Shown], pairs_of: Any) -> list[Strips]:
    groups: dict[str, list[Strip]] = {}
    for one in shown:
        strip = pairs_of(one)
        if strip.pairs:
            groups.setdefault(_title(one.key.polarity, one.key.stage), []).append(strip)
    return [Strips(title, lines) for title, lines in groups.items()]


def _maps(shown: Shown) -> Strip:
    pairs = []
    for channel in range(shown.before.shape[2]):
        before, after = shown.before[..., channel], shown.after[..., channel]
        scale = float(min(before.min(), after.min())), float(max(before.max(), after.max()))
        pairs.append((_picture(before, "before", scale), _picture(after, "after", scale)))
    sizes = [" × ".join(map(str, maps.shape[:2])) for maps in (shown.before, shown.after)]
    return Strip(shown.key.pool, " to ".join(sizes), pairs)


def _flips(shown: Shown) -> Strip:
    pairs = []
    for number in range(len(shown.still)):
        both = shown.still[number], shown.moved[number]
        scale = float(both[0].min()), float(both[0].max())
        told = zip(shown.classes[number], shown.confidence[number], strict=True)
        captions = [f"{label} ({confidence:.0%})" for label, confidence in told]
        pairs.append((_picture(both[0], captions[0], scale), _picture(both[1], captions[1], scale)))
    return Strip(shown.key.pool, "", pairs)


def _picture(image: np.ndarray, caption: str, scale: tuple[float, float]) -> Picture:
    shown = image[..., 0] if image.ndim == 3 and image.shape[2] not in (3, 4) else image
    encoded = base64.b64encode(pictures.png(Image.fromarray(pictures.to_pixels(shown, *scale)))).decode()
    return Picture(f"data:image/png;base64,{encoded}", caption, f"{image.shape[0]} × {image.shape[1]}")
