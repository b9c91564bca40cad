"""The steps that a pooling in JAX is made of: for each, its reduction, which elements it selects, and how to take them.

Every step pools one axis or several of an array that has been padded by its `padding`. Where an extreme is taken,
`select` gives with it the offset of the selected element in its window, as small unsigned integers; `take` gives the
elements at those offsets, is linear in the array, and is written so that its transpose compares and writes.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from anypool.adapters.jax.windows import AxisWindows, Reduction, Slices, Windows, padded

COMPARED_AT_ONCE = 16
"""Elements of an overlapping window, at most, that are compared all at once: over all axes, or along one at stride 1;
beyond, the extremes of parts of the window are compared."""

STRIDED_AT_ONCE = 9
"""The same along one axis at other strides."""

COMPARED_IN_PARTS = 6
"""Elements of a part, and parts of a window, that are compared in one pass, about."""


@dataclass(frozen=True)
class Tiled:
    """Windows that tile `axes`, of `sizes` elements along each."""

    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    padding: Windows = ()

    @property
    def window_size(self) -> int:
        """How many elements a window has, at most, and so how many offsets there are; for every step."""
        return math.prod(self.sizes)

    def split(self, x: Any) -> tuple[Any, tuple[int, ...]]:
        """x with each axis as two, tiles and elements of a tile; and which the latter are, in the order of `axes`."""
        shape: list[Any] = []
        inner = {}
        for axis, length in enumerate(x.shape):
            if axis in self.axes:
                size = self.sizes[self.axes.index(axis)]
                shape.append(length // size)
                inner[axis] = len(shape)
                shape.append(size)
            else:
                shape.append(length)
        sharding = _split_sharding(x, self.axes)
        return lax.reshape(x, shape, out_sharding=sharding), tuple(inner[axis] for axis in self.axes)

    def offsets(self, ndim: int, inner: tuple[int, ...], dtype: Any) -> Any:
        """The offset of every element in its tile, row-major, in a shape that broadcasts to the split array."""
        offset: Any = np.zeros((), dtype)
        for place, size in zip(inner, self.sizes, strict=True):
            shape = [size if axis == place else 1 for axis in range(ndim)]
            offset = offset * np.asarray(size, dtype) + lax.broadcasted_iota(dtype, shape, place)
        return offset

    def as_windows(self) -> Overlapping:
        return Overlapping(
            tuple(AxisWindows(axis, size, size) for axis, size in zip(self.axes, self.sizes, strict=True))
        )

    def reduce(self, x: Any, reduction: Reduction) -> Any:
        tiles, inner = self.split(x)
        for axis in sorted(inner, reverse=True):
            tiles = reduction.reduce(tiles, axis=axis)
        return tiles

    def select(self, x: Any, reduction: Reduction) -> tuple[Any, Any]:
        """The extreme of every window, and its offset."""
        size = self.window_size
        if size <= COMPARED_AT_ONCE:
            return self.as_windows().select(x, reduction)
        tiles, inner = self.split(x)
        best = reduction.reduce(tiles, axis=inner, keepdims=True)
        # XLA's CPU compiler may leave NaN out of a maximum. Elements that are NaN have codes below those of the others.
        dtype = _offset_dtype(2 * size)
        offset, others = self.offsets(tiles.ndim, inner, dtype), np.asarray(size, dtype)
        code = jnp.where(tiles == best, offset + others, np.asarray(2 * size - 1, dtype))
        first = jnp.min(jnp.where(tiles != tiles, offset, code), axis=inner)
        values, is_nan = lax.squeeze(best, inner), first < others
        if jnp.issubdtype(x.dtype, jnp.floating):
            values = jnp.where(is_nan, np.asarray(np.nan, x.dtype), values)
        return values, jnp.where(is_nan, first, first - others).astype(_offset_dtype(size))

    def take(self, offset: Any, x: Any) -> Any:
        """The elements at these offsets; linear in x."""
        tiles, inner = self.split(x)
        selected = jnp.expand_dims(offset, inner) == self.offsets(tiles.ndim, inner, offset.dtype)
        return jnp.sum(jnp.where(selected, tiles, 0), axis=inner, dtype=x.dtype)


@dataclass(frozen=True)
class Overlapping:
    """Small windows that overlap, along all axes at once. What padding they have themselves they see to themselves."""

    windows: tuple[AxisWindows, ...]
    padding: Windows = ()

    @property
    def window_size(self) -> int:
        return math.prod(along.kernel_size for along in self.windows)

    def places(self) -> Iterator[tuple[int, ...]]:
        """The elements of a window, row-major."""
        return np.ndindex(*(along.kernel_size for along in self.windows))

    def elements(self, x: Any) -> Iterator[Any]:
        """The first element of every window, then the second, and so on; x is padded."""
        for place in self.places():
            start, stop, stride = [0] * x.ndim, list(x.shape), [1] * x.ndim
            for along, j in zip(self.windows, place, strict=True):
                outputs = (x.shape[along.axis] - along.span) // along.stride + 1
                start[along.axis] = j * along.dilation
                stop[along.axis] = j * along.dilation + (outputs - 1) * along.stride + 1
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

    def reduce(self, x: Any, reduction: Reduction) -> Any:
        def reduced(x: Any) -> tuple[Any, ...]:
            arrays = list(self.elements(x))
            while len(arrays) > 1:  # in pairs: that errs less than one after the other, and takes less time
                arrays = [functools.reduce(reduction.combine, arrays[i : i + 2]) for i in range(0, len(arrays), 2)]
            return tuple(arrays)

        (values,) = self.in_parts(reduced, x, reduction.identity(x.dtype))
        return values

    def select(self, x: Any, reduction: Reduction) -> tuple[Any, Any]:
        def found(x: Any) -> tuple[Any, Any]:
            best, *others = self.elements(x)
            offset = jnp.zeros_like(best, _offset_dtype(self.window_size))
            for number, element in enumerate(others, 1):
                wins = reduction.later_wins(best, element)
                best = jnp.where(wins, element, best)
                offset = jnp.where(wins, np.asarray(number, offset.dtype), offset)
            return best, offset

        values, offset = self.in_parts(found, x, reduction.identity(x.dtype))
        return values, offset

    def take(self, offset: Any, x: Any) -> Any:
        """Its transpose is a sum of shifted upstreams for every remainder by the strides, interleaved: no scatter."""
        total: Any = jnp.zeros(offset.shape, x.dtype)
        for first, elements in self.remainders(offset, x):
            counts = [elements.shape[along.axis] for along in self.windows]
            for number, place in enumerate(self.places()):
                outputs = [offset.shape[along.axis] for along in self.windows]
                spans = list(map(AxisWindows.meeting, self.windows, place, first, counts, outputs))
                if None not in spans:
                    total = total + self.taken(number, spans, offset, elements)
        return total

    def taken(self, number: int, spans: Sequence[Any], offset: Any, elements: Any) -> Any:
        """What the windows in `spans` take from `elements`, if their offset is that number."""
        padding = [(0, 0, 0)] * offset.ndim
        for along, (start, stop, element) in zip(self.windows, spans, strict=True):
            axis = along.axis
            padding[axis] = (start, offset.shape[axis] - stop, 0)
            offset = lax.slice_in_dim(offset, start, stop, axis=axis)
            elements = lax.slice_in_dim(elements, element, element + stop - start, axis=axis)
        taken = jnp.where(offset == np.asarray(number, offset.dtype), elements, 0)
        return lax.pad(taken, np.zeros((), taken.dtype), padding)

    def remainders(self, offset: Any, x: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
        """x in parts whose transpose is one concatenation, each with its first position along every axis.

        Strides take every stride-th position. One axis at stride 1 is cut where windows begin and end to be whole.
        """
        strided = [along for along in self.windows if along.stride > 1]
        if not strided and len(self.windows) == 1:
            (along,) = self.windows
            length = x.shape[along.axis]
            whole = max(along.span - 1 - along.pad_before, 0), min(offset.shape[along.axis] - along.pad_before, length)
            cuts = [0, *whole, length] if whole[0] < whole[1] else [0, length]
            parts = lax.split(x, [stop - start for start, stop in itertools.pairwise(cuts)], along.axis)
            yield from (((start,), part) for start, part in zip(cuts, parts, strict=False))
            return
        axes, strides = tuple(along.axis for along in strided), tuple(along.stride for along in strided)
        filled = tuple(AxisWindows(along.axis, 1, pad_after=-x.shape[along.axis] % along.stride) for along in strided)
        split, inner = Tiled(axes, strides).split(padded(x, filled, 0))
        for remainder, part in _unstacked(split, sorted(inner)):
            first = dict(zip(sorted(axes), remainder, strict=True))
            yield tuple(first.get(along.axis, 0) for along in self.windows), part


def _unstacked(x: Any, axes: Sequence[int]) -> Iterator[tuple[tuple[int, ...], Any]]:
    """x by its positions along these axes, which are left out."""
    if not axes:
        yield (), x
        return
    *rest, last = axes
    for position, part in enumerate(lax.split(x, [1] * x.shape[last], last)):
        for others, element in _unstacked(lax.squeeze(part, (last,)), rest):
            yield (*others, position), element


@dataclass(frozen=True)
class Doubling:
    """Reductions of windows along one axis, from those of 1, 2, 4, … elements."""

    along: AxisWindows

    @property
    def padding(self) -> Windows:
        return (self.along,)

    def reduce(self, x: Any, reduction: Reduction) -> Any:
        reduced = self.sums(x) if reduction.combine is lax.add else self.extremes(x, reduction)
        return lax.slice_in_dim(reduced, 0, reduced.shape[self.along.axis], self.along.stride, self.along.axis)

    def halves(self, x: Any, shift: int) -> tuple[Any, Any]:
        axis, distance = self.along.axis, shift * self.along.dilation
        length = x.shape[axis]
        return lax.slice_in_dim(x, 0, length - distance, axis=axis), lax.slice_in_dim(x, distance, length, axis=axis)

    def extremes(self, x: Any, reduction: Reduction) -> Any:
        """The last two halves overlap."""
        width = 1
        while width < self.along.kernel_size:
            shift = min(width, self.along.kernel_size - width)
            x, width = reduction.combine(*self.halves(x, shift)), width + shift
        return x

    def sums(self, x: Any) -> Any:
        """No element twice: the width as a sum of powers of two."""
        axis, width, dilation = self.along.axis, self.along.kernel_size, self.along.dilation
        outputs = x.shape[axis] - (width - 1) * dilation
        total, done, power = None, 0, 1
        while True:
            if width & power:
                part = lax.slice_in_dim(x, done * dilation, done * dilation + outputs, axis=axis)
                total, done = part if total is None else total + part, done + power
            if done == width:
                return total
            x, power = lax.add(*self.halves(x, power)), 2 * power


@dataclass(frozen=True)
class PerWindow:
    """Windows of differing widths along one axis, each a slice."""

    windows: Slices
    padding: ClassVar[Windows] = ()

    @property
    def window_size(self) -> int:
        return max(stop - start for start, stop in self.windows.bounds)

    def slices(self, x: Any) -> Iterator[Any]:
        return (lax.slice_in_dim(x, start, stop, axis=self.windows.axis) for start, stop in self.windows.bounds)

    def reduce(self, x: Any, reduction: Reduction) -> Any:
        parts = [reduction.reduce(part, axis=self.windows.axis) for part in self.slices(x)]
        return jnp.stack(parts, self.windows.axis)

    def select(self, x: Any, reduction: Reduction) -> tuple[Any, Any]:
        axis = self.windows.axis
        dtype = _offset_dtype(self.window_size)
        found = [Tiled((axis,), (part.shape[axis],)).select(part, reduction) for part in self.slices(x)]
        values, offsets = zip(*found, strict=True)
        return lax.concatenate(values, axis), lax.concatenate([offset.astype(dtype) for offset in offsets], axis)

    def take(self, offset: Any, x: Any) -> Any:
        axis, taken = self.windows.axis, []
        for i, part in enumerate(self.slices(x)):
            own = lax.slice_in_dim(offset, i, i + 1, axis=axis)
            taken.append(Tiled((axis,), (part.shape[axis],)).take(own.astype(_offset_dtype(part.shape[axis])), part))
        return lax.concatenate(taken, axis)


Step = Tiled | Overlapping | PerWindow


def _split_sharding(x: Any, axes: tuple[int, ...]) -> NamedSharding | None:
    """How x with these axes split is sharded, where its type says how x is: the axes that are split are whole."""
    given = jax.typeof(x).sharding
    if not any(given.spec):
        return None
    spec: list[Any] = []
    for axis, name in enumerate(given.spec):
        spec += [None, None] if axis in axes else [name]
    return NamedSharding(given.mesh, PartitionSpec(*spec))


def _offset_dtype(count: int) -> Any:
    """The smallest unsigned dtype that numbers `count` elements."""
    return np.dtype("uint8" if count <= 2**8 else "uint16" if count <= 2**16 else "uint32")


def reduction_steps(windows: Windows) -> Iterator[Step | Doubling]:
    """The steps that reduce one axis at a time, the last axis first."""
    for along in reversed(windows):
        tiled, rest = _without_tiles(along)
        yield from tiled
        if rest is not None:
            yield Overlapping((rest,)) if _is_small(rest) else Doubling(rest)


def selection_steps(windows: Windows) -> tuple[Step, ...]:
    """The steps that select extremes: the last axis first, so that ties go to the first element in row-major order."""
    sliding = tuple(along for along in windows if isinstance(along, AxisWindows))
    if len(sliding) == len(windows) and all(along.tiles for along in sliding):
        return (Tiled(tuple(along.axis for along in sliding), tuple(along.kernel_size for along in sliding), sliding),)
    if len(sliding) == len(windows) and math.prod(along.kernel_size for along in sliding) <= COMPARED_AT_ONCE:
        return (Overlapping(sliding),)
    found: list[Step] = []
    for along in reversed(windows):
        tiled, rest = _without_tiles(along)
        found += tiled
        if rest is not None:
            found += [Overlapping((rest,))] if _is_small(rest) else _in_parts(rest)
    return tuple(found)


def _without_tiles(along: AxisWindows | Slices) -> tuple[list[Step], AxisWindows | None]:
    """The windows along an axis as windows that tile it, or slices of it, and the windows over these, if any."""
    if isinstance(along, Slices):
        return [PerWindow(along)], None
    size = math.gcd(along.kernel_size, along.stride) if along.dilation == 1 else 1
    if size == 1:
        return [], None if along.kernel_size == along.stride == 1 else along
    rest = AxisWindows(along.axis, along.kernel_size // size, along.stride // size)
    return [Tiled((along.axis,), (size,), (along,))], None if rest.kernel_size == rest.stride == 1 else rest


def _is_small(along: AxisWindows) -> bool:
    return along.kernel_size <= (COMPARED_AT_ONCE if along.stride == 1 else STRIDED_AT_ONCE)


def _in_parts(along: AxisWindows) -> Iterator[Overlapping]:
    """Windows along an axis as windows over smaller ones, which overlap: ties go to the first of them."""
    (width, _), *others = _parts(along.kernel_size)
    pads = AxisWindows(along.axis, 1, pad_before=along.pad_before, pad_after=along.pad_after)
    yield Overlapping((AxisWindows(along.axis, width, 1 if others else along.stride, along.dilation),), (pads,))
    for number, (parts, distance) in enumerate(others, 1):
        stride = along.stride if number == len(others) else 1
        yield Overlapping((AxisWindows(along.axis, parts, stride, distance * along.dilation),))


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
