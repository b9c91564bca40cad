"""Where the command line prints: terminals of any width, streams of any encoding."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import IO, Any

import rich.box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

WIDTH_OF_FILES = 110
"""Of a table where there is no terminal."""

SHORTEST_TEXT = 24
"""A column of words is no narrower."""

PLAIN = {
    "×": "x", "→": "->", "−": "-", "·": "*", "±": "+/-", "…": "...", "—": "-", "⌊": "floor(", "⌋": ")", "⌈": "ceil(",
    "⌉": ")", "\N{NO-BREAK SPACE}": " ", "│": "|", "─": "-",
}  # fmt: skip
"""What stands for a character that an encoding lacks."""


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


codecs.register_error("anypool.plain", _plainly)


def accept_any_character(*streams: IO[str] | None) -> None:
    """Let streams whose encoding lacks a character print what stands for it, in place of raising."""
    for stream in streams:
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="anypool.plain")


def console() -> Console:
    """Where tables go: as wide as the terminal, and wide enough where there is none."""
    found = Console()
    return found if found.is_terminal else Console(width=WIDTH_OF_FILES)


def has_unicode(of: Console) -> bool:
    """Whether a console can show any character."""
    return of.encoding.startswith("utf")


def print_table(
    to: Console, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[str] = ()
) -> None:
    """Print a table; where the terminal is too narrow for it, each row as a list of what it has.

    A heading or cell may have several lines, parted by newlines. Columns with headings in `texts` hold words, which may
    be broken into lines; numbers never are.
    """
    table = Table(title=title or None, title_justify="left", box=rich.box.SIMPLE_HEAD, padding=(0, 1))
    for number, heading in enumerate(headings):
        words = heading in texts
        table.add_column(
            heading, justify="right" if number and not words else "left", no_wrap=not words, overflow="fold"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    whole = Measurement.get(to, to.options.update(max_width=10_000), table).maximum
    longest = (max(len(row[headings.index(text)]) for row in rows) for text in texts)
    if whole - sum(max(0, length - SHORTEST_TEXT) for length in longest) <= to.width:
        to.print(table)
        return
    if title:
        to.print(title, style="italic", highlight=False, markup=False)
    for row in rows:
        to.print(f"\n{row[0]}", style="bold", highlight=False, markup=False)
        for heading, cell in zip(headings[1:], row[1:], strict=True):
            if not cell:
                continue
            for name, line in _lines(heading, cell):
                to.print(f"  {name}{line}", soft_wrap=True, highlight=False, markup=False)
    to.print()


def _lines(heading: str, cell: str) -> list[tuple[str, str]]:
    """The lines of a cell, the first after its heading and the others below it."""
    name = " ".join(heading.split())
    first, *others = cell.split("\n")
    return [(f"{name}: " if name else "", first), *(("  ", line) for line in others)]
