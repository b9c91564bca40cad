"""Where: windows over an array. All the geometry of pooling lives here, once.

A window (`Sliding`, `Adaptive`, `Global`) and an array's lengths make a plan: one `AxisPlan` per pooled axis, in
closed form.
Everything is arithmetic on positions, in Python integers where a length is known and in a framework's own
integers where it is not, so lengths may also be symbolic (JAX export) or scalar tensors (TensorFlow graphs).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LARGEST = 2**31 - 1
"""No size, stride, padding or dilation may exceed this, so that positions and products of two fit 64 bits."""

PADDINGS = ("valid", "same", "same_lower")


def is_known(length: Any) -> bool:
    """Whether a length is a plain integer, not a framework's symbol for one."""
    return isinstance(length, int)


# ---------------------------------------------------------------------------------------------------------------------
# Plans: the windows along one axis


@dataclass(frozen=True)
class AxisPlan:
    """Windows along one axis of `length` elements: output i reads positions start(i) + j·step for 0 ≤ j < count(i).

    `width` is the largest count. Positions outside [0, length) are padding. `length`, `outputs` and `width` are Python
    integers where the length is known, the framework's integers where it is not. Every method takes integers or integer
    arrays of any framework, and uses only arithmetic and comparison.
    """

    length: Any
    outputs: Any
    width: Any
    step: int = 1

    def start(self, i: Any) -> Any:
        """First position of window i, before clipping to the array."""
        raise NotImplementedError

    def count(self, i: Any) -> Any:
        """Number of elements of window i, before clipping to the array."""
        raise NotImplementedError

    def positions(self, i: Any, j: Any) -> Any:
        """Position in the array of element j of window i; outside [0, length) for padding."""
        return self.start(i) + j * self.step

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
        first = np.clip(-(start // self.step), 0, count)
        stop = np.clip(-((start - self.length) // self.step), first, count)
        return first, stop - first

    def padded_counts(self) -> np.ndarray:
        """For every window of a known length: how many elements are in the array or its explicit padding (int64)."""
        return self.clipped()[1]

    def all_full(self, padding_counts: bool) -> bool:
        """Whether every window holds as many elements as it is wide; of the explicit padding too where that counts."""
        return False

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
    """Windows of `width` elements, `step` apart, that start every `stride` positions from −`before`."""

    stride: int = 1
    before: Any = 0
    after: Any = 0

    def start(self, i: Any) -> Any:
        return i * self.stride - self.before

    def count(self, i: Any) -> Any:
        return self.width + i * 0

    def padded(self, i: Any, j: Any) -> Any:
        return self.positions(i, j) < self.length + self.after

    def padded_counts(self) -> np.ndarray:
        start = self.start(np.arange(self.outputs, dtype=np.int64))
        return np.minimum(self.width, -((start - self.length - self.after) // self.step))

    def all_full(self, padding_counts: bool) -> bool:
        before, after = (self.before, self.after) if padding_counts else (0, 0)
        last = (self.outputs - 1) * self.stride - self.before + (self.width - 1) * self.step
        return self.before <= before and last < self.length + after

    @property
    def whole(self) -> bool:
        return is_known(self.length) and (self.outputs, self.width, self.step, self.before) == (1, self.length, 1, 0)

    @property
    def has_empty_window(self) -> bool:
        reach = (self.width - 1) * self.step
        last = (self.outputs - 1) * self.stride - self.before
        if self.outputs == 0:
            return False
        if self.length == 0 or reach < self.before or last >= self.length:
            return True
        # A dilated window may also step over a short array; only windows that start before it can.
        starts_before = range(-self.before, min(0, last + 1), self.stride)
        return self.step > self.length and any(start % self.step >= self.length for start in starts_before)


@dataclass(frozen=True)
class AdaptiveAxis(AxisPlan):
    """Output i of m reads [⌊i·n/m⌋, ⌈(i+1)·n/m⌉), in integers."""

    def start(self, i: Any) -> Any:
        return i * self.length // self.outputs

    def count(self, i: Any) -> Any:
        return -(-(i + 1) * self.length // self.outputs) - self.start(i)

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


Plan = tuple[AxisPlan, ...]


# ---------------------------------------------------------------------------------------------------------------------
# Windows: what a user writes


class Window:
    """What the three windows share: `rank`, `plan` and `output_shape`."""

    @property
    def rank(self) -> int | None:
        """How many axes the window was written for; None if it fits any number."""
        raise NotImplementedError

    @property
    def default_rank(self) -> int:
        """How many trailing axes are pooled where nobody says: one per entry of the size, two for an int."""
        return 2

    def axis_plan(self, axis: int, length: Any) -> AxisPlan:
        """The windows along the pooled axis number `axis` (0 for the first) of `length` elements."""
        raise NotImplementedError

    def plan(self, lengths: Sequence[Any]) -> Plan:
        """One `AxisPlan` per pooled axis of an array with these lengths."""
        if self.rank not in (None, len(lengths)):
            raise ValueError(
                f"{self} is written for {self.rank} axes, but {len(lengths)} axes are pooled: give one entry per axis"
            )
        return tuple(self.axis_plan(axis, length) for axis, length in enumerate(lengths))

    def output_shape(self, lengths: int | Sequence[int | None]) -> tuple[int | None, ...]:
        """Output length along each pooled axis for these input lengths (an int for one axis); None stays None.

        Raises ValueError where the window does not fit, as pooling would.

        >>> Sliding(3, stride=2, padding=1).output_shape((112, 112))
        (56, 56)
        >>> Adaptive(7).output_shape((None, 30))
        (7, 7)
        """
        given = (lengths,) if isinstance(lengths, int) else tuple(lengths)
        known = tuple(None if n is None else as_integer("lengths", n, 0) for n in given)
        if self.rank not in (None, len(known)):
            self.plan(known)
        return tuple(self._outputs(axis, n) for axis, n in enumerate(known))

    def _outputs(self, axis: int, length: int | None) -> int | None:
        return None if length is None else self.axis_plan(axis, length).outputs


@dataclass(frozen=True)
class Sliding(Window):
    """Windows of `kernel_size` elements, `dilation` apart, that start every `stride` positions.

    Outputs along an axis of n elements, padded by p₀ before and p₁ after: ⌊(n + p₀ + p₁ − d(k−1) − 1)/s⌋ + 1; with
    `ceil_mode` rounded up, less a last window that starts at or past n + p₀.

    Args:
        kernel_size: elements per window; an int, or one per axis.
        stride: distance between windows; an int, or one per axis; default: kernel_size.
        padding: positions added around the array, which are never data; an int, one per axis, ((before, after), …)
            per axis, or
            "valid" (none), "same" (⌈n/s⌉ outputs, the odd cell at the end) or "same_lower" (the odd cell at the start).
        dilation: distance between the elements of a window; an int, or one per axis.
        ceil_mode: round the number of outputs up, so that a last, partial window counts.

    Raises:
        TypeError: an entry is no integer. ValueError: an entry is out of range, or entries are for different numbers
        of axes.

    >>> Sliding(2).output_shape((5, 7))
    (2, 3)
    >>> Sliding(2, padding="same").output_shape((5, 7))
    (3, 4)
    """

    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None = None
    padding: int | str | tuple[int, ...] | tuple[tuple[int, int], ...] = 0
    dilation: int | tuple[int, ...] = 1
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the class is frozen; this is its construction
        set_field(self, "kernel_size", per_axis("kernel_size", self.kernel_size, 1))
        set_field(self, "stride", self.kernel_size if self.stride is None else per_axis("stride", self.stride, 1))
        set_field(self, "dilation", per_axis("dilation", self.dilation, 1))
        set_field(self, "padding", _padding(self.padding))
        if not isinstance(self.ceil_mode, bool | np.bool_):
            raise TypeError(f"ceil_mode must be True or False, got {self.ceil_mode!r}")
        ranks = self._ranks()
        if len(set(ranks.values())) > 1:
            said = ", ".join(f"{name}={getattr(self, name)}" for name in ranks)
            raise ValueError(f"{said}: each must have one entry per pooled axis, so all the same number")

    def _ranks(self) -> dict[str, int]:
        """How many entries each argument has that has one per axis."""
        arguments = {name: getattr(self, name) for name in ("kernel_size", "stride", "padding", "dilation")}
        return {name: len(value) for name, value in arguments.items() if isinstance(value, tuple)}

    @property
    def rank(self) -> int | None:
        return next(iter(self._ranks().values()), None)

    @property
    def default_rank(self) -> int:
        return len(self.kernel_size) if isinstance(self.kernel_size, tuple) else 2

    def axis_plan(self, axis: int, length: Any) -> SlidingAxis:
        kernel, stride, dilation = (_entry(v, axis) for v in (self.kernel_size, self.stride, self.dilation))
        span = dilation * (kernel - 1) + 1
        if self.padding in ("same", "same_lower"):
            outputs = (length + stride - 1) // stride
            total = (outputs - 1) * stride + span - length
            if span < stride:  # then total, at least span − stride, may be below 0, and is 0
                total *= _not_negative(total, stride + span)
            before = (total + (self.padding == "same_lower")) // 2
            return SlidingAxis(length, outputs, kernel, dilation, stride, before, total - before)
        before, after = _pair(self.padding, axis)
        room = length + before + after - span
        if is_known(length) and room < 0 and not (self.ceil_mode and room > -stride and length + before > 0):
            raise ValueError(
                f"kernel_size {kernel} with dilation {dilation} spans {span} positions, but pooled axis {axis} "
                f"has length {length} and padding ({before}, {after}): a window must fit"
            )
        outputs = (room + stride) // stride  # JAX proves of this form that it is no less than 0
        if self.ceil_mode:
            outputs = (room + stride - 1) // stride + 1
            past = (outputs - 1) * stride - (length + before)  # where the last window starts, seen from the end
            outputs -= _not_negative(past, after + span + stride)
        return SlidingAxis(length, outputs, kernel, dilation, stride, before, after)

    def unpooled_shape(self, outputs: Sequence[int]) -> tuple[int, ...]:
        """The input lengths that give these outputs with nothing left over: (o − 1)·s − p₀ − p₁ + d(k−1) + 1."""
        lengths = []
        for axis, number in enumerate(outputs):
            kernel, stride, dilation = (_entry(v, axis) for v in (self.kernel_size, self.stride, self.dilation))
            before, after = (0, 0) if isinstance(self.padding, str) else _pair(self.padding, axis)
            lengths.append((number - 1) * stride - before - after + dilation * (kernel - 1) + 1)
        return tuple(lengths)


@dataclass(frozen=True)
class Adaptive(Window):
    """As many windows as outputs are wanted: output i of m reads [⌊i·n/m⌋, ⌈(i+1)·n/m⌉) of n elements.

    Args:
        output_size: outputs per axis; an int, or one per axis; None keeps the axis as it is.

    Raises:
        TypeError: an entry is no integer. ValueError: an entry is below 1.

    >>> Adaptive((1, None)).output_shape((5, 7))
    (1, 7)
    """

    output_size: int | tuple[int | None, ...] | None

    def __post_init__(self) -> None:
        if self.output_size is not None:
            object.__setattr__(self, "output_size", per_axis("output_size", self.output_size, 1, optional=True))

    @property
    def rank(self) -> int | None:
        return len(self.output_size) if isinstance(self.output_size, tuple) else None

    @property
    def default_rank(self) -> int:
        return self.rank or 2

    def axis_plan(self, axis: int, length: Any) -> AxisPlan:
        wanted = _entry(self.output_size, axis)
        outputs = length if wanted is None else wanted
        if wanted is None or (is_known(length) and length and length % outputs == 0):
            width = 1 if wanted is None else length // outputs
            return SlidingAxis(length, outputs, width, stride=width)
        # ⌊n/m⌋ whole cells and a part at either end; where the remainder divides m, no window has both parts.
        parts = 1 if is_known(length) and length % outputs == math.gcd(length, outputs) else 2
        return AdaptiveAxis(length, outputs, length // outputs + parts)

    def _outputs(self, axis: int, length: int | None) -> int | None:
        wanted = _entry(self.output_size, axis)
        return wanted if wanted is not None else length


@dataclass(frozen=True)
class Global(Window):
    """One window: everything.

    >>> Global().output_shape((5, 7))
    (1, 1)
    """

    @property
    def rank(self) -> int | None:
        return None

    def axis_plan(self, axis: int, length: Any) -> AxisPlan:
        if is_known(length) and length == 0:  # one window without an element, but no reduction of no columns
            return AdaptiveAxis(0, 1, 1)
        return WholeAxis(length, 1, length)

    def _outputs(self, axis: int, length: int | None) -> int:
        return 1


# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def as_integer(name: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`; TypeError or ValueError naming the argument, the value and the rule."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer or a tuple of integers, got {value!r}") from None
    if not least <= number <= LARGEST:
        raise ValueError(f"{name} must be between {least} and {LARGEST}, got {number}")
    return number


def per_axis(name: str, value: Any, least: int, optional: bool = False) -> Any:
    """An int for every axis, or a tuple with one per axis, checked; with `optional` an entry may be None."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) or np.shape(value) == ():
        return as_integer(name, value, least)
    if len(value) == 0:
        raise ValueError(f"{name} must have one entry per pooled axis, got {value!r}")
    return tuple(None if optional and v is None else as_integer(name, v, least) for v in value)


def _padding(value: Any) -> Any:
    if isinstance(value, str):
        if value not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(map(repr, PADDINGS))} or integers, got {value!r}")
        return 0 if value == "valid" else value
    if not isinstance(value, Sequence | np.ndarray):
        return as_integer("padding", value, 0)
    pairs = [isinstance(entry, Sequence | np.ndarray) and not isinstance(entry, str) for entry in value]
    if not any(pairs):
        return per_axis("padding", value, 0)
    if not all(pairs) or any(len(entry) != 2 for entry in value):
        raise ValueError(f"padding must be an int, one int per axis or a (before, after) pair per axis, got {value!r}")
    return tuple((as_integer("padding", before, 0), as_integer("padding", after, 0)) for before, after in value)


def _entry(value: Any, axis: int) -> Any:
    return value[axis] if isinstance(value, tuple) else value


def _pair(padding: Any, axis: int) -> tuple[int, int]:
    entry = _entry(padding, axis)
    return entry if isinstance(entry, tuple) else (entry, entry)


def _not_negative(value: Any, bound: int) -> Any:
    """1 where 0 ≤ value < bound, 0 where −bound ≤ value < 0: a comparison, for integers known or not."""
    return value // bound + 1
