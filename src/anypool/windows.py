"""Where, as a user writes it: `Sliding`, `Adaptive`, `Fractional` and `Global` windows, which make plans of lengths."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anypool.arguments import as_flag, as_integer, as_number, is_known, per_axis, plain
from anypool.plans import AdaptiveAxis, AxisPlan, FractionalAxis, Plan, SlidingAxis, WholeAxis

PADDINGS = ("valid", "same", "same_lower")
PADDING_MODES = ("exclude", "zeros", "reflect", "replicate", "circular")


class Window:
    """What the windows share: `rank`, `plan` and `output_shape`."""

    __match_args__: tuple[str, ...] = ()

    @property
    def rank(self) -> int | None:
        """How many axes the window was written for; None if it fits any number."""
        raise NotImplementedError

    @property
    def default_rank(self) -> int:
        """How many trailing axes are pooled where nobody says: one per entry of the size, two for an int."""
        return 2

    @property
    def pads_with_data(self) -> bool:
        """Whether there are elements beyond the edge of an array."""
        return False

    def elements(self, rank: int) -> int | None:
        """How many elements a window over so many axes has, padding among them; None where that depends on lengths."""
        return None

    def axis_plan(self, entry: int, length: Any, axis: int | None = None) -> AxisPlan:
        """The windows along an axis of `length` elements by entry number `entry` of the window's arguments.

        `axis` is the axis's number in the array, for errors.
        """
        raise NotImplementedError

    def plan(self, lengths: Sequence[Any], axes: Sequence[int] | None = None) -> Plan:
        """One `AxisPlan` per pooled axis of an array with these lengths; `axes` are their numbers in it, for errors."""
        if self.rank not in (None, len(lengths)):
            raise ValueError(
                f"{self} is written for {self.rank} axes, but {len(lengths)} axes are pooled: give one entry per axis"
            )
        numbers = range(len(lengths)) if axes is None else axes
        return tuple(
            self.axis_plan(entry, length, axis)
            for entry, (length, axis) in enumerate(zip(lengths, numbers, strict=True))
        )

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
        return tuple(self._outputs(entry, n) for entry, n in enumerate(known))

    def _outputs(self, entry: int, length: int | None) -> int | None:
        return None if length is None else self.axis_plan(entry, length, entry).outputs


@dataclass(frozen=True)
class Sliding(Window):
    """Windows of `kernel_size` elements, `dilation` apart, that start every `stride` positions.

    Outputs along an axis of n elements, padded by p₀ before and p₁ after: ⌊(n + p₀ + p₁ − d(k−1) − 1)/s⌋ + 1; with
    `ceil_mode` rounded up, less a last window that starts at or past n + p₀.

    Args:
        kernel_size: elements per window; an int, or one per axis.
        stride: distance between windows; an int, or one per axis; default: kernel_size.
        padding: positions added around the array; an int, one per axis, ((before, after), …) per axis, or, in any case
            of letters, "valid" (none), "same" (⌈n/s⌉ outputs, the extra padding of an odd number at the end) or
            "same_lower" (at the start).
        dilation: distance between the elements of a window; an int, or one per axis.
        ceil_mode: round the number of outputs up, so that a last, partial window counts.
        padding_mode: what lies in the padding: "exclude", nothing, so that windows at the border have fewer elements;
            or elements like others: "zeros", "reflect" (mirrored at the last element, which is not repeated),
            "replicate" (the last element) or "circular" (the array's other end), as in torch.nn.Conv2d. The part of a
            window past the padding, which `ceil_mode` can make, never holds an element.

    Raises:
        TypeError: an entry is no integer. ValueError: an entry is out of range, entries are for different numbers of
        axes, or an axis is too short for the padding mode: "reflect" needs less padding than it has elements,
        "circular" no more, "replicate" one.

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
    padding_mode: str = "exclude"

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the class is frozen; this is its construction
        set_field(self, "kernel_size", per_axis("kernel_size", self.kernel_size, 1))
        set_field(self, "stride", self.kernel_size if self.stride is None else per_axis("stride", self.stride, 1))
        set_field(self, "dilation", per_axis("dilation", self.dilation, 1))
        set_field(self, "padding", _padding(self.padding))
        set_field(self, "ceil_mode", as_flag("ceil_mode", self.ceil_mode))
        if self.padding_mode not in PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {', '.join(map(repr, PADDING_MODES))}, got {self.padding_mode!r}"
            )
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

    def elements(self, rank: int) -> int:
        return math.prod(_entry(self.kernel_size, entry) for entry in range(rank))

    def axis_plan(self, entry: int, length: Any, axis: int | None = None) -> SlidingAxis:
        kernel, stride, dilation = (_entry(v, entry) for v in (self.kernel_size, self.stride, self.dilation))
        span = dilation * (kernel - 1) + 1
        if self.padding in ("same", "same_lower"):
            outputs = (length + stride - 1) // stride
            total = (outputs - 1) * stride + span - length
            if span < stride:  # then total, at least span − stride, may be below 0, and is 0
                total *= _not_negative(total, stride + span)
            lower = int(self.padding == "same_lower")
            # Divided is what is positive, however a program that is made of this rewrites it: ONNX rounds towards 0.
            before = (total + lower) // 2 if span < stride else (total + lower + 2 * length) // 2 - length
            self._check_mode(length, before, total - before, entry if axis is None else axis)
            return SlidingAxis(length, outputs, kernel, dilation, stride, before, total - before)
        axis = entry if axis is None else axis
        before, after = _pair(self.padding, entry)
        room = length + before + after - span
        if is_known(length) and room < 0 and not (self.ceil_mode and room > -stride and length + before > 0):
            raise ValueError(
                f"kernel_size {kernel} with dilation {dilation} spans {span} positions, but axis {axis} has length "
                f"{length} and padding ({before}, {after}): a window must fit"
            )
        self._check_mode(length, before, after, axis)
        room += self.floor_padding(entry) - after
        outputs = (room + stride) // stride  # JAX proves of this form that it is no less than 0
        return SlidingAxis(length, outputs, kernel, dilation, stride, before, after)

    @property
    def pads_with_data(self) -> bool:
        return self.padding_mode != "exclude" and self.padding != 0

    def least_length(self, before: Any, after: Any) -> Any:
        """How many elements an axis must have for so much padding."""
        if self.padding_mode in ("exclude", "zeros"):
            return 0
        most = before if not is_known(after) or (is_known(before) and before > after) else after
        return {"reflect": most + 1, "circular": most, "replicate": 1}[self.padding_mode]

    def _check_mode(self, length: Any, before: Any, after: Any, axis: int) -> None:
        """ValueError where an axis of known length has too few elements for the padding."""
        if not is_known(length) or not (before or after) or length >= self.least_length(before, after):
            return
        rules = {"reflect": "less padding than elements", "circular": "no more padding than elements"}
        raise ValueError(
            f"padding_mode {self.padding_mode!r} needs {rules.get(self.padding_mode, 'an element')} along an axis, but "
            f"axis {axis} has length {length} and padding ({before}, {after})"
        )

    def data_padding(self, entry: int, plan: AxisPlan) -> tuple[Any, Any]:
        """How many elements lie before and after an axis with this plan, where padding is data: what windows reach."""
        assert isinstance(plan, SlidingAxis)
        if isinstance(self.padding, str):
            return plan.pad_before, plan.pad_after
        return plan.pad_before, min(plan.pad_after, self.floor_padding(entry))

    def over_padded(self, rank: int) -> Sliding:
        """The same windows over an array that has its padding already: what hangs over its end is excluded."""
        overhang: tuple[int, ...] = ()
        if self.ceil_mode and not isinstance(self.padding, str):
            overhang = tuple(self.floor_padding(entry) - _pair(self.padding, entry)[1] for entry in range(rank))
        padding = tuple((0, max(after, 0)) for after in overhang) if any(after > 0 for after in overhang) else 0
        return Sliding(self.kernel_size, self.stride, padding, self.dilation)

    @property
    def leaves_lengths_open(self) -> bool:
        """Whether axes of several lengths have the same number of windows."""
        strides = self.stride if isinstance(self.stride, tuple) else (self.stride,)
        return any(stride != 1 for stride in strides)

    def floor_padding(self, entry: int) -> int:
        """The padding after axis number `entry` of explicit padding that gives, rounded down, as many windows as there
        are: what was asked for, and in ceil mode the overhang that the last window may have.

        Windows start every s positions, so up to s − 1 more make room for the partial one. It must start before
        n + p₀, and does where no more than d(k−1) positions follow.

        >>> Sliding(3, stride=2, ceil_mode=True).floor_padding(0)
        1
        """
        kernel, stride, dilation = (_entry(v, entry) for v in (self.kernel_size, self.stride, self.dilation))
        after = _pair(self.padding, entry)[1]
        if not self.ceil_mode:
            return after
        return min(max(dilation * (kernel - 1), after - 1), after + stride - 1)

    def unpooled_shape(self, outputs: Sequence[int]) -> tuple[int, ...]:
        """The input lengths that give these outputs with nothing left over: (o − 1)·s − p₀ − p₁ + d(k−1) + 1."""
        lengths = []
        for entry, number in enumerate(outputs):
            kernel, stride, dilation = (_entry(v, entry) for v in (self.kernel_size, self.stride, self.dilation))
            before, after = (0, 0) if isinstance(self.padding, str) else _pair(self.padding, entry)
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

    def axis_plan(self, entry: int, length: Any, axis: int | None = None) -> AxisPlan:
        wanted = _entry(self.output_size, entry)
        outputs = length if wanted is None else wanted
        if wanted is None or (is_known(length) and length and length % outputs == 0):
            width = 1 if wanted is None else length // outputs
            return SlidingAxis(length, outputs, width, stride=width)
        if wanted == 1 and not is_known(length):
            return WholeAxis(length, 1, length)
        # ⌊n/m⌋ whole cells of n/m and a part at either end; where the remainder divides m, no window has both parts.
        parts = 1 if is_known(length) and length % outputs == math.gcd(length, outputs) else 2
        return AdaptiveAxis(length, outputs, length // outputs + parts)

    def _outputs(self, entry: int, length: int | None) -> int | None:
        wanted = _entry(self.output_size, entry)
        return wanted if wanted is not None else length


@dataclass(frozen=True)
class Fractional(Window):
    """As many windows as outputs are wanted, at steps that differ by one, by lot.

    Of n elements and m outputs, windows that tile the axis, of ⌊n/m⌋ or ⌈n/m⌉ elements: a_j to a_(j+1) with a_j =
    ⌊(j + u)·n/m⌋ − ⌊u·n/m⌋. With `kernel_size` k, windows that may overlap: a_j to a_j + k, with α = (n − k)/(m − 1)
    in the place of n/m and the last at n − k, as in torch.nn.FractionalMaxPool2d. With `seed` the steps a_(j+1) − a_j
    are these in random order. Source: Graham 2014, arXiv 1412.6071.

    Args:
        output_size: outputs per axis; an int, or one per axis.
        kernel_size: elements per window, an int, or one per axis; default: windows tile the axis.
        u: in [0, 1), a number drawn for all axes, or one per axis.
        seed: of the order of the steps, by numpy.random.default_rng; default: the pseudorandom order of u.

    Raises:
        TypeError: an entry is no number. ValueError: an entry is out of range, or an axis has too few elements, or a
        length that is not known yet.

    >>> import anypool as ap
    >>> ap.pool([1, 2, 3, 4, 5, 6, 7], "max", ap.Fractional(5, u=0.3), axes=0)
    array([1, 3, 4, 6, 7])
    >>> ap.pool([1, 2, 3, 4, 5, 6, 7], "max", Fractional(4, kernel_size=2, u=0.3), axes=0)
    array([2, 4, 5, 7])
    """

    output_size: int | tuple[int, ...]
    kernel_size: int | tuple[int, ...] | None = None
    u: float | tuple[float, ...] = 0.5
    seed: int | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the class is frozen; this is its construction
        set_field(self, "output_size", per_axis("output_size", self.output_size, 1))
        if self.kernel_size is not None:
            set_field(self, "kernel_size", per_axis("kernel_size", self.kernel_size, 1))
        given = plain(self.u)
        numbers = tuple(as_number("u", each) for each in (given if isinstance(given, tuple) else (given,)))
        if not all(0 <= each < 1 for each in numbers):
            raise ValueError(f"u must be at least 0 and below 1, got {self.u!r}")
        set_field(self, "u", numbers if isinstance(given, tuple) else numbers[0])
        if self.seed is not None:
            set_field(self, "seed", as_integer("seed", self.seed, 0))
        ranks = {len(value) for value in (self.output_size, self.kernel_size, self.u) if isinstance(value, tuple)}
        if len(ranks) > 1:
            raise ValueError(f"{self}: each must have one entry per pooled axis, so all the same number")

    @property
    def rank(self) -> int | None:
        given = (self.output_size, self.kernel_size, self.u)
        return next((len(value) for value in given if isinstance(value, tuple)), None)

    @property
    def default_rank(self) -> int:
        return self.rank or 2

    def axis_plan(self, entry: int, length: Any, axis: int | None = None) -> AxisPlan:
        axis = entry if axis is None else axis
        outputs, kernel, u = (_entry(value, entry) for value in (self.output_size, self.kernel_size, self.u))
        if not is_known(length):
            raise ValueError(f"{self} needs lengths that are known, and axis {axis} has none")
        if length < outputs + (kernel or 1) - 1:
            raise ValueError(
                f"{self} gives {outputs} outputs of windows of {kernel or 1} elements or more, each at a place of its "
                f"own, but axis {axis} has length {length}"
            )
        steps = self._steps(length - (kernel or 0), outputs - 1 if kernel else outputs, u)
        if self.seed is not None:
            np.random.default_rng((self.seed, entry)).shuffle(steps)
        first = length - kernel if kernel and outputs == 1 else 0
        places = [first, *itertools.accumulate(steps)]
        starts, stops = (places, [start + kernel for start in places]) if kernel else (places[:-1], places[1:])
        widest = max(stop - start for start, stop in zip(starts, stops, strict=True))
        return FractionalAxis(length, outputs, widest, starts=tuple(starts), stops=tuple(stops))

    @staticmethod
    def _steps(length: int, number: int, u: float) -> list[int]:
        """So many steps that make up a length, pseudorandom."""
        places = [int((j + u) * length / number) - int(u * length / number) for j in range(number)]
        return [b - a for a, b in itertools.pairwise([*places, length])]

    def _outputs(self, entry: int, length: int | None) -> int | None:
        return _entry(self.output_size, entry)


@dataclass(frozen=True)
class Global(Window):
    """One window: everything.

    >>> Global().output_shape((5, 7))
    (1, 1)
    """

    @property
    def rank(self) -> int | None:
        return None

    def axis_plan(self, entry: int, length: Any, axis: int | None = None) -> AxisPlan:
        if is_known(length) and length == 0:  # one window without an element, but no reduction of no columns
            return AdaptiveAxis(0, 1, 1)
        return WholeAxis(length, 1, length)

    def _outputs(self, entry: int, length: int | None) -> int:
        return 1


WINDOWS: dict[str, type[Window]] = {
    "sliding": Sliding,
    "adaptive": Adaptive,
    "fractional": Fractional,
    "global": Global,
}
"""The windows by name."""


def _padding(value: Any) -> Any:
    if isinstance(value, str):
        name = value.lower()
        if name not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(map(repr, PADDINGS))} or integers, got {value!r}")
        return 0 if name == "valid" else name
    value = plain(value)
    if not isinstance(value, Sequence):
        return as_integer("padding", value, 0)
    pairs = [isinstance(entry, Sequence) and not isinstance(entry, str) for entry in value]
    if not any(pairs):
        return per_axis("padding", value, 0)
    if not all(pairs) or any(len(entry) != 2 for entry in value):
        raise ValueError(f"padding must be an int, one int per axis or a (before, after) pair per axis, got {value!r}")
    return tuple((as_integer("padding", before, 0), as_integer("padding", after, 0)) for before, after in value)


def _entry(value: Any, entry: int) -> Any:
    return value[entry] if isinstance(value, tuple) else value


def _pair(padding: Any, entry: int) -> tuple[int, int]:
    pair = _entry(padding, entry)
    return pair if isinstance(pair, tuple) else (pair, pair)


def _not_negative(value: Any, bound: int) -> Any:
    """1 where 0 ≤ value < bound, 0 where −bound ≤ value < 0: a comparison, for integers known or not."""
    return (value + bound) // bound  # of no negative number, which ONNX would round up
