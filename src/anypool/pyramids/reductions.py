"""How a superblock becomes all levels, exactly: what is carried from level to level is never rounded.

A `Carried` reduction makes of level 0 a state (sums, counts, extremes), which the state of the next level is made of;
values are finished from it and never read again. A `FromLevel0` reduction looks at level 0 for every level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from anypool.cpu import settings
from anypool.functional import avg_pool, max_pool, min_pool, pool, sum_pool
from anypool.operators import Operator
from anypool.windows import Sliding

from .modes import ModeLevels, modes_of
from .plan import Lengths, Level, Region, inside, lengths_of, relative

State = tuple[np.ndarray, ...]
Read = Callable[[Region], np.ndarray]
Values = Iterator[tuple[Level, np.ndarray]]

LARGEST_WINDOW = 2**30
"""Elements of a window whose sums, in two halves where elements have 64 bits, fit into 64 bits."""


class Overflow(ArithmeticError):
    """A value does not fit into the dtype that it must have."""


@dataclass(frozen=True)
class Missing:
    """Which elements count, and what a window gets in which none does."""

    nodata: Any = None

    def valid(self, x: np.ndarray) -> np.ndarray | None:
        """Which elements count; None where all do."""
        if self.nodata is None:
            return None
        return ~np.isnan(x) if np.isnan(self.nodata) else x != self.nodata

    def fill(self, values: np.ndarray, has_any: np.ndarray) -> np.ndarray:
        return np.where(has_any, values, values.dtype.type(self.nodata))


class Reduction(Protocol):
    """What is done to every superblock."""

    @property
    def result(self) -> np.dtype[Any]:
        """The dtype of the levels."""

    def bytes_per_element(self, window: int) -> float:
        """Of memory beside what is read at once, for each element of a superblock; `window` is how many the first
        level's windows have."""

    def levels(self, read: Read, region: Region, cell: Lengths, levels: Sequence[Level], shape: Lengths) -> Values:
        """Every level's values of this region of level 0, which `read` reads cell by cell, each once."""


# ---------------------------------------------------------------------------------------------------------------------
# Pooling by windows that tile, the last of an axis being shorter


def _tiled(function: Callable[..., Any], x: np.ndarray, window: Lengths, **options: Any) -> np.ndarray:
    axes = tuple(axis for axis, n in enumerate(window) if n > 1) or (x.ndim - 1,)
    sizes = tuple(min(window[axis], x.shape[axis]) for axis in axes)
    return np.asarray(function(x, sizes, ceil_mode=True, axes=axes, **options))


def maxima(x: np.ndarray, window: Lengths) -> np.ndarray:
    return _tiled(max_pool, x, window)


def minima(x: np.ndarray, window: Lengths) -> np.ndarray:
    return _tiled(min_pool, x, window)


def modes(x: np.ndarray, window: Lengths) -> np.ndarray:
    axes = tuple(axis for axis, n in enumerate(window) if n > 1) or (x.ndim - 1,)
    sizes = tuple(min(window[axis], x.shape[axis]) for axis in axes)
    return np.asarray(pool(x, "mode", Sliding(sizes, ceil_mode=True), axes))


def integer_sums(x: np.ndarray, window: Lengths, dtype: str) -> np.ndarray:
    return _tiled(sum_pool, x, window, dtype=dtype)


def float_sums(x: np.ndarray, window: Lengths) -> np.ndarray:
    """Sums of float64, one element after another, one axis after another: the order, and so the last bit, follows from
    the window alone and never from how an array is cut."""
    total = np.asarray(x, np.float64)
    for axis, n in enumerate(window):
        if n == 1:
            continue
        parts = np.moveaxis(total, axis, 0)
        first = parts[::n].copy()
        for offset in range(1, n):
            part = parts[offset::n]
            first[: len(part)] += part
        total = np.moveaxis(first, 0, axis)
    return total


# ---------------------------------------------------------------------------------------------------------------------
# Carried states


@dataclass(frozen=True)
class Carried:
    """A reduction by states. Subclasses say what of elements is reduced, how, and what a state's value is."""

    dtype: np.dtype[Any]
    missing: Missing

    @property
    def result(self) -> np.dtype[Any]:
        return self.dtype

    def bytes_per_element(self, window: int) -> float:
        """Two levels of states, and values in the making; what is read is a cell."""
        return 2.5 * self._state_bytes(window) / window

    def _state_bytes(self, window: int) -> int:
        raise NotImplementedError

    def lift(self, x: np.ndarray) -> State:
        """What of elements is reduced."""
        raise NotImplementedError

    def reduce(self, state: State, window: Lengths, elements: int) -> State:
        """A state reduced by a window; those of the result stand for up to `elements` of level 0."""
        raise NotImplementedError

    def finish(self, state: State, counts: Counts) -> np.ndarray:
        """The values of a state."""
        raise NotImplementedError

    def levels(self, read: Read, region: Region, cell: Lengths, levels: Sequence[Level], shape: Lengths) -> Values:
        state = self._first(read, region, cell, levels[0]) if levels else ()
        if not levels:
            for part in inside(region, cell):
                read(part)
        for level, coarser in zip(levels, (*levels[1:], None), strict=True):
            yield level, self.finish(state, Counts(level, level.region(region), shape))
            if coarser is not None:
                window = tuple(b // a for a, b in zip(level.factors, coarser.factors, strict=True))
                state = self.reduce(state, window, math.prod(coarser.factors))

    def _first(self, read: Read, region: Region, cell: Lengths, level: Level) -> State:
        """The first level's state, of which every cell makes a part."""
        whole: State = ()
        within, elements = level.region(region), math.prod(level.factors)
        for part in inside(region, cell):
            state = self.reduce(self.lift(read(part)), level.factors, elements)
            if cell == lengths_of(region):
                return state
            if not whole:
                whole = tuple(np.empty(lengths_of(within), each.dtype) for each in state)
            place = relative(level.region(part), within)
            for into, each in zip(whole, state, strict=True):
                into[place] = each
        return whole


@dataclass(frozen=True)
class Counts:
    """How many elements of level 0 the windows of a region of a level hold, in closed form."""

    level: Level
    region: Region
    shape: Lengths

    @property
    def full(self) -> int:
        """Of a window that the array's end does not cut."""
        return math.prod(min(f, n) for f, n in zip(self.level.factors, self.shape, strict=True))

    def along(self, axis: int) -> np.ndarray:
        f, n, part = self.level.factors[axis], self.shape[axis], self.region[axis]
        starts = np.arange(part.start, part.stop, dtype=np.int64) * f
        return np.minimum(starts + f, n) - starts

    def array(self) -> np.ndarray:
        """Of every window, in as few axes as broadcasting allows."""
        counts = np.ones((1,) * len(self.shape), np.int64)
        for axis in range(len(self.shape)):
            along = self.along(axis)
            along = along[:1] if (along == along[0]).all() else along
            counts = counts * along.reshape(-1, *(1,) * (len(self.shape) - axis - 1))
        return counts

    def cut(self) -> Iterator[tuple[slice, ...]]:
        """The slices of windows that the array's end cuts."""
        for axis, (f, n, part) in enumerate(zip(self.level.factors, self.shape, self.region, strict=True)):
            if part.stop * f > n and n > f:
                last = part.stop - part.start - 1
                yield (*(slice(None),) * axis, slice(last, last + 1))


@dataclass(frozen=True)
class Extremes(Carried):
    """The greatest or the least element."""

    greatest: bool

    def _state_bytes(self, window: int) -> int:
        return self.dtype.itemsize + (self.missing.nodata is not None)

    def lift(self, x: np.ndarray) -> State:
        valid = self.missing.valid(x)
        if valid is None:
            return (x,)
        return np.where(valid, x, self._identity()), valid

    def _identity(self) -> Any:
        if self.dtype.kind == "f":
            return self.dtype.type(-math.inf if self.greatest else math.inf)
        info = np.iinfo(self.dtype)
        return self.dtype.type(info.min if self.greatest else info.max)

    def reduce(self, state: State, window: Lengths, elements: int) -> State:
        values = (maxima if self.greatest else minima)(state[0], window)
        return (values, *(maxima(valid, window) for valid in state[1:]))

    def finish(self, state: State, counts: Counts) -> np.ndarray:
        return self.missing.fill(*state) if len(state) > 1 else state[0]


@dataclass(frozen=True)
class Sums(Carried):
    """Sums, and averages if `mean`, of elements of level 0; with nodata also how many elements there are."""

    mean: bool

    @property
    def result(self) -> np.dtype[Any]:
        if self.mean or self.dtype.kind == "f":
            return self.dtype
        return np.dtype(np.uint64 if self.dtype.kind == "u" else np.int64)

    def lift(self, x: np.ndarray) -> State:
        valid = self.missing.valid(x)
        if valid is None:
            return self.parts(x)
        return (*self.parts(np.where(valid, x, self.dtype.type(0))), valid.view(np.uint8))

    def reduce(self, state: State, window: Lengths, elements: int) -> State:
        parts = self._number_of_parts
        sums = tuple(self.summed(each, window, elements) for each in state[:parts])
        return (*sums, *(integer_sums(each, window, "int32") for each in state[parts:]))

    def finish(self, state: State, counts: Counts) -> np.ndarray:
        parts = self._number_of_parts
        if len(state) == parts:
            return self.averages(state, counts) if self.mean else self.totals(state)
        number = state[parts]
        if self.mean:
            values = self.divided(state[:parts], np.maximum(number, 1).astype(np.int64))
        else:
            values = self.totals(state[:parts])
        return self.missing.fill(values, number > 0)

    _number_of_parts = 1

    def parts(self, x: np.ndarray) -> State:
        """What of elements is summed."""
        return (x,)

    def summed(self, x: np.ndarray, window: Lengths, elements: int) -> np.ndarray:
        raise NotImplementedError

    def totals(self, sums: State) -> np.ndarray:
        """Sums in the dtype of the result."""
        raise NotImplementedError

    def divided(self, sums: State, counts: Any) -> np.ndarray:
        """Sums divided by numbers of elements, in the dtype of the result."""
        raise NotImplementedError

    def averages(self, sums: State, counts: Counts) -> np.ndarray:
        return self.divided(sums, counts.array())


class IntegerSums(Sums):
    """Of integers of up to 32 bits, in int32 while that cannot overflow and then in int64."""

    def _state_bytes(self, window: int) -> int:
        return np.dtype(self._sum_dtype(window)).itemsize + 4 * (self.missing.nodata is not None)

    def _sum_dtype(self, elements: int) -> str:
        return "int32" if elements << (8 * self.dtype.itemsize) <= 2**31 else "int64"

    def summed(self, x: np.ndarray, window: Lengths, elements: int) -> np.ndarray:
        return integer_sums(x, window, self._sum_dtype(elements))

    def totals(self, sums: State) -> np.ndarray:
        return sums[0].astype(self.result)

    def divided(self, sums: State, counts: Any) -> np.ndarray:
        return _half_to_even(*np.divmod(sums[0], counts), counts).astype(self.dtype)

    def averages(self, sums: State, counts: Counts) -> np.ndarray:
        if settings.get_cpu_capability() is None:
            return super().averages(sums, counts)
        values = np.asarray(avg_pool(sums[0], 1, axes=-1, divisor_override=counts.full, dtype=self.dtype.name))
        if any(True for _ in counts.cut()):
            number = np.broadcast_to(counts.array(), values.shape)
            for place in counts.cut():
                values[place] = self.divided((sums[0][place],), number[place])
        return values


class WideSums(Sums):
    """Of 64-bit integers, their high and their low 32 bits apart, so that no sum overflows."""

    _number_of_parts = 2

    def _state_bytes(self, window: int) -> int:
        return 16 + 4 * (self.missing.nodata is not None)

    def parts(self, x: np.ndarray) -> State:
        low = x & self.dtype.type(2**32 - 1)
        return (x >> self.dtype.type(32)).astype(np.int64), low.astype(np.int64)

    def summed(self, x: np.ndarray, window: Lengths, elements: int) -> np.ndarray:
        return integer_sums(x, window, "int64")

    def totals(self, sums: State) -> np.ndarray:
        high, low = sums[0] + (sums[1] >> 32), sums[1] & (2**32 - 1)
        least, greatest = (0, 2**32 - 1) if self.dtype.kind == "u" else (-(2**31), 2**31 - 1)
        if high.size and (high.min() < least or high.max() > greatest):
            raise Overflow(f"a sum of {self.dtype.name} does not fit into {self.result.name}")
        return ((high << 32) + low).view(self.result)

    def divided(self, sums: State, counts: Any) -> np.ndarray:
        quotient, remainder = np.divmod(sums[0] + (sums[1] >> 32), counts)
        rest, left = np.divmod((remainder << 32) + (sums[1] & (2**32 - 1)), counts)
        with np.errstate(over="ignore"):
            return _half_to_even((quotient << 32) + rest, left, counts).view(self.dtype)


class FloatSums(Sums):
    """Of floats, in float64."""

    def _state_bytes(self, window: int) -> int:
        return 8 + 4 * (self.missing.nodata is not None)

    def summed(self, x: np.ndarray, window: Lengths, elements: int) -> np.ndarray:
        with np.errstate(all="ignore"):
            return _without_overflow(float_sums(x, window), x, window, "float64")

    def totals(self, sums: State) -> np.ndarray:
        with np.errstate(all="ignore"):
            return _without_overflow(sums[0].astype(self.dtype), sums[0], (1,) * sums[0].ndim, self.dtype.name)

    def divided(self, sums: State, counts: Any) -> np.ndarray:
        with np.errstate(all="ignore"):
            return (sums[0] / counts).astype(self.dtype)


def _without_overflow(values: np.ndarray, of: np.ndarray, window: Lengths, dtype: str) -> np.ndarray:
    """The values, unless one is infinite or NaN that stands for finite numbers alone."""
    finite = np.isfinite(values)
    if not finite.all():
        had = maxima(~np.isfinite(of), window) if max(window) > 1 else ~np.isfinite(of)
        if not (finite | had).all():
            raise Overflow(f"a sum does not fit into {dtype}")
    return values


def _half_to_even(quotient: np.ndarray, remainder: np.ndarray, divisor: Any) -> np.ndarray:
    """The quotient of a division rounded down, rounded half to even instead."""
    above = remainder > divisor - remainder
    half = (remainder == divisor - remainder) & ((quotient & 1) == 1)
    return quotient + (above | half)


# ---------------------------------------------------------------------------------------------------------------------
# Reductions that look at level 0 for every level


@dataclass(frozen=True)
class FromLevel0:
    """Any operator that keeps its elements' dtype, by its own definition."""

    dtype: np.dtype[Any]
    missing: Missing
    operator: Operator

    @property
    def result(self) -> np.dtype[Any]:
        return self.dtype

    def bytes_per_element(self, window: int) -> float:
        return self.dtype.itemsize * (1 + 2 / window) + (self.missing.nodata is not None)

    def levels(self, read: Read, region: Region, cell: Lengths, levels: Sequence[Level], shape: Lengths) -> Values:
        x = whole(read, region, cell, self.dtype)
        valid = self.missing.valid(x)
        for level in levels:
            yield level, self._pooled(x, valid, level.factors)

    def _pooled(self, x: np.ndarray, valid: np.ndarray | None, factors: Lengths) -> np.ndarray:
        axes = tuple(axis for axis, n in enumerate(factors) if n > 1) or (x.ndim - 1,)
        window = Sliding(tuple(min(factors[axis], x.shape[axis]) for axis in axes), ceil_mode=True)
        if valid is None or valid.all():
            return np.asarray(pool(x, self.operator, window, axes))
        fill = self.missing.nodata.item()
        return np.asarray(pool(x, self.operator, window, axes, where=valid, fill_value=fill))


@dataclass(frozen=True)
class Modes:
    """The most frequent label, the smallest of several."""

    dtype: np.dtype[Any]
    missing: Missing

    @property
    def result(self) -> np.dtype[Any]:
        return self.dtype

    def bytes_per_element(self, window: int) -> float:
        return 3 * self.dtype.itemsize + 40  # noise, where every element is a label of its own

    def levels(self, read: Read, region: Region, cell: Lengths, levels: Sequence[Level], shape: Lengths) -> Values:
        labels = whole(read, region, cell, self.dtype)
        valid = self.missing.valid(labels)
        every = valid is None or bool(valid.all())
        carried = ModeLevels(labels, self.missing.nodata, minima, maxima)
        values, before = labels, (1,) * len(shape)
        for level in levels:
            step = tuple(b // a for a, b in zip(before, level.factors, strict=True))
            before = level.factors
            values = modes_of(labels, before, values, step, modes, _counts) if every else carried.next(step)
            yield level, values


def _counts(x: np.ndarray, window: Lengths) -> np.ndarray:
    return integer_sums(x, window, "int32")


def whole(read: Read, region: Region, cell: Lengths, dtype: np.dtype[Any]) -> np.ndarray:
    """A region of level 0, read cell by cell."""
    if cell == lengths_of(region):
        return read(region)
    x = np.empty(lengths_of(region), dtype)
    for part in inside(region, cell):
        x[relative(part, region)] = read(part)
    return x


def reduction_for(operator: Operator, kind: str, dtype: np.dtype[Any], missing: Missing) -> Reduction:
    """The reduction of an operator, `kind` being its name.

    Raises:
        TypeError: it has none for this dtype.
    """
    if kind in ("max", "min"):
        return Extremes(dtype, missing, kind == "max")
    if kind in ("average", "sum"):
        sums = FloatSums if dtype.kind == "f" else WideSums if dtype.itemsize == 8 else IntegerSums
        return sums(dtype, missing, kind == "average")
    return Modes(dtype, missing) if kind == "mode" else FromLevel0(dtype, missing, operator)
