"""What was measured as tables of words, each cell with the number that it sorts by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .charts import HUES, Palette
from .measures import MEASURES
from .summary import PerSeed, Row, Verdict, accuracy_interval


@dataclass(frozen=True)
class Cell:
    """What a table says, and what it sorts by; nothing where it is not known."""

    text: str
    value: float | str = ""


UNKNOWN = Cell("—")


@dataclass(frozen=True)
class Line:
    """A row of a table: its name, the colour that it has in charts, and its cells."""

    name: str
    cells: list[Cell]
    colour: str | None = None
    again: bool = False
    """Whether an earlier one has this colour, so that its mark has another shape."""


@dataclass(frozen=True)
class Table:
    """A table with a heading per column; the first is of the names."""

    title: str
    headings: list[str]
    rows: list[Line]


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage.

    >>> percent(0.1234)
    '12.3 %'
    """
    return f"{100 * value:.{digits}f} %"


def with_spread(measure: PerSeed) -> str:
    """The mean and, for several seeds, the spread, in percent: 97.1 ± 0.4 %.

    >>> with_spread(PerSeed((0.97, 0.98)))
    '97.5 ± 0.7 %'
    """
    if measure.spread is None:
        return percent(measure.mean)
    return f"{100 * measure.mean:.1f} ± {100 * measure.spread:.1f} %"


def seconds(measure: PerSeed | None) -> str:
    """Seconds per epoch with three significant digits, or a dash where none was measured."""
    return UNKNOWN.text if measure is None else f"{measure.mean:#.3g} s"


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


def summary_table(title: str, rows: Sequence[Row], stands: Sequence[Verdict], palette: Palette, images: int) -> Table:
    """Accuracy with its uncertainty, what moves do, and what it costs, by pooling."""
    headings = ["pooling", "test accuracy", "95 % interval", "against the highest", "shift consistency", "fidelity"]
    costs = [name for name in ("saved_bytes",) if any(name in row.measures for row in rows)]
    timed = any(row.seconds for row in rows)
    headings += [MEASURES[name].heading for name in costs] + ["seconds per epoch"] * timed + ["seeds"]
    lines = []
    for row, stand in zip(rows, stands, strict=True):
        low, high = accuracy_interval(row.accuracy, images)
        cells = [
            Cell(with_spread(row.accuracy), row.accuracy.mean),
            Cell(f"{100 * low:.1f} to {percent(high)}", low),
            Cell(str(stand), -1.0 if stand.p is None else stand.p),
            *(_spread_cell(row, name) for name in ("consistency", "fidelity")),
            *(_cell(row, name) for name in costs),
        ]
        cells += [Cell(seconds(row.seconds), row.seconds.mean) if row.seconds else UNKNOWN] * timed
        lines.append(_line(row.pool, [*cells, Cell(str(row.seeds), row.seeds)], palette))
    return Table(title, headings, lines)


def _spread_cell(row: Row, name: str) -> Cell:
    return Cell(with_spread(row.measures[name]), row.measures[name].mean) if name in row.measures else UNKNOWN


def _cell(row: Row, name: str) -> Cell:
    if name not in row.measures:
        return UNKNOWN
    mean = row.measures[name].mean
    return Cell(readable(mean, MEASURES[name].unit), mean)


def _line(name: str, cells: list[Cell], palette: Palette, pool: str | None = None) -> Line:
    colour, place = palette.colour(pool or name), palette.names.index(pool or name)
    return Line(name, cells, colour, place >= HUES)


KINDS = {
    "network": "What moves do to predictions",
    "cost": "What it costs",
    "operator": "What each pooling does to images, without a network",
}
"""The sorts of measures, as `MEASURES` has them, and what their tables are called."""


def measure_tables(rows: Sequence[Row], palette: Palette) -> list[Table]:
    """All measures that some row has, a table for each of their sorts."""
    tables = (_measures(title, rows, of, palette) for of, title in KINDS.items())
    return [table for table in tables if table.rows]


def _measures(title: str, rows: Sequence[Row], of: str, palette: Palette) -> Table:
    """What an operator does is said once for each polarity, whatever the stage."""
    names = [name for name, info in MEASURES.items() if info.of == of and any(name in row.measures for row in rows)]
    several = len({(row.polarity, row.stage) for row in rows}) > 1
    lines: dict[str, Line] = {}
    for row in rows:
        what = f"{row.pool}, {row.polarity}" if of == "operator" else f"{row.pool}, {row.polarity}, {row.stage}"
        cells = [_cell(row, name) for name in names]
        if any(cell != UNKNOWN for cell in cells):
            name = what if several else row.pool
            lines.setdefault(name, _line(name, cells, palette, row.pool))
    return Table(title, ["pooling", *(MEASURES[name].heading for name in names)], list(lines.values()))


@dataclass(frozen=True)
class Savings:
    """What the pooling layers save in a network, and the poolings of which that is true."""

    names: str
    parameters: int
    table: Table


def savings(rows: Sequence[Row]) -> list[Savings]:
    """What pooling saves, said once for all poolings that save the same."""
    alike: dict[tuple[object, ...], list[Row]] = {}
    for row in (row for row in rows if row.layers):
        geometry = tuple((layer.values_in, layer.values_out, layer.parameters_after) for layer in row.layers)
        alike.setdefault((row.parameters, geometry), []).append(row)
    return [_savings(same) for same in alike.values()]


def _savings(same: Sequence[Row]) -> Savings:
    names = ", ".join(dict.fromkeys(row.pool for row in same))
    lines = []
    for number, layer in enumerate(same[0].layers, 1):
        share = layer.values_out / layer.values_in
        counts = [Cell(f"{count:,}", count) for count in (layer.values_in, layer.values_out)]
        after = Cell(f"{layer.parameters_after:,}", layer.parameters_after)
        lines.append(Line(str(number), [*counts, Cell(percent(share), share), after]))
    headings = ["pooling layer", "values per image in", "out", "kept", "parameters after it"]
    return Savings(names, same[0].parameters, Table(f"What pooling saves, {names}", headings, lines))
