"""The short answer in words: which pooling did best at what, and how sure one may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .measures import MEASURES
from .summary import Row, Verdict, accuracy_interval, best
from .tables import percent, readable, with_spread

NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Card:
    """A question, the pooling that answers it, and with what."""

    title: str
    pool: str
    text: str


def cards(rows: Sequence[Row], settings: dict[str, Any]) -> list[Card]:
    """The most accurate, the steadiest and the lightest pooling, of those that were measured."""
    leader = best(rows)
    low, high = accuracy_interval(leader.accuracy, settings["test_images"])
    interval = f"{_unbroken('95 %')} interval {_unbroken(percent(low))} to {_unbroken(percent(high))}"
    sure = f"{_unbroken(with_spread(leader.accuracy))} of the test images right; {interval}"
    found = [Card("Most accurate", leader.pool, sure)]
    for title, name, text in (
        ("Steadiest when images move", "consistency", f"of moves{_how_far(settings)} leave the class as it is"),
        ("Right before and after a move", "fidelity", "of moves begin and end with the right class"),
        ("Lightest to train", "saved_bytes", "bytes per image kept for backward"),
    ):
        measured = [row for row in rows if name in row.measures]
        if measured and len(rows) > 1:
            found.append(_card(title, name, text, measured))
    return found


def _card(title: str, name: str, text: str, rows: Sequence[Row]) -> Card:
    info = MEASURES[name]
    choose, other = (max, min) if info.better == "higher" else (min, max)
    leader, last = (pick(rows, key=lambda row: row.measures[name].mean) for pick in (choose, other))
    said, others = (_unbroken(readable(row.measures[name].mean, info.unit)) for row in (leader, last))
    end = f"; {'least' if info.better == 'higher' else 'most'}: {last.pool}, {others}" if leader is not last else ""
    return Card(title, leader.pool, f"{said} {text}{end}")


def _how_far(settings: dict[str, Any]) -> str:
    pixels, side = settings["max_shift"], min(settings["input_shape"][:2])
    return f" of up to {pixels} {'pixel' if pixels == 1 else 'pixels'} of {side}"


def sentences(rows: Sequence[Row], stands: Sequence[Verdict]) -> list[str]:
    """What the highest accuracy is worth: which poolings are lower for sure, and which may be as good.

    >>> from anypool.lab.summary import PerSeed
    >>> row = Row("as given", "trained", "max", {"accuracy": PerSeed((0.9,))}, (0,), (), None, 0, ())
    >>> sentences([row], [Verdict("highest")])[0].replace(NO_BREAK, " ")
    'Max pooling has the highest mean test accuracy, 90.0 %.'
    """
    leader = best(rows)
    highest = _unbroken(with_spread(leader.accuracy))
    first = f"{leader.pool.capitalize()} pooling has the highest mean test accuracy, {highest}"
    first += f", over {leader.seeds} seeds." if leader.seeds > 1 else "."
    named: dict[str, list[Row]] = {}
    for row, stand in zip(rows, stands, strict=True):
        named.setdefault(stand.kind, []).append(row)
    said = [first]
    if "lower" in named:
        said.append(f"Lower, beyond what seeds explain: {_listed(named['lower'])}.")
    if "noise" in named:
        said.append(f"The difference may be noise: {_listed(named['noise'])}.")
    if "one seed" in named:
        said.append(f"A single seed cannot say whether others are worse: {_listed(named['one seed'])}.")
    return said


def _listed(rows: Sequence[Row]) -> str:
    by_mean = sorted(rows, key=lambda row: -row.accuracy.mean)
    return ", ".join(f"{row.pool} ({_unbroken(percent(row.accuracy.mean))})" for row in by_mean)


def _unbroken(text: str) -> str:
    """A number with its unit and spread, which no line end may part."""
    return text.replace(" ", NO_BREAK)
