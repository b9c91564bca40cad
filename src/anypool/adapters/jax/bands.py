"""Poolings of large JAX arrays band by band, so that nothing between input and output is ever as large as they are.

A band is some rows of the output along one pooled axis, and the rows of the input that they need: those of neighbouring
bands overlap as windows do. Along a pooled axis, because arrays are sharded along others. Rows that are read twice cost
about what fresh memory for another array would: of 1 GiB, value and gradient take 0.7 to 1.2 times as long as at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from anypool.adapters.jax.windows import AxisWindows, Windows
from anypool.arguments import is_known

LARGE = 2**29
"""Bytes from which an array is pooled in bands."""

BAND = 2**23
"""Bytes of a band, at least."""

SHARED = 0.25
"""Rows that a band reads as its neighbour does, at most, for each of its own."""

FEWEST = 16
"""Bands, at least: of fewer, what one needs is not small beside the array."""


@dataclass(frozen=True)
class Band:
    """The first band (place 0), the last (2), or one of those between (1), where `number` says which."""

    place: int
    windows: Windows
    number: Any = 0


@dataclass(frozen=True)
class Spans:
    """Where an array's bands lie along an axis: the (start, length) of the first, of the second, and of the last.

    From the second on, every band but the last starts `pitch` after the one before.
    """

    axis: int
    places: tuple[tuple[int, int], ...]
    pitch: int

    def of(self, x: Any, band: Band) -> Any:
        return lax.dynamic_slice_in_dim(x, self._start(band), self.places[band.place][1], self.axis)

    def put(self, x: Any, part: Any, band: Band) -> Any:
        return lax.dynamic_update_slice_in_dim(x, part, self._start(band), self.axis)

    def begun(self, part: Any) -> Any:
        """An array of which the first band is known."""
        padding = [(0, 0, 0)] * part.ndim
        padding[self.axis] = (0, sum(self.places[-1]) - part.shape[self.axis], 0)
        return lax.pad(part, jnp.zeros((), part.dtype), padding)

    def _start(self, band: Band) -> Any:
        return self.places[band.place][0] + band.number * self.pitch


@dataclass(frozen=True)
class Bands:
    """All bands of a pooling: those between the first and the last are alike, and need no padding along the axis."""

    bands: tuple[Band, Band, Band]
    between: int
    inputs: Spans
    outputs: Spans

    def fold(self, step: Callable[[Any, Band], Any], state: Any) -> Any:
        """The state after a step for every band, in order."""
        first, second, last = self.bands
        state = step(state, first)
        state = lax.fori_loop(0, self.between, lambda number, state: step(state, replace(second, number=number)), state)
        return step(state, last)

    def pooled(self, function: Callable[..., tuple[Any, ...]], x: Any) -> tuple[Any, ...]:
        """`function(part of x, windows)` of every band, its arrays put together along the axis."""
        spans = self.spans(function, x)

        def step(whole: tuple[Any, ...] | None, band: Band) -> tuple[Any, ...]:
            parts = function(fusion_barrier(partial(self.inputs.of, band=band), x), band.windows)
            if whole is None:
                return tuple(span.begun(part) for span, part in zip(spans, parts, strict=True))
            return tuple(span.put(y, part, band) for span, y, part in zip(spans, whole, parts, strict=True))

        return self.fold(step, None)

    def spans(self, function: Callable[..., tuple[Any, ...]], x: Any) -> tuple[Spans, ...]:
        """Where the bands of each of the function's arrays lie once they are put together."""

        axis = self.inputs.axis

        def lengths(band: Band) -> list[int]:
            parts = jax.eval_shape(lambda x: function(self.inputs.of(x, band), band.windows), x)
            return [part.shape[axis] for part in parts]

        return tuple(
            Spans(axis, ((0, first), (first, each), (first + self.between * each, last)), each)
            for first, each, last in zip(*map(lengths, self.bands), strict=True)
        )

    def linear(
        self,
        function: Callable[..., Any],
        kept: Sequence[Any],
        spans: Sequence[Spans | None],
        x: Any,
        shape: tuple[int, ...],
    ) -> Any:
        """`function(parts of kept, part of x, windows)` of every band, put together to that shape: T x, linear in x.

        What is kept is cut by its spans, if it has any. The transpose goes band by band as well, which JAX's of a loop
        would not: it adds an array of zeros, but for one band, to the whole for each. JAX takes other transposes from
        those who solve equations A u = b. Of u = (x, y), A u = (x, y − T x), the solution is (b₀, b₁ + T b₀), that of
        the transposed equation (b₀ + Tᵀ b₁, b₁).
        """

        def parts(kept: Any, band: Band) -> tuple[Any, ...]:
            return tuple(span.of(array, band) if span else array for span, array in zip(spans, kept, strict=True))

        def added(sign: int, x: Any, y: Any) -> Any:
            def step(y: Any, band: Band) -> Any:
                part = function(parts(kept, band), self.inputs.of(x, band), band.windows)
                return self.outputs.put(y, self.outputs.of(y, band) + sign * part, band)

            return self.fold(step, y)

        def transposed(x: Any, y: Any) -> Any:
            def step(x: Any, band: Band) -> Any:
                mine, part = fusion_barrier(lambda kept, y: (parts(kept, band), self.outputs.of(y, band)), kept, y)
                rows = self.inputs.of(x, band)
                (upstream,) = jax.linear_transpose(lambda rows: function(mine, rows, band.windows), rows)(part)
                return self.inputs.put(x, rows + upstream, band)

            return self.fold(step, x)

        x, y = lax.custom_linear_solve(
            lambda u: (u[0], added(-1, *u)),
            (x, _zeros(x, shape)),
            lambda _, b: (b[0], added(1, *b)),
            lambda _, b: (transposed(*b), b[1]),
        )
        return y + _zeros(x, shape)  # JAX's rule fails where one part of an equation has a derivative and one has none


def bands(x: Any, windows: Windows) -> Bands | None:
    """The bands in which to pool an array like x, or None where it is better pooled at once."""
    sliding = [along for along in windows if isinstance(along, AxisWindows)]
    known = all(map(is_known, x.shape))
    if not known or all(along.tiles for along in sliding) or math.prod(x.shape) * x.dtype.itemsize < LARGE:
        return None
    for along in sorted(sliding, key=lambda along: along.axis):
        length = x.shape[along.axis]
        rows = BAND / (math.prod(x.shape) // length * x.dtype.itemsize)
        shared = max(along.span - along.stride, 0)
        cut = _cut(along, windows, length, math.ceil(max(rows, shared / SHARED, along.pad_before) / along.stride))
        if cut is not None:
            return cut
    return None


def _cut(along: AxisWindows, windows: Windows, length: int, each: int) -> Bands | None:
    """Bands of `each` outputs along that axis of that length; the last takes what is left."""
    plan = along.plan(length)
    inside = (length + along.pad_before - along.span) // along.stride + 1
    between = min(inside, plan.outputs - 1) // each - 1
    if between + 2 < FEWEST:
        return None
    places = (0, each), (each, each), ((1 + between) * each, plan.outputs - (1 + between) * each)
    rows, cut = [], []
    for place, (first, count) in enumerate(places):
        start, stop, part = plan.part(first, first + count)
        rows.append((start, stop - start))
        own = AxisWindows.of(along.axis, part)
        cut.append(Band(place, tuple(own if other is along else other for other in windows)))
    inputs = Spans(along.axis, tuple(rows), each * along.stride)
    return Bands((cut[0], cut[1], cut[2]), between, inputs, Spans(along.axis, places, each))


def _zeros(x: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of that shape which JAX takes for linear in x: none of x, padded."""
    none = lax.slice(x, [0] * x.ndim, [0] * x.ndim)
    return lax.pad(none, jnp.zeros((), x.dtype), [(0, length, 0) for length in shape])


def fusion_barrier(function: Callable[..., Any], *arrays: Any) -> Any:
    """`function(*arrays)`, computed once: fused into what follows, XLA would compute it for each element there.

    A barrier says so, but XLA's CPU compiler drops barriers before it fuses. It does not fuse out of a loop of which it
    does not know that it is run once; and unlike a branch, a loop is run by all threads and its results are not copied.
    """

    def loop(*arrays: Any) -> Any:
        def step(number: Any, _: Any) -> Any:
            return function(*_within(number, arrays))

        begun = jax.tree.map(jnp.zeros_like, step(0, None))  # of its type, sharding and all: nothing is computed
        return lax.fori_loop(0, lax.optimization_barrier(jnp.asarray(1)), step, begun)

    return lax.platform_dependent(*arrays, cpu=loop, default=lambda *here: lax.optimization_barrier(function(*here)))


def materialize(x: Any) -> Any:
    """As `fusion_barrier`, of arrays that are computed: a loop that does nothing with them, where they lie."""

    def loop(x: Any) -> Any:
        return lax.fori_loop(0, lax.optimization_barrier(jnp.asarray(1)), _within, x)

    return lax.platform_dependent(x, cpu=loop, default=lax.optimization_barrier)


def _within(number: Any, arrays: Any) -> Any:
    """The arrays as they are in a loop: without the barrier, what depends on nothing else would be moved out of it."""
    return lax.optimization_barrier((number, arrays))[1]
