"""Numbers of docs/results/ on the pages: a directive per kind of thing, and a role for a number within a sentence.

    {measured}`digits / as given / max / accuracy`

The first word is a folder of docs/results/, whose results.json `anypool compare` wrote, made compact.
"""

from __future__ import annotations

import json
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
    """The command that makes these results, from what they say of themselves."""
    settings, runs = results(name).settings, results(name).runs
    words = ["anypool compare", f"--data {settings['data']}"]
    words += ["--invert"] if any(key.polarity == "inverted" for key in runs) else []
    words.append(f"--pool {','.join(dict.fromkeys(key.pool for key in runs))}")
    words.append(f"--epochs {settings['epochs']} --seeds {1 + max(key.seed for key in runs)}")
    return " ".join(words)


def number(place: str) -> str:
    """The number at `results / polarity / pooling / measure`, with its spread."""
    from anypool.lab.measures import MEASURES
    from anypool.lab.tables import readable, with_spread

    name, polarity, pool, measure = (part.strip() for part in place.split(" / "))
    (row,) = (row for row in rows(name, polarity) if row.pool == pool)
    unit = MEASURES[measure].unit
    return with_spread(row.measures[measure]) if unit == "share" else readable(row.measures[measure].mean, unit)


def table(name: str, polarity: str, measures: list[str]) -> str:
    """A Markdown table: the accuracy with its uncertainty, and these measures."""
    from anypool.lab.measures import MEASURES
    from anypool.lab.summary import accuracy_interval, verdicts
    from anypool.lab.tables import percent, readable, with_spread

    mine, images = rows(name, polarity), results(name).settings["test_images"]
    headings = ["pooling", "test accuracy", "95 % interval", "against the highest"]
    headings += [MEASURES[measure].heading for measure in measures]
    lines = [headings, ["---"] * len(headings)]
    stands = verdicts(mine, images)
    for row, stand in sorted(zip(mine, stands, strict=True), key=lambda pair: -pair[0].accuracy.mean):
        low, high = accuracy_interval(row.accuracy, images)
        cells = [f"`{row.pool}`", with_spread(row.accuracy), f"{percent(low)} to {percent(high)}", str(stand)]
        for measure in measures:
            unit = MEASURES[measure].unit
            found = row.measures[measure]
            cells.append(with_spread(found) if unit == "share" else readable(found.mean, unit))
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
    """`{measured} digits`, with :polarity: and :show: table, claims, command or picture, and :measures: of a table."""

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
        return self.parse_text_to_nodes(claims(name) if show == "claims" else table(name, polarity, measures))


class Number(SphinxRole):
    """A number within a sentence."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.Text(number(self.text).replace(" ", "\N{NO-BREAK SPACE}"))], []


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
    app.add_role("measured", Number())
    app.connect("build-finished", write_reports)
    return {"version": "1", "parallel_read_safe": True}
