"""Which levels a pyramid has, and how its level 0 is cut into superblocks: arithmetic of lengths, no arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

Lengths = tuple[int, ...]
Region = tuple[slice, ...]
"""A box of an array, a slice with both ends per axis."""

CELL_BYTES = 4 * 2**20
"""What is read at once, where chunks allow it: the caches hold it while it is reduced."""

ENOUGH_ELEMENTS = 2**25
"""A superblock is made no larger than this only to have fewer of them."""


@dataclass(frozen=True)
class Level:
    """One level: element i of an axis holds [i·f, min((i + 1)·f, n)) of level 0's n, f being its factor."""

    number: int
    factors: Lengths
    shape: Lengths

    def region(self, of: Region) -> Region:
        """Where the outputs of a region of level 0 lie, which begins and ends at windows' borders."""
        return tuple(
            slice(part.start // f, min(ceil_divide(part.stop, f), n))
            for part, f, n in zip(of, self.factors, self.shape, strict=True)
        )


@dataclass(frozen=True)
class Steps:
    """By how much each axis gets smaller from one level to the next: always the same, or (`factors` None) such that
    pixels become as long as they are wide."""

    factors: Lengths | None
    pooled: tuple[bool, ...]
    pixel: tuple[float, ...]

    def after(self, level: Level) -> Lengths:
        """The step from this level on; an axis of length 1 has none left."""
        if self.factors is not None:
            wanted = self.factors
        else:
            sizes = [size * f for size, f in zip(self.pixel, level.factors, strict=True)]
            least = min((size for size, a in zip(sizes, self._reducible(level), strict=True) if a), default=math.inf)
            wanted = tuple(2 if size < least * math.sqrt(2) else 1 for size in sizes)
        return tuple(f if may else 1 for f, may in zip(wanted, self._reducible(level), strict=True))

    def _reducible(self, level: Level) -> list[bool]:
        return [may and n > 1 for may, n in zip(self.pooled, level.shape, strict=True)]


def levels_of(shape: Lengths, steps: Steps, levels: int | str, fits: Sequence[int]) -> tuple[Level, ...]:
    """The levels after level 0.

    "auto" ends with the first whose pooled axes are no longer than `fits`, the lengths of a chunk.

    Raises:
        ValueError: there are not as many.
    """
    found = [Level(0, (1,) * len(shape), shape)]
    while len(found) <= (levels if isinstance(levels, int) else len(found)):
        last = found[-1]
        step = steps.after(last)
        done = levels == "auto" and len(found) > 1 and _fits(last, steps, fits)
        if done or all(f == 1 for f in step):
            break
        factors = tuple(a * b for a, b in zip(last.factors, step, strict=True))
        found.append(Level(len(found), factors, tuple(map(ceil_divide, shape, factors))))
    if isinstance(levels, int) and len(found) <= levels:
        raise ValueError(
            f"levels must be at most {len(found) - 1}, got {levels}: level {len(found) - 1} has shape "
            f"{found[-1].shape}, of which nothing is left to reduce"
        )
    return tuple(found[1:])


def _fits(level: Level, steps: Steps, fits: Sequence[int]) -> bool:
    return all(not may or n <= most for may, n, most in zip(steps.pooled, level.shape, fits, strict=True))


def superblock(
    shape: Lengths, chunks: Lengths, align: Lengths, targets: Sequence[Lengths], most: int, share: int
) -> Lengths:
    """The lengths of superblocks of at most `most` elements.

    They are multiples of `align`, the last level's windows, so that no window is in two; of `chunks`, so that each is
    read once, where that is small enough; and, within `share` elements, of as many of the `targets` as possible, in
    their order: what of level 0 makes a whole chunk of a level.

    Raises:
        ValueError: `most` is less than a window.
    """
    block = tuple(map(min, map(math.lcm, align, chunks), shape))
    if math.prod(block) > most:
        block = _relaxed(shape, chunks, align, most)
    most = min(most, share)
    for target in targets:
        wanted = tuple(map(min, map(math.lcm, block, target), shape))
        if math.prod(wanted) <= most:
            block = wanted
            continue
        for axis in reversed(range(len(shape))):
            longer = (*block[:axis], wanted[axis], *block[axis + 1 :])
            block = longer if math.prod(longer) <= most else block
        break
    return _grown(block, shape, min(most, ENOUGH_ELEMENTS))


def _relaxed(shape: Lengths, chunks: Lengths, align: Lengths, most: int) -> Lengths:
    """Superblocks that cut chunks, so that those at borders are read more than once."""
    for lengths in (tuple(a * max(1, c // a) for a, c in zip(align, chunks, strict=True)), align):
        block = tuple(map(min, lengths, shape))
        if math.prod(block) <= most:
            return block
    raise ValueError(f"{math.prod(block)} elements of a window are more than {most}")


def _grown(block: Lengths, shape: Lengths, most: int) -> Lengths:
    """Twice as long along one axis after another, the shortest first, while that stays within `most`."""
    while True:
        longer = [
            (*block[:axis], min(2 * n, shape[axis]), *block[axis + 1 :])
            for axis, n in sorted(enumerate(block), key=lambda each: each[1])
            if n < shape[axis]
        ]
        fitting = [each for each in longer if math.prod(each) <= most]
        if not fitting:
            return block
        block = fitting[0]


def cell(shape: Lengths, block: Lengths, unit: Lengths, most: int) -> Lengths:
    """The lengths of what is read at once: whole units that cut the superblock evenly, about `most` elements."""
    lengths = [u if n >= full or n % u == 0 else n for u, n, full in zip(unit, block, shape, strict=True)]
    lengths = [min(u, n) for u, n in zip(lengths, block, strict=True)]
    for axis in reversed(range(len(shape))):
        while lengths[axis] < block[axis] and 2 * math.prod(lengths) <= most:
            twice = 2 * lengths[axis]
            if block[axis] < shape[axis] and block[axis] % twice:
                break
            lengths[axis] = min(twice, block[axis])
    return tuple(lengths)


@dataclass(frozen=True)
class Grid:
    """A cut of an array's shape into boxes of the same lengths, those at its end shorter, numbered row-major."""

    shape: Lengths
    lengths: Lengths

    @property
    def counts(self) -> Lengths:
        return tuple(map(ceil_divide, self.shape, self.lengths))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def place(self, number: int) -> Lengths:
        """Where a box stands in the grid."""
        place = []
        for count in reversed(self.counts):
            number, at = divmod(number, count)
            place.append(at)
        return tuple(reversed(place))

    def region(self, number: int) -> Region:
        """What a box covers."""
        return tuple(
            slice(at * length, min((at + 1) * length, n))
            for at, length, n in zip(self.place(number), self.lengths, self.shape, strict=True)
        )

    def overlapping(self, region: Region) -> Iterator[Lengths]:
        """The places of the boxes that share an element with a region."""
        return product(
            *(
                range(part.start // length, min(ceil_divide(part.stop, length), count))
                for part, length, count in zip(region, self.lengths, self.counts, strict=True)
            )
        )

    def aligned(self, other: Lengths) -> bool:
        """Whether no box of another cut of the same shape is in two of these: `other` divides the lengths."""
        return all(
            length % part == 0 or length >= n for length, part, n in zip(self.lengths, other, self.shape, strict=True)
        )


def inside(region: Region, lengths: Lengths) -> Iterator[Region]:
    """A region cut into boxes of these lengths, beginning at its corner."""
    starts = (range(part.start, part.stop, length) for part, length in zip(region, lengths, strict=True))
    for corner in product(*starts):
        yield tuple(
            slice(at, min(at + length, part.stop)) for at, length, part in zip(corner, lengths, region, strict=True)
        )


def relative(region: Region, origin: Region) -> Region:
    """A region as seen from the corner of another."""
    return tuple(
        slice(part.start - corner.start, part.stop - corner.start) for part, corner in zip(region, origin, strict=True)
    )


def lengths_of(region: Region) -> Lengths:
    return tuple(part.stop - part.start for part in region)


def shown(region: Region) -> str:
    """A region as it is written in an index.

    >>> shown((slice(0, 1), slice(128, 256)))
    '[0:1, 128:256]'
    """
    return "[" + ", ".join(f"{part.start}:{part.stop}" for part in region) + "]"


def ceil_divide(n: int, f: int) -> int:
    return -(-n // f)
