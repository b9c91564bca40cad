"""Where, as arithmetic: the windows along each pooled axis, in closed form.

Everything is arithmetic on positions, in Python integers where a length is known and in a framework's own
integers where it is not, so lengths may also be symbolic (JAX export) or scalar tensors (TensorFlow graphs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from anypool.arguments import is_known


@dataclass(frozen=True)
class AxisPlan:
    """Windows along one axis of `length` elements: output i reads positions start(i) + j·dilation for 0 ≤ j < count(i).

    `kernel_size` is the largest count. Positions outside [0, length) are padding. `length`, `outputs` and `kernel_size`
    are Python integers where the length is known, the framework's integers where it is not. Every method takes integers
    or integer arrays of any framework, and uses only arithmetic and comparison.
    """

    length: Any
    outputs: Any
    kernel_size: Any
    dilation: int = 1

    def start(self, i: Any) -> Any:
        """First position of window i, before clipping to the array."""
        raise NotImplementedError

    def count(self, i: Any) -> Any:
        """Number of elements of window i, before clipping to the array."""
        raise NotImplementedError

    def positions(self, i: Any, j: Any) -> Any:
        """Position in the array of element j of window i; outside [0, length) for padding."""
        return self.start(i) + j * self.dilation

    def valid(self, i: Any, j: Any) -> Any:
        """Whether element j of window i is an element of the array."""
        position = self.positions(i, j)
        return (position >= 0) & (position < self.length) & (j < self.count(i))

    def padded(self, i: Any, j: Any) -> Any:
        """Whether element j of window i is an element of the array or of its explicit padding (never ceil overhang)."""
        return self.valid(i, j)

    def clipped(self) -> tuple[np.ndarray, np.ndarray]:
        """For every window of a known length: its first element j inside the array, and how many are inside (int64)."""
        i = np.arange(self.outputs, dtype=np.int64)
        start, count = self.start(i), self.count(i)
        first = np.clip(-(start // self.dilation), 0, count)
        stop = np.clip(-((start - self.length) // self.dilation), first, count)
        return first, stop - first

    def padded_counts(self) -> np.ndarray:
        """For every window of a known length: how many elements are in the array or its explicit padding (int64)."""
        return self.clipped()[1]

    def all_full(self, padding_counts: bool) -> bool:
        """Whether every window holds as many elements as it is wide; of the explicit padding too where that counts."""
        return False

    def part(self, lo: int, hi: int) -> tuple[int, int, AxisPlan]:
        """(start, stop, plan) of outputs lo to hi − 1: they read positions [start, stop) of an axis of known length,
        and `plan` gives them from these alone.

        >>> start, stop, plan = SlidingAxis(10, 5, 3, stride=2, pad_before=1).part(2, 4)
        >>> start, stop, plan.outputs, plan.start(0), plan.length
        (3, 8, 2, 0, 5)
        """
        begin = self.start(lo)
        end = max(begin, self.start(hi - 1) + (self.count(hi - 1) - 1) * self.dilation + 1)
        start, stop = min(max(begin, 0), self.length), min(max(end, 0), self.length)
        return start, stop, self.within(lo, hi, start, stop)

    def within(self, lo: int, hi: int, start: int, stop: int) -> AxisPlan:
        """Outputs lo to hi − 1 from positions [start, stop) alone: others are left out, as padding is."""
        return PartAxis(stop - start, hi - lo, self.kernel_size, self.dilation, self, lo, start)

    @property
    def whole(self) -> bool:
        """Whether there is one window and it is the whole axis."""
        return False

    @property
    def has_empty_window(self) -> bool:
        """Whether some window holds no element of the array."""
        raise NotImplementedError


@dataclass(frozen=True)
class SlidingAxis(AxisPlan):
    """Windows of `kernel_size` elements, `dilation` apart, that start every `stride` positions from −`pad_before`."""

    stride: int = 1
    pad_before: Any = 0
    pad_after: Any = 0

    def start(self, i: Any) -> Any:
        return i * self.stride - self.pad_before

    def count(self, i: Any) -> Any:
        return self.kernel_size + i * 0

    def padded(self, i: Any, j: Any) -> Any:
        return self.positions(i, j) < self.length + self.pad_after

    def padded_counts(self) -> np.ndarray:
        start = self.start(np.arange(self.outputs, dtype=np.int64))
        return np.minimum(self.kernel_size, -((start - self.length - self.pad_after) // self.dilation))

    def all_full(self, padding_counts: bool) -> bool:
        before, after = (self.pad_before, self.pad_after) if padding_counts else (0, 0)
        last = (self.outputs - 1) * self.stride - self.pad_before + (self.kernel_size - 1) * self.dilation
        return self.pad_before <= before and last < self.length + after

    def within(self, lo: int, hi: int, start: int, stop: int) -> AxisPlan:
        before, after = start - self.start(lo), self.length + self.pad_after - stop
        return SlidingAxis(stop - start, hi - lo, self.kernel_size, self.dilation, self.stride, before, after)

    @property
    def whole(self) -> bool:
        return is_known(self.length) and (self.outputs, self.kernel_size, self.dilation, self.pad_before) == (
            1,
            self.length,
            1,
            0,
        )

    @property
    def has_empty_window(self) -> bool:
        reach = (self.kernel_size - 1) * self.dilation
        last = (self.outputs - 1) * self.stride - self.pad_before
        if self.outputs == 0:
            return False
        if self.length == 0 or reach < self.pad_before or last >= self.length:
            return True
        # A dilated window may also step over a short array; only windows that start before it can.
        starts_before = range(-self.pad_before, min(0, last + 1), self.stride)
        return self.dilation > self.length and any(start % self.dilation >= self.length for start in starts_before)


@dataclass(frozen=True)
class AdaptiveAxis(AxisPlan):
    """Output i of m reads [⌊i·n/m⌋, ⌈(i+1)·n/m⌉), in integers."""

    def start(self, i: Any) -> Any:
        return i * self.length // self.outputs

    def count(self, i: Any) -> Any:
        return ((i + 1) * self.length + self.outputs - 1) // self.outputs - self.start(i)

    @property
    def has_empty_window(self) -> bool:
        return self.length == 0


@dataclass(frozen=True)
class FractionalAxis(AxisPlan):
    """Output i reads [starts[i], stops[i]), both ascending, of an axis of known length."""

    starts: tuple[int, ...] = ()
    stops: tuple[int, ...] = ()

    def start(self, i: Any) -> Any:
        return np.asarray(self.starts, np.int64)[np.asarray(i)]

    def count(self, i: Any) -> Any:
        return np.asarray(self.stops, np.int64)[np.asarray(i)] - self.start(i)

    @property
    def has_empty_window(self) -> bool:
        return self.length == 0


@dataclass(frozen=True)
class WholeAxis(AxisPlan):
    """One window: the whole axis."""

    def start(self, i: Any) -> Any:
        return i * 0

    def count(self, i: Any) -> Any:
        return self.length + i * 0

    def all_full(self, padding_counts: bool) -> bool:
        return True

    @property
    def whole(self) -> bool:
        return True

    @property
    def has_empty_window(self) -> bool:
        return self.length == 0


@dataclass(frozen=True)
class PartAxis(AxisPlan):
    """Outputs `first` and on of another plan, over the positions from `offset` on: what `AxisPlan.part` gives."""

    whole_plan: AxisPlan = AxisPlan(0, 0, 0)
    first: int = 0
    offset: int = 0

    def start(self, i: Any) -> Any:
        return self.whole_plan.start(i + self.first) - self.offset

    def count(self, i: Any) -> Any:
        return self.whole_plan.count(i + self.first)

    @property
    def has_empty_window(self) -> bool:
        return bool((self.clipped()[1] == 0).any())


Plan = tuple[AxisPlan, ...]
