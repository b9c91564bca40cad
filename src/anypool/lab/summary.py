"""What the runs say together: means, spreads over the seeds, and whether a difference exceeds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from statistics import mean, median, stdev
from typing import Literal

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


@dataclass(frozen=True)
class Row:
    """One pooling in one stage on images of one polarity, over the seeds."""

    polarity: str
    stage: str
    pool: str
    measures: dict[str, PerSeed]
    """Those that every seed has."""
    seed_numbers: tuple[int, ...]
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
        seed_numbers=tuple(run.seed for run in runs),
        curve=tuple(PerSeed(epoch) for epoch in zip(*(run.curve for run in runs), strict=False)),
        seconds=PerSeed(seconds) if seconds else None,
        parameters=first.parameters,
        layers=tuple(first.layers),
    )


def best(rows: Sequence[Row]) -> Row:
    """The row with the highest mean accuracy; the first of several."""
    return max(rows, key=lambda row: row.accuracy.mean)


# ---------------------------------------------------------------------------------------------------------------------
# How sure one may be


SIGNIFICANT = 0.05
COVERED = 0.95


def accuracy_interval(accuracy: PerSeed, images: int) -> tuple[float, float]:
    """A 95 % confidence interval of an accuracy: for other seeds as well as for other test images.

    The half width is √((t·s/√k)² + (z·√(p(1 − p)/n))²) with k seeds of standard deviation s, Student's t for k − 1
    degrees of freedom, and p the mean accuracy on n images. One seed says nothing of others, and has Wilson's interval
    (1927).

    >>> low, high = accuracy_interval(PerSeed((0.9,)), 100)
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    from scipy import stats

    z = float(stats.norm.ppf((1 + COVERED) / 2))
    mean, count = accuracy.mean, len(accuracy.values)
    if accuracy.spread is None:
        centre = (mean + z * z / (2 * images)) / (1 + z * z / images)
        half = z / (1 + z * z / images) * sqrt(mean * (1 - mean) / images + z * z / (4 * images**2))
    else:
        t = float(stats.t.ppf((1 + COVERED) / 2, count - 1))
        centre = mean
        half = hypot(t * accuracy.spread / sqrt(count), z * sqrt(mean * (1 - mean) / images))
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_p(one: Row, other: Row, images: int, measure: str = "accuracy") -> float | None:
    """How probable so great a mean difference in accuracy is between equally good poolings: a paired t-test over seeds.

    Or in another measure that is a share of the images.

    Seeds that both have are paired: they share the first weights and the order of images. None for fewer than two. The
    differences are taken to spread by at least one image, since a few seeds may agree by chance.

    >>> row = Row("as given", "trained", "max", {"accuracy": PerSeed((0.9, 0.92, 0.94))}, (0, 1, 2), (), None, 0, ())
    >>> paired_p(row, row, 100)
    1.0
    """
    from scipy import stats

    mine, theirs = (dict(zip(row.seed_numbers, row.measures[measure].values, strict=True)) for row in (one, other))
    differences = [mine[seed] - theirs[seed] for seed in mine if seed in theirs]
    if len(differences) < 2:
        return None
    spread = max(stdev(differences), 1 / images)
    t = abs(mean(differences)) / (spread / sqrt(len(differences)))
    return float(2 * stats.t.sf(t, len(differences) - 1))


@dataclass(frozen=True)
class Verdict:
    """How a pooling's accuracy stands to the highest."""

    kind: Literal["highest", "lower", "noise", "one seed"]
    p: float | None = None
    """Of the paired test, after Holm's correction for as many tests as there are."""

    def __str__(self) -> str:
        if self.p is None:
            return self.kind
        return f"{self.kind}, p < 0.001" if self.p < 0.001 else f"{self.kind}, p = {self.p:.2g}"


def verdicts(rows: Sequence[Row], images: int) -> list[Verdict]:
    """How each row's accuracy stands to the highest: lower, or a difference that may as well be noise.

    The p-values are corrected by Holm's method (1979), since every further pooling is one more chance.
    """
    leader = best(rows)
    found = {place: paired_p(row, leader, images) for place, row in enumerate(rows) if row is not leader}
    known = sorted((p, place) for place, p in found.items() if p is not None)
    corrected: dict[int, float] = {}
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[place] = largest
    return [
        Verdict("highest")
        if row is leader
        else Verdict("one seed")
        if place not in corrected
        else Verdict("lower" if corrected[place] < SIGNIFICANT else "noise", corrected[place])
        for place, row in enumerate(rows)
    ]


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
    p: float | None
    """Of a paired test over the seeds; None for a single one."""

    @property
    def higher(self) -> str:
        return "max" if self.difference > 0 else "min" if self.difference < 0 else "neither"


def claims(rows: Sequence[Row], background: float, images: int) -> list[Claim]:
    """What was measured of "max suits dark backgrounds, min light ones", for each polarity where both were trained.

    `background` is that of the images as given, 0 to 1; under one half is dark.
    """
    found = []
    for polarity, level in ((AS_GIVEN, background), (INVERTED, 1 - background)):
        by_pool = {row.pool: row for row in rows if (row.polarity, row.stage) == (polarity, TRAINED)}
        if not {"max", "min"} <= set(by_pool):
            continue
        high, low = by_pool["max"], by_pool["min"]
        dark = level < 0.5
        words = ("dark", "max") if dark else ("light", "min")
        difference = high.accuracy.mean - low.accuracy.mean
        found.append(Claim(polarity, *words, difference=difference, p=paired_p(high, low, images)))
    return found
