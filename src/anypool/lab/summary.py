"""What the runs say together: means, spreads over the seeds, and whether a difference exceeds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import mean, median, stdev

from .compare import AS_GIVEN, INVERTED, Run
from .metrics import PoolingLayer


@dataclass(frozen=True)
class Measure:
    """One number per seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def spread(self) -> float | None:
        """The sample standard deviation over the seeds; None for a single one."""
        return stdev(self.values) if len(self.values) > 1 else None

    def apart_from(self, other: Measure) -> bool | None:
        """Whether all of one lie above all of the other; None where a side has a single seed, which has no spread.

        >>> Measure((0.97, 0.98)).apart_from(Measure((0.95, 0.96)))
        True
        >>> Measure((0.97, 0.98)).apart_from(Measure((0.95, 0.97)))
        False
        """
        if min(len(self.values), len(other.values)) < 2:
            return None
        return min(self.values) > max(other.values) or min(other.values) > max(self.values)


@dataclass(frozen=True)
class Row:
    """One pooling on images of one polarity, over the seeds."""

    polarity: str
    pool: str
    accuracy: Measure
    consistency: Measure
    fidelity: Measure
    curve: tuple[Measure, ...]
    seconds: Measure | None
    """Of an epoch, for each seed the median over the epochs after the first; None where there was only one epoch."""
    parameters: int
    layers: tuple[PoolingLayer, ...]

    @property
    def seeds(self) -> int:
        return len(self.accuracy.values)


def summarise(runs: Sequence[Run]) -> list[Row]:
    """A row for every polarity and pooling, in the order in which they first occur, images as given first."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.polarity != AS_GIVEN):
        groups.setdefault((run.polarity, run.pool), []).append(run)
    return [_row(group) for group in groups.values()]


def _row(runs: list[Run]) -> Row:
    def measure(name: str) -> Measure:
        return Measure(tuple(getattr(run, name) for run in runs))

    seconds = tuple(median(run.epoch_seconds[1:]) for run in runs if len(run.epoch_seconds) > 1)
    first = runs[0]
    return Row(
        polarity=first.polarity,
        pool=first.pool,
        accuracy=measure("accuracy"),
        consistency=measure("consistency"),
        fidelity=measure("fidelity"),
        curve=tuple(Measure(epoch) for epoch in zip(*(run.curve for run in runs), strict=True)),
        seconds=Measure(seconds) if seconds else None,
        parameters=first.parameters,
        layers=tuple(first.layers),
    )


def best(rows: Sequence[Row]) -> Row:
    """The row with the highest mean accuracy; the first of several."""
    return max(rows, key=lambda row: row.accuracy.mean)


def chance_of_apart(seeds: int) -> float:
    """How often two equal poolings would come out apart: 2 of the C(2n, n) ways to order n and n values.

    >>> chance_of_apart(3)
    0.1
    """
    return 2 / comb(2 * seeds, seeds)


def verdict(row: Row, leader: Row) -> str:
    """How a row's accuracy stands to the highest: `highest`, `apart`, `within the spread`, or `one seed`."""
    if row is leader:
        return "highest"
    apart = row.accuracy.apart_from(leader.accuracy)
    return "one seed" if apart is None else "apart" if apart else "within the spread"


@dataclass(frozen=True)
class Claim:
    """Max beside min on one background: what the course texts expect, and what was measured."""

    polarity: str
    background: str
    """`dark` or `light`."""
    expected: str
    """`max` or `min`."""
    difference: float
    """Mean accuracy of max less that of min."""
    apart: bool | None

    @property
    def higher(self) -> str:
        return "max" if self.difference > 0 else "min" if self.difference < 0 else "neither"


def claims(rows: Sequence[Row], background: float) -> list[Claim]:
    """What was measured of "max suits dark backgrounds, min light ones", for each polarity where both were trained.

    `background` is that of the images as given, 0 to 1; under one half is dark.
    """
    found = []
    for polarity, level in ((AS_GIVEN, background), (INVERTED, 1 - background)):
        by_pool = {row.pool: row for row in rows if row.polarity == polarity}
        if not {"max", "min"} <= set(by_pool):
            continue
        high, low = by_pool["max"].accuracy, by_pool["min"].accuracy
        dark = level < 0.5
        words = ("dark", "max") if dark else ("light", "min")
        found.append(Claim(polarity, *words, difference=high.mean - low.mean, apart=high.apart_from(low)))
    return found
