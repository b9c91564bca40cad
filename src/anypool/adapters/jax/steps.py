"""The steps that a pooling in JAX is made of: for each, the reduction, who wins, and how to take what won.

Every step pools one axis or several of an array that has been padded by its `padding`. Where an extreme is taken, a
step says which element won every window as small unsigned integers, its choice; `take` picks those elements, is linear
in the array, and is written so that its transpose compares and writes.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

ALONG_ONE_AXIS = 8
"""Elements along an axis, at most, that are reduced one by one; beyond, halving and doubling cost less and err less."""

COMPARED_AT_ONCE = 16
"""Elements of an overlapping window, at most, whose winner is found among all at once: over all axes, or along one at
stride 1; beyond, winners of parts of the window are compared."""

STRIDED_AT_ONCE = 9
"""The same along one axis at other strides."""

COMPARED_IN_PARTS = 6
"""Elements of a part, and parts of a window, that are compared in one pass, about."""


# ---------------------------------------------------------------------------------------------------------------------
# Reductions


@dataclass(frozen=True)
class Reduction:
    """A reduction of two arrays, of an axis, and its neutral element as a function of a dtype."""

    combine: Callable[[Any, Any], Any]
    reduce: Callable[..., Any]
    neutral: Callable[[Any], Any]
    one_by_one: int
    """Elements along an axis at stride 1, at most, that one reduce_window reduces; beyond, slices are faster."""

    def loses(self, a: Any, b: Any) -> Any:
        """Where b, which comes later, beats a: ties go to a, and the first NaN wins."""
        at_least = lax.ge(a, b) if self.combine is lax.max else lax.le(a, b)
        return ~(at_least | (a != a))


def _extreme_of(dtype: Any, sign: int) -> Any:
    if jnp.issubdtype(dtype, jnp.floating):
        return np.asarray(sign * np.inf, dtype)
    return np.asarray(jnp.iinfo(dtype).max if sign > 0 else jnp.iinfo(dtype).min, dtype)


def _sum_by_halves(x: Any, axis: int) -> Any:
    """The sum along an axis, with an error that grows with the logarithm of its length."""
    while (length := x.shape[axis]) > ALONG_ONE_AXIS:
        half = length // 2
        front, back = lax.slice_in_dim(x, 0, half, axis=axis), lax.slice_in_dim(x, half, 2 * half, axis=axis)
        rest = lax.slice_in_dim(x, 2 * half, length, axis=axis)
        x = front + back
        if length % 2:
            x = lax.concatenate([x, rest], axis)
    return lax.reduce(x, np.zeros((), x.dtype), lax.add, (axis,))


MAX = Reduction(lax.max, jnp.max, partial(_extreme_of, sign=-1), 4)
MIN = Reduction(lax.min, jnp.min, partial(_extreme_of, sign=1), 4)
SUM = Reduction(lax.add, _sum_by_halves, partial(np.zeros, ()), ALONG_ONE_AXIS)
SUM_OF_TANGENTS = Reduction(lax.add, jnp.sum, partial(np.zeros, ()), ALONG_ONE_AXIS)
"""As SUM; its transpose is one broadcast."""


# ---------------------------------------------------------------------------------------------------------------------
# Windows along an axis


@dataclass(frozen=True)
class Along:
    """Windows of `width` elements, `step` apart, every `stride` positions of an axis padded by `before` and `after`."""

    axis: int
    width: int
    stride: int = 1
    step: int = 1
    before: int = 0
    after: int = 0

    @property
    def apart(self) -> bool:
        """Whether the windows tile the axis."""
        return self.width == self.stride and self.step == 1

    @property
    def reach(self) -> int:
        """Positions from the first element of a window to the last, both counted."""
        return (self.width - 1) * self.step + 1

    def outputs(self, length: int) -> int:
        return (length + self.before + self.after - self.reach) // self.stride + 1

    def parts(self, x: Any, value: Any) -> list[Any]:
        """The elements of the windows that begin before x, of those inside, and of those that end past it.

        Only the ends are padded, with `value`: the padded copy of a large array would cost more than what follows.
        """
        length = x.shape[self.axis]
        outputs = self.outputs(length)
        head = -(-self.before // self.stride)
        tail = outputs - max((length + self.before - self.reach) // self.stride + 1, 0)
        if head + tail >= outputs:
            return [padded(x, (self,), value)]
        bounds, parts = [0, head, outputs - tail, outputs], []
        for first, last in itertools.pairwise(bounds):
            if first < last:
                start = first * self.stride - self.before
                stop = (last - 1) * self.stride - self.before + self.reach
                inside = lax.slice_in_dim(x, max(start, 0), min(stop, length), axis=self.axis)
                over = Along(self.axis, 1, before=max(-start, 0), after=max(stop - length, 0))
                parts.append(padded(inside, (over,), value))
        return parts

    def meeting(self, place: int, first: int, count: int, outputs: int) -> tuple[int, int, int] | None:
        """The windows whose element `place` is among `count` positions from `first`, a stride apart.

        As (from, to, the number of the first one's position), or None.
        """
        shift, odd = divmod(place * self.step - self.before - first, self.stride)
        start, stop = max(0, -shift), min(outputs, count - shift)
        return None if odd or start >= stop else (start, stop, start + shift)


@dataclass(frozen=True)
class Pieces:
    """One window per (start, stop) of an axis."""

    axis: int
    pieces: tuple[tuple[int, int], ...]


Windows = tuple[Along | Pieces, ...]
"""The windows along each pooled axis, in the caller's order of axes."""


def padded(x: Any, windows: Windows, value: Any) -> Any:
    """x with the padding of every axis, or without the elements past its last window, where that is negative."""
    padding = [(0, 0, 0)] * x.ndim
    for along in windows:
        if isinstance(along, Along):
            padding[along.axis] = (along.before, along.after, 0)
    return lax.pad(x, jnp.asarray(value, x.dtype), padding) if any(any(p) for p in padding) else x


# ---------------------------------------------------------------------------------------------------------------------
# Steps: a pooling is one after the other


@dataclass(frozen=True)
class Cells:
    """Windows that tile `axes`, `sizes` elements each."""

    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    padding: Windows = ()

    @property
    def choices(self) -> int:
        """How many different choices there are, for every step."""
        return math.prod(self.sizes)

    def split(self, x: Any) -> tuple[Any, tuple[int, ...]]:
        """x with each axis as two, cells and elements of a cell, and where the latter are, in the order of `axes`."""
        shape: list[Any] = []
        places = {}
        for axis, length in enumerate(x.shape):
            if axis in self.axes:
                size = self.sizes[self.axes.index(axis)]
                shape.append(length // size)
                places[axis] = len(shape)
                shape.append(size)
            else:
                shape.append(length)
        sharding = _split_sharding(x, self.axes)
        return lax.reshape(x, shape, out_sharding=sharding), tuple(places[axis] for axis in self.axes)

    def numbers(self, ndim: int, places: tuple[int, ...]) -> Any:
        """The number of every element in its cell, row-major, in a shape that broadcasts to the split array."""
        dtype = _code(self.choices)
        number: Any = 0
        for place, size in zip(places, self.sizes, strict=True):
            shape = [size if axis == place else 1 for axis in range(ndim)]
            number = number * np.asarray(size, dtype) + lax.broadcasted_iota(dtype, shape, place)
        return number

    def as_windows(self) -> Overlapping:
        return Overlapping(tuple(Along(axis, size, size) for axis, size in zip(self.axes, self.sizes, strict=True)))

    def fold(self, x: Any, reduction: Reduction) -> Any:
        cells, places = self.split(x)
        for place in sorted(places, reverse=True):
            cells = reduction.reduce(cells, axis=place)
        return cells

    def winners(self, x: Any, reduction: Reduction) -> tuple[Any, Any]:
        if self.choices <= COMPARED_AT_ONCE:
            return self.as_windows().winners(x, reduction)
        cells, places = self.split(x)
        best = reduction.reduce(cells, axis=places, keepdims=True)
        number = self.numbers(cells.ndim, places)
        last = np.asarray(self.choices - 1, number.dtype)
        wins = (cells == best) | (cells != cells)  # NaN beats all
        first = jnp.min(jnp.where(wins, number, last), axis=places)
        return lax.squeeze(best, places), first

    def take(self, choice: Any, x: Any) -> Any:
        cells, places = self.split(x)
        chosen = jnp.expand_dims(choice, places) == self.numbers(cells.ndim, places)
        return jnp.sum(jnp.where(chosen, cells, 0), axis=places)


@dataclass(frozen=True)
class Overlapping:
    """Small windows that overlap, along all axes at once. What padding they have themselves they see to themselves."""

    windows: tuple[Along, ...]
    padding: Windows = ()

    @property
    def choices(self) -> int:
        return math.prod(along.width for along in self.windows)

    def places(self) -> Iterator[tuple[int, ...]]:
        """The elements of a window, row-major."""
        return np.ndindex(*(along.width for along in self.windows))

    def elements(self, x: Any) -> Iterator[Any]:
        """The first element of every window, then the second, and so on; x is padded."""
        for place in self.places():
            start, stop, stride = [0] * x.ndim, list(x.shape), [1] * x.ndim
            for along, j in zip(self.windows, place, strict=True):
                outputs = (x.shape[along.axis] - along.reach) // along.stride + 1
                start[along.axis] = j * along.step
                stop[along.axis] = j * along.step + (outputs - 1) * along.stride + 1
                stride[along.axis] = along.stride
            yield lax.slice(x, start, stop, stride)

    def in_parts(self, function: Callable[[Any], tuple[Any, ...]], x: Any, value: Any, split: int = 0) -> Any:
        """`function` of windows with padding, which is `value`, and of windows without, its arrays put together.

        The axes before `split` are taken apart already.
        """
        if split == len(self.windows):
            return function(x)
        along = self.windows[split]
        found = [self.in_parts(function, part, value, split + 1) for part in along.parts(x, value)]
        return tuple(lax.concatenate(arrays, along.axis) for arrays in zip(*found, strict=True))

    def fold(self, x: Any, reduction: Reduction) -> Any:
        def reduced(x: Any) -> tuple[Any, ...]:
            arrays = list(self.elements(x))
            while len(arrays) > 1:  # in pairs: that errs less than one after the other, and takes less time
                arrays = [functools.reduce(reduction.combine, arrays[i : i + 2]) for i in range(0, len(arrays), 2)]
            return tuple(arrays)

        (values,) = self.in_parts(reduced, x, reduction.neutral(x.dtype))
        return values

    def winners(self, x: Any, reduction: Reduction) -> tuple[Any, Any]:
        def found(x: Any) -> tuple[Any, Any]:
            best, *others = self.elements(x)
            choice = jnp.zeros_like(best, _code(self.choices))
            for number, element in enumerate(others, 1):
                loses = reduction.loses(best, element)
                best = jnp.where(loses, element, best)
                choice = jnp.where(loses, np.asarray(number, choice.dtype), choice)
            return best, choice

        values, choice = self.in_parts(found, x, reduction.neutral(x.dtype))
        return values, choice

    def take(self, choice: Any, x: Any) -> Any:
        """Its transpose is a sum of shifted upstreams for every remainder by the strides, interleaved: no scatter."""
        total: Any = jnp.zeros(choice.shape, x.dtype)
        for first, elements in self.remainders(choice, x):
            counts = [elements.shape[along.axis] for along in self.windows]
            for number, place in enumerate(self.places()):
                outputs = [choice.shape[along.axis] for along in self.windows]
                spans = list(map(Along.meeting, self.windows, place, first, counts, outputs))
                if None not in spans:
                    total = total + self.taken(number, spans, choice, elements)
        return total

    def taken(self, number: int, spans: Sequence[Any], choice: Any, elements: Any) -> Any:
        """What the windows in `spans` take from `elements`, if they chose that number."""
        padding = [(0, 0, 0)] * choice.ndim
        for along, (start, stop, element) in zip(self.windows, spans, strict=True):
            axis = along.axis
            padding[axis] = (start, choice.shape[axis] - stop, 0)
            choice = lax.slice_in_dim(choice, start, stop, axis=axis)
            elements = lax.slice_in_dim(elements, element, element + stop - start, axis=axis)
        chosen = jnp.where(choice == np.asarray(number, choice.dtype), elements, 0)
        return lax.pad(chosen, np.zeros((), chosen.dtype), padding)

    def remainders(self, choice: Any, x: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
        """x in parts whose transpose is one concatenation, each with its first position along every axis.

        Strides take every stride-th position. One axis at stride 1 is cut where windows begin and end to be whole.
        """
        strided = [along for along in self.windows if along.stride > 1]
        if not strided and len(self.windows) == 1:
            (along,) = self.windows
            length = x.shape[along.axis]
            whole = max(along.reach - 1 - along.before, 0), min(choice.shape[along.axis] - along.before, length)
            cuts = [0, *whole, length] if whole[0] < whole[1] else [0, length]
            parts = lax.split(x, [stop - start for start, stop in itertools.pairwise(cuts)], along.axis)
            yield from (((start,), part) for start, part in zip(cuts, parts, strict=False))
            return
        axes, strides = tuple(along.axis for along in strided), tuple(along.stride for along in strided)
        filled = tuple(Along(along.axis, 1, after=-x.shape[along.axis] % along.stride) for along in strided)
        split, places = Cells(axes, strides).split(padded(x, filled, 0))
        for remainder, part in _apart(split, sorted(places)):
            first = dict(zip(sorted(axes), remainder, strict=True))
            yield tuple(first.get(along.axis, 0) for along in self.windows), part


def _apart(x: Any, axes: Sequence[int]) -> Iterator[tuple[tuple[int, ...], Any]]:
    """x by its positions along these axes, which are left out."""
    if not axes:
        yield (), x
        return
    *rest, last = axes
    for position, part in enumerate(lax.split(x, [1] * x.shape[last], last)):
        for others, element in _apart(lax.squeeze(part, (last,)), rest):
            yield (*others, position), element


@dataclass(frozen=True)
class Doubling:
    """Reductions of windows along one axis, from those of 1, 2, 4, … elements."""

    along: Along

    @property
    def padding(self) -> Windows:
        return (self.along,)

    def fold(self, x: Any, reduction: Reduction) -> Any:
        reduced = self.sums(x) if reduction.combine is lax.add else self.extremes(x, reduction)
        return lax.slice_in_dim(reduced, 0, reduced.shape[self.along.axis], self.along.stride, self.along.axis)

    def halves(self, x: Any, shift: int) -> tuple[Any, Any]:
        axis, distance = self.along.axis, shift * self.along.step
        length = x.shape[axis]
        return lax.slice_in_dim(x, 0, length - distance, axis=axis), lax.slice_in_dim(x, distance, length, axis=axis)

    def extremes(self, x: Any, reduction: Reduction) -> Any:
        """The last two halves overlap."""
        width = 1
        while width < self.along.width:
            shift = min(width, self.along.width - width)
            x, width = reduction.combine(*self.halves(x, shift)), width + shift
        return x

    def sums(self, x: Any) -> Any:
        """No element twice: the width as a sum of powers of two."""
        axis, (width, step) = self.along.axis, (self.along.width, self.along.step)
        outputs = x.shape[axis] - (width - 1) * step
        total, done, power = None, 0, 1
        while True:
            if width & power:
                part = lax.slice_in_dim(x, done * step, done * step + outputs, axis=axis)
                total, done = part if total is None else total + part, done + power
            if done == width:
                return total
            x, power = lax.add(*self.halves(x, power)), 2 * power


@dataclass(frozen=True)
class Ragged:
    """Windows of differing widths along one axis, each a slice."""

    windows: Pieces
    padding: ClassVar[Windows] = ()

    @property
    def choices(self) -> int:
        return max(stop - start for start, stop in self.windows.pieces)

    def pieces(self, x: Any) -> Iterator[Any]:
        return (lax.slice_in_dim(x, start, stop, axis=self.windows.axis) for start, stop in self.windows.pieces)

    def fold(self, x: Any, reduction: Reduction) -> Any:
        parts = [reduction.reduce(piece, axis=self.windows.axis) for piece in self.pieces(x)]
        return jnp.stack(parts, self.windows.axis)

    def winners(self, x: Any, reduction: Reduction) -> tuple[Any, Any]:
        axis = self.windows.axis
        dtype = _code(self.choices)
        found = [Cells((axis,), (piece.shape[axis],)).winners(piece, reduction) for piece in self.pieces(x)]
        values, choices = zip(*found, strict=True)
        return lax.concatenate(values, axis), lax.concatenate([choice.astype(dtype) for choice in choices], axis)

    def take(self, choice: Any, x: Any) -> Any:
        axis, taken = self.windows.axis, []
        for i, piece in enumerate(self.pieces(x)):
            own = lax.slice_in_dim(choice, i, i + 1, axis=axis)
            taken.append(Cells((axis,), (piece.shape[axis],)).take(own.astype(_code(piece.shape[axis])), piece))
        return lax.concatenate(taken, axis)


Step = Cells | Overlapping | Ragged


def _split_sharding(x: Any, axes: tuple[int, ...]) -> NamedSharding | None:
    """How x with these axes split is sharded, where its type says how x is: the axes that are split are whole."""
    given = jax.typeof(x).sharding
    if not any(given.spec):
        return None
    spec: list[Any] = []
    for axis, name in enumerate(given.spec):
        spec += [None, None] if axis in axes else [name]
    return NamedSharding(given.mesh, PartitionSpec(*spec))


def _code(count: int) -> Any:
    """The smallest unsigned dtype that numbers `count` elements."""
    return np.dtype("uint8" if count <= 2**8 else "uint16" if count <= 2**16 else "uint32")


def folds(windows: Windows) -> Iterator[Step | Doubling]:
    """The steps that reduce one axis at a time, the last axis first."""
    for along in reversed(windows):
        cells, rest = _apart_from_cells(along)
        yield from cells
        if rest is not None:
            yield Overlapping((rest,)) if _is_small(rest) else Doubling(rest)


def steps(windows: Windows) -> tuple[Step, ...]:
    """The steps that find the winners: the last axis first, so that ties go to the first element in row-major order."""
    sliding = tuple(along for along in windows if isinstance(along, Along))
    if len(sliding) == len(windows) and all(along.apart for along in sliding):
        return (Cells(tuple(along.axis for along in sliding), tuple(along.width for along in sliding), sliding),)
    if len(sliding) == len(windows) and math.prod(along.width for along in sliding) <= COMPARED_AT_ONCE:
        return (Overlapping(sliding),)
    found: list[Step] = []
    for along in reversed(windows):
        cells, rest = _apart_from_cells(along)
        found += cells
        if rest is not None:
            found += [Overlapping((rest,))] if _is_small(rest) else _in_parts(rest)
    return tuple(found)


def _apart_from_cells(along: Along | Pieces) -> tuple[list[Step], Along | None]:
    """The windows along an axis as windows that tile it, or slices of it, and the windows over these, if any."""
    if isinstance(along, Pieces):
        return [Ragged(along)], None
    cell = math.gcd(along.width, along.stride) if along.step == 1 else 1
    if cell == 1:
        return [], None if along.width == along.stride == 1 else along
    rest = Along(along.axis, along.width // cell, along.stride // cell)
    return [Cells((along.axis,), (cell,), (along,))], None if rest.width == rest.stride == 1 else rest


def _is_small(along: Along) -> bool:
    return along.width <= (COMPARED_AT_ONCE if along.stride == 1 else STRIDED_AT_ONCE)


def _in_parts(along: Along) -> Iterator[Overlapping]:
    """Windows along an axis as windows over smaller ones, which overlap: the first winner of the first one wins."""
    (width, _), *others = _parts(along.width)
    pads = Along(along.axis, 1, before=along.before, after=along.after)
    yield Overlapping((Along(along.axis, width, 1 if others else along.stride, along.step),), (pads,))
    for number, (parts, distance) in enumerate(others, 1):
        stride = along.stride if number == len(others) else 1
        yield Overlapping((Along(along.axis, parts, stride, distance * along.step),))


def _parts(width: int) -> tuple[tuple[int, int], ...]:
    """How to make windows of that many elements in passes, of the (number, distance) of their parts.

    The parts of the first pass are elements. `number` parts of b elements, `distance` ≤ b apart, make one of
    b + (number − 1)·distance.
    """
    passes, later = 1, []
    while COMPARED_IN_PARTS**passes < width:
        passes += 1
    for left in range(passes, 1, -1):
        number = round(width ** (1 / left))
        later.append((number, width // number))
        width -= (number - 1) * (width // number)
    return ((width, 1), *reversed(later))
