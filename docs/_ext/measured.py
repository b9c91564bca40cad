"""Numbers of docs/results/ on the pages: a directive per kind of thing, and a role for a number within a sentence.

    {measured}`digits / as given / max / accuracy`   {difference}`digits / as given / max / min / accuracy`

The first word is a folder of docs/results/, whose results.json `anypool compare` wrote, made compact.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective, SphinxRole

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from anypool.lab.results import Results
    from anypool.lab.summary import Row

FOLDER = Path(__file__).parents[1] / "results"
NO_BREAK = "\N{NO-BREAK SPACE}"
COLOURS = ("#0b6fb8", "#c4560a", "#0a8464", "#a8457f", "#8a7a10", "#6a65d2", "#b34646", "#5f7b88")
"""Of the report's palette, as one picture has them that is shown on light and on dark."""


@cache
def results(name: str) -> Results:
    from anypool.lab.results import Results

    return Results.open(FOLDER / name / "results.json")


@cache
def rows(name: str, polarity: str) -> list[Row]:
    from anypool.lab.summary import summarise

    return [row for row in summarise(list(results(name).runs.values())) if row.polarity == polarity]


def command(name: str) -> str:
    """The command that makes these results, from what they say of themselves; one for each number of seeds."""
    settings, runs = results(name).settings, results(name).runs
    pools: dict[int, list[str]] = {}
    for pool in dict.fromkeys(key.pool for key in runs):
        pools.setdefault(1 + max(key.seed for key in runs if key.pool == pool), []).append(pool)
    inverted = "--invert " if any(key.polarity == "inverted" for key in runs) else ""
    start = f"anypool compare --data {settings['data']} {inverted}--epochs {settings['epochs']} --out {name}"
    return "\n".join(f"{start} --seeds {seeds} --pool {','.join(names)}" for seeds, names in pools.items())


def row_of(name: str, polarity: str, pool: str) -> Row:
    (row,) = (row for row in rows(name, polarity) if row.pool == pool)
    return row


def said(row: Row, measure: str) -> str:
    """A measure as a table says it, with its spread where it is a share; a dash where it is not known."""
    from anypool.lab.measures import MEASURES
    from anypool.lab.tables import UNKNOWN, readable, with_spread

    if measure not in row.measures:
        return UNKNOWN.text
    unit, info = MEASURES[measure].unit, MEASURES[measure]
    found = row.measures[measure]
    return with_spread(found) if unit == "share" and info.of == "network" else readable(found.mean, unit)


def number(place: str) -> str:
    """The number at `results / polarity / pooling / measure`, with its spread."""
    name, polarity, pool, measure = (part.strip() for part in place.split(" / "))
    return said(row_of(name, polarity, pool), measure)


def difference(place: str) -> str:
    """How much more of a measure one pooling has than another: `results / polarity / one / other / measure`."""
    from anypool.lab.summary import paired_p

    name, polarity, one, other, measure = (part.strip() for part in place.split(" / "))
    pair = row_of(name, polarity, one), row_of(name, polarity, other)
    points = 100 * (pair[0].measures[measure].mean - pair[1].measures[measure].mean)
    p = paired_p(*pair, results(name).settings["test_images"], measure)
    return f"{points:+.1f} points" + (f" (p = {p:.2g})" if p is not None else "")


def table(name: str, polarity: str, measures: list[str]) -> str:
    """A Markdown table: the accuracy with its uncertainty, and these measures.

    The highest is that of the poolings with most seeds.
    """
    from anypool.lab.measures import MEASURES
    from anypool.lab.summary import accuracy_interval, verdicts
    from anypool.lab.tables import percent, with_spread

    mine, images = rows(name, polarity), results(name).settings["test_images"]
    headings = ["pooling", "test accuracy", "95 % interval", "against the highest"]
    headings += [MEASURES[measure].heading for measure in measures]
    lines = [headings, ["---"] * len(headings)]
    repeated = [row for row in mine if row.seeds == max(row.seeds for row in mine)]
    stands = {row.pool: str(stand) for row, stand in zip(repeated, verdicts(repeated, images), strict=True)}
    for row in sorted(mine, key=lambda row: -row.accuracy.mean):
        low, high = accuracy_interval(row.accuracy, images)
        stand = stands.get(row.pool, "fewer seeds")
        cells = [f"`{row.pool}`", with_spread(row.accuracy), f"{100 * low:.1f} to {percent(high)}", stand]
        lines.append([*cells, *(said(row, measure) for measure in measures)])
    return _lines(lines)


def measure_table(name: str, polarity: str, measures: list[str]) -> str:
    """A Markdown table of these measures alone, of the poolings that have them."""
    from anypool.lab.measures import MEASURES

    headings = ["pooling", *(MEASURES[measure].heading for measure in measures)]
    lines = [headings, ["---"] * len(headings)]
    for row in rows(name, polarity):
        if any(measure in row.measures for measure in measures):
            lines.append([f"`{row.pool}`", *(said(row, measure) for measure in measures)])
    return _lines(lines)


def _lines(lines: list[list[str]]) -> str:
    """A Markdown table of a heading and its rows, whose cells no line end may part."""
    first, *others = lines
    unbroken = [[cell.replace(" ", NO_BREAK) for cell in line] for line in others]
    return "\n".join(f"| {' | '.join(line)} |" for line in (first, *unbroken))


def claims(name: str) -> str:
    """Max beside min on every background, as sentences of a Markdown list."""
    from anypool.lab.summary import SIGNIFICANT, claims, summarise

    settings = results(name).settings
    found = claims(summarise(list(results(name).runs.values())), settings["background"], settings["test_images"])
    lines = []
    for claim in found:
        sure = "beyond what seeds explain" if claim.p is not None and claim.p < SIGNIFICANT else "which may be noise"
        points = f"{abs(100 * claim.difference):.1f} points"
        said = f"{claim.higher} is higher by {points}, {sure} (p = {claim.p:.2g})"
        lines.append(f"- {claim.background} background, where {claim.expected} should be better: {said}")
    return "\n".join(lines)


def picture(name: str, polarity: str) -> str:
    """Accuracy against consistency, drawn: an SVG."""
    import vl_convert

    from anypool.lab import charts

    mine = rows(name, polarity)
    palette = charts.Palette(tuple(row.pool for row in mine))
    spec = charts.trade_off(mine, palette, results(name).settings["test_images"], label_all=True) | {"width": 620}
    text = json.dumps(spec)
    colours = {f"var(--p{place})": colour for place, colour in enumerate(COLOURS)}
    colours |= {"var(--line)": "#8884", "var(--soft)": "#808590", "var(--ink)": "#808590", "var(--card)": "none"}
    for variable, colour in colours.items():
        text = text.replace(variable, colour)
    return str(vl_convert.vegalite_to_svg(text))


class Measured(SphinxDirective):
    """`{measured} digits`, with :polarity: and :show: table, measures, claims, command or picture.

    Of tables :measures: says which.
    """

    required_arguments = 1
    option_spec: ClassVar = {
        "polarity": directives.unchanged,
        "show": directives.unchanged,
        "measures": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        name, polarity = self.arguments[0], self.options.get("polarity", "as given")
        self.env.note_dependency(str(FOLDER / name / "results.json"))
        show = self.options.get("show", "table")
        if show == "picture":
            return [nodes.raw("", f'<div class="measured">{picture(name, polarity)}</div>', format="html")]
        if show == "command":
            return [nodes.literal_block(command(name), command(name), language="sh")]
        measures = self.options.get("measures", "consistency,fidelity,saved_bytes").split(",")
        made = {
            "claims": lambda: claims(name),
            "measures": lambda: measure_table(name, polarity, measures),
            "table": lambda: table(name, polarity, measures),
        }
        return self.parse_text_to_nodes(made[show]())


class Said(SphinxRole):
    """A number within a sentence, made by a function of where it is."""

    def __init__(self, make: Callable[[str], str]) -> None:
        super().__init__()
        self.make = make

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.Text(self.make(self.text).replace(" ", NO_BREAK))], []


def write_reports(app: Sphinx, exception: Exception | None) -> None:
    """The whole report of each, beside the pages."""
    if exception is not None or app.builder.format != "html":
        return
    from anypool.lab.report import render

    for path in sorted(FOLDER.glob("*/results.json")):
        found = results(path.parent.name)
        target = Path(app.outdir) / "reports" / f"{path.parent.name}.html"
        target.parent.mkdir(exist_ok=True)
        target.write_text(render(found.settings, list(found.runs.values()), None), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("measured", Measured)
    app.add_role("measured", Said(number))
    app.add_role("difference", Said(difference))
    app.connect("build-finished", write_reports)
    return {"version": "1", "parallel_read_safe": True}
