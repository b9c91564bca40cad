"""What the runs say together: means, spreads over the seeds, and whether a difference exceeds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import mean, median, stdev

from .runs import AS_GIVEN, INVERTED, TRAINED, PoolingLayer, Run


@dataclass(frozen=True)
class PerSeed:
    """One number per seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def spread(self) -> float | None:
        """The sample standard deviation over the seeds; None for a single one."""
        return stdev(self.values) if len(self.values) > 1 else None

    def apart_from(self, other: PerSeed) -> bool | None:
        """Whether all of one lie above all of the other; None where a side has a single seed, which has no spread.

        >>> PerSeed((0.97, 0.98)).apart_from(PerSeed((0.95, 0.96)))
        True
        >>> PerSeed((0.97, 0.98)).apart_from(PerSeed((0.95, 0.97)))
        False
        """
        if min(len(self.values), len(other.values)) < 2:
            return None
        return min(self.values) > max(other.values) or min(other.values) > max(self.values)


@dataclass(frozen=True)
class Row:
    """One pooling in one stage on images of one polarity, over the seeds."""

    polarity: str
    stage: str
    pool: str
    measures: dict[str, PerSeed]
    """Those that every seed has."""
    curve: tuple[PerSeed, ...]
    seconds: PerSeed | None
    """Of an epoch, for each seed the median over the epochs after the first; None where there was only one epoch."""
    parameters: int
    layers: tuple[PoolingLayer, ...]

    @property
    def accuracy(self) -> PerSeed:
        return self.measures["accuracy"]

    @property
    def seeds(self) -> int:
        return len(self.accuracy.values)


def summarise(runs: Sequence[Run]) -> list[Row]:
    """A row for every polarity, stage and pooling, in the order in which they first occur, images as given first."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.polarity != AS_GIVEN):
        groups.setdefault((run.polarity, run.stage, run.pool), []).append(run)
    return [_row(group) for group in groups.values()]


def _row(runs: list[Run]) -> Row:
    seconds = tuple(median(run.epoch_seconds[1:]) for run in runs if len(run.epoch_seconds) > 1)
    first = runs[0]
    shared = [name for name in first.measures if all(name in run.measures for run in runs)]
    return Row(
        polarity=first.polarity,
        stage=first.stage,
        pool=first.pool,
        measures={name: PerSeed(tuple(run.measures[name] for run in runs)) for name in shared},
        curve=tuple(PerSeed(epoch) for epoch in zip(*(run.curve for run in runs), strict=False)),
        seconds=PerSeed(seconds) if seconds else None,
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
        by_pool = {row.pool: row for row in rows if (row.polarity, row.stage) == (polarity, TRAINED)}
        if not {"max", "min"} <= set(by_pool):
            continue
        high, low = by_pool["max"].accuracy, by_pool["min"].accuracy
        dark = level < 0.5
        words = ("dark", "max") if dark else ("light", "min")
        found.append(Claim(polarity, *words, difference=high.mean - low.mean, apart=high.apart_from(low)))
    return found
