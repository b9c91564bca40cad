"""What the steps of a pooling in JAX are about: reductions of two arrays or an axis, and the windows along an axis."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from anypool.plans import AxisPlan, SlidingAxis
from anypool.pooling import end_padding

ALONG_ONE_AXIS = 8
"""Elements along an axis, at most, that are reduced one by one; beyond, halving and doubling cost less and err less."""

# ---------------------------------------------------------------------------------------------------------------------
# Reductions


@dataclass(frozen=True)
class Reduction:
    """A reduction of two arrays, of an axis, and its identity as a function of a dtype."""

    combine: Callable[[Any, Any], Any]
    reduce: Callable[..., Any]
    identity: Callable[[Any], Any]
    one_by_one: int
    """Elements along an axis at stride 1, at most, that one reduce_window reduces; beyond, slices are faster."""

    def later_wins(self, a: Any, b: Any) -> Any:
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
class AxisWindows:
    """Windows of `kernel_size` elements, `dilation` apart, that start every `stride` positions of a padded axis.

    Of an axis whose last elements no window reaches, `pad_after` is negative.
    """

    axis: int
    kernel_size: int
    stride: int = 1
    dilation: int = 1
    pad_before: int = 0
    pad_after: int = 0

    @classmethod
    def of(cls, axis: int, plan: AxisPlan) -> AxisWindows:
        """The sliding windows of a plan, with as much padding as they reach."""
        assert isinstance(plan, SlidingAxis)
        return cls(axis, plan.kernel_size, plan.stride, plan.dilation, plan.pad_before, end_padding(plan))

    def plan(self, length: int) -> SlidingAxis:
        """The windows as a plan of an axis of that length."""
        padding = self.pad_before, self.pad_after
        return SlidingAxis(length, self.outputs(length), self.kernel_size, self.dilation, self.stride, *padding)

    @property
    def tiles(self) -> bool:
        """Whether the windows tile the axis."""
        return self.kernel_size == self.stride and self.dilation == 1

    @property
    def span(self) -> int:
        """Positions from the first element of a window to the last, both counted."""
        return (self.kernel_size - 1) * self.dilation + 1

    def outputs(self, length: int) -> int:
        """How many windows an axis of that length has."""
        return (length + self.pad_before + self.pad_after - self.span) // self.stride + 1

    def parts(self, x: Any, value: Any) -> list[Any]:
        """The elements of the windows that begin before x, of those inside, and of those that end past it.

        Only the ends are padded, with `value`: the padded copy of a large array would cost more than what follows.
        """
        plan = self.plan(x.shape[self.axis])
        head = -(-self.pad_before // self.stride)
        tail = plan.outputs - max((plan.length + self.pad_before - self.span) // self.stride + 1, 0)
        if head + tail >= plan.outputs:
            return [padded(x, (self,), value)]
        parts = []
        for first, last in itertools.pairwise((0, head, plan.outputs - tail, plan.outputs)):
            if first < last:
                start, stop, part = plan.part(first, last)
                inside = lax.slice_in_dim(x, start, stop, axis=self.axis)
                parts.append(padded(inside, (AxisWindows.of(self.axis, part),), value))
        return parts

    def meeting(self, place: int, first: int, count: int, outputs: int) -> tuple[int, int, int] | None:
        """The windows whose element `place` is among `count` positions from `first`, a stride apart.

        As (from, to, the number of the first one's position), or None.
        """
        shift, odd = divmod(place * self.dilation - self.pad_before - first, self.stride)
        start, stop = max(0, -shift), min(outputs, count - shift)
        return None if odd or start >= stop else (start, stop, start + shift)


@dataclass(frozen=True)
class Slices:
    """One window per (start, stop) of an axis."""

    axis: int
    bounds: tuple[tuple[int, int], ...]


Windows = tuple[AxisWindows | Slices, ...]
"""The windows along each pooled axis, in the caller's order of axes."""


def padded(x: Any, windows: Windows, value: Any) -> Any:
    """x with the padding of every axis, or without the elements past its last window, where that is negative."""
    padding = [(0, 0, 0)] * x.ndim
    for along in windows:
        if isinstance(along, AxisWindows):
            padding[along.axis] = (along.pad_before, along.pad_after, 0)
    return lax.pad(x, jnp.asarray(value, x.dtype), padding) if any(any(p) for p in padding) else x
