"""A pooling, decided: operator, plan, shapes and dtypes, checked once and cached.

What several implementations need to know of one is worked out here too: the number of elements of every window, the
divisor of an average, the padding beyond an axis.
"""

from __future__ import annotations

import marshal
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, wraps
from typing import Any, TypeVar

import numpy as np

from anypool.arguments import DTYPES, as_flag, dtype_name, is_known
from anypool.operators import Average, Defaults, Operator, operator_for
from anypool.plans import AxisPlan, Plan, SlidingAxis
from anypool.windows import Global, Sliding, Window

Axes = int | Sequence[int] | None


@dataclass(frozen=True, eq=False)
class Pooling:
    """One pooling, decided: checked arguments for arrays of one shape and dtype.

    `operator` holds no arrays: those of its parameters come with every run. `axes` are not negative and in the caller's
    order, as `plan` is; `dtype`, `accumulator` and `result` are the names of the dtypes of the elements, the
    arithmetic and the output. `empty` says that some window holds no element.
    """

    operator: Operator
    window: Window
    axes: tuple[int, ...]
    plan: Plan
    shape: tuple[Any, ...]
    dtype: str
    accumulator: str
    result: str
    return_indices: bool = False
    empty: bool = False
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What functions with `once_per_pooling` found."""

    @cached_property
    def has_parameters(self) -> bool:
        """Whether the operator has parameters, which come with every run."""
        return bool(self.operator.parameters())

    @cached_property
    def output_shape(self) -> tuple[Any, ...]:
        outputs = {axis: plan.outputs for axis, plan in zip(self.axes, self.plan, strict=True)}
        return tuple(outputs.get(axis, length) for axis, length in enumerate(self.shape))

    @property
    def window_size(self) -> Any:
        """The number of elements of a window that is whole."""
        return math.prod(plan.kernel_size for plan in self.plan)


T = TypeVar("T")


def once_per_pooling(function: Callable[[Pooling], T]) -> Callable[[Pooling], T]:
    """Let a function of a pooling run once for each."""

    @wraps(function)
    def cached(pooling: Pooling) -> T:
        try:
            return pooling.memo[function]
        except KeyError:
            found = pooling.memo[function] = function(pooling)
            return found

    return cached


# ---------------------------------------------------------------------------------------------------------------------
# Decisions


def decide(
    adapter: Any,
    x: Any,
    operator: Operator | str | tuple[Any, ...],
    window: Window | tuple[Any, ...],
    axes: Axes = None,
    return_indices: bool = False,
    dtype: Any = None,
    allow_empty: bool = False,
) -> Pooling:
    """The pooling of arrays like x, checked; cached per operator, window, shape and dtype.

    Operator and window are such, or tuples of the arguments of `Average` and `Sliding`: to build a window takes longer
    than a small pooling. The operator holds no arrays (`Operator.split`).
    """
    shape, given = adapter.shape(x), adapter.dtype(x)
    arguments = (operator, window, axes, shape, given, dtype, return_indices, allow_empty, adapter.defaults)
    try:
        return _cached(_exact((operator, window, axes, return_indices)), *arguments)
    except TypeError:  # an argument is wrong, or cannot be hashed, as lengths not yet known: the checks will tell
        return _decide(*arguments)


def _decide(
    operator: Any,
    window: Any,
    axes: Any,
    shape: tuple[Any, ...],
    given: str,
    dtype: Any,
    return_indices: bool,
    allow_empty: bool,
    defaults: Defaults,
) -> Pooling:
    operator = Average(*operator) if isinstance(operator, tuple) else operator_for(operator)
    window = Sliding(*window) if isinstance(window, tuple) else window
    check_dtype(given)
    if as_flag("return_indices", return_indices) and not operator.selects:
        raise ValueError(
            f"return_indices=True: {type(operator).__name__} makes a new number and has no index; max and min have"
        )
    if return_indices and isinstance(window, Sliding) and window.padding_mode == "zeros" and window.pads_with_data:
        raise ValueError("return_indices=True: with padding_mode 'zeros' an element of the padding has no index in x")
    accumulator, result = operator.dtypes(given, None if dtype is None else dtype_name(dtype), defaults)
    pooled = pooled_axes(axes, len(shape), window)
    try:
        plan = window.plan([shape[axis] for axis in pooled], pooled)
    except ValueError as error:
        raise ValueError(f"{error}; x has shape {shown(shape)}{_hint(axes, shape, pooled)}") from None
    holding = plan_of_padded(window, plan) if window.pads_with_data else plan
    if operator.composed and (reason := operator.plan_refusal(window, plan)):
        raise ValueError(f"{operator} has no value in {window}: {reason}; x has shape {shown(shape)}")
    empty = any(is_known(along.length) and along.has_empty_window for along in holding)
    if empty and operator.needs_element and not allow_empty:
        raise ValueError(_no_element(operator, window, pooled, holding, shape))
    pooling = Pooling(operator, window, pooled, plan, shape, given, accumulator, result, bool(return_indices), empty)
    if all(map(is_known, pooling.output_shape)) and math.prod(pooling.output_shape) >= 2**60:
        raise ValueError(f"{window} gives an output of shape {pooling.output_shape}, which no memory holds")
    if all(is_known(along.length) and along.outputs for along in plan) and not allow_empty:
        reason = operator.window_refusal(pooling.window_size, lambda: _fewest(holding))
        if reason:
            raise ValueError(f"{operator} has no value in {window}: {reason}; x has shape {shown(shape)}")
    return pooling


def plan_of_padded(window: Window, plan: Plan) -> Plan:
    """The plan of the same windows over an array that has its padding already."""
    assert isinstance(window, Sliding)
    lengths = [along.length + sum(window.data_padding(entry, along)) for entry, along in enumerate(plan)]
    return window.over_padded(len(plan)).plan(lengths)


def _fewest(plan: Plan) -> int:
    """How many elements the emptiest window holds."""
    return math.prod(int(along.clipped()[1].min()) for along in plan)


def _no_element(operator: Operator, window: Window, pooled: Sequence[int], plan: Plan, shape: Sequence[Any]) -> str:
    axis, along = next(
        (axis, along)
        for axis, along in zip(pooled, plan, strict=True)
        if is_known(along.length) and along.has_empty_window
    )
    advice = "x must have elements there" if along.length == 0 else "use less padding or dilation"
    return (
        f"{window} leaves a window without any element along axis {axis} of length {along.length}, where "
        f"{operator} has no value: {advice}; x has shape {shown(shape)}"
    )


def _hint(axes: Any, shape: Sequence[Any], pooled: Sequence[int]) -> str:
    """Advice for images whose last axis holds colours, pooled over their last two axes by default."""
    if axes is None and len(shape) > len(pooled) > 1 and is_known(shape[-1]) and shape[-1] <= 4:
        first = len(shape) - 1 - len(pooled)
        images = tuple(range(first, len(shape) - 1))
        return f", of which the last {len(pooled)} axes are pooled: with channels last give axes={images}"
    return ""


def shown(shape: Sequence[Any]) -> str:
    """A shape for an error; lengths not known are "?"."""
    return "(" + ", ".join(str(n) if is_known(n) else "?" for n in shape) + ("," if len(shape) == 1 else "") + ")"


def check_dtype(given: str) -> None:
    if given not in DTYPES:
        raise TypeError(f"x must hold booleans, integers or real floats ({', '.join(DTYPES)}), got dtype {given}")


@lru_cache(maxsize=4096)
def _cached(exact: Any, *arguments: Any) -> Pooling:
    return _decide(*arguments)


def _exact(arguments: tuple[Any, ...]) -> Any:
    """What tells equal arguments of a cache apart: (1, 2) and (True, 2.0) are equal, but only one is right."""
    if type(arguments[1]) is tuple:
        try:
            return marshal.dumps(arguments, 2)  # plain values byte by byte, the quickest way there is
        except ValueError:
            pass
    return _types(arguments)


def _types(value: Any) -> Any:
    return tuple(map(_types, value)) if type(value) is tuple else type(value)


_CLEARERS: list[Callable[[], None]] = [_cached.cache_clear]


def cleared_with_caches(clear: Callable[[], None]) -> None:
    """Let `clear_caches` call this too: for who keeps poolings, or what was made of them."""
    _CLEARERS.append(clear)


def clear_caches() -> None:
    """Forget every decision, and what was made of it; the next calls decide again.

    >>> clear_caches()
    """
    for clear in _CLEARERS:
        clear()


# ---------------------------------------------------------------------------------------------------------------------
# Axes


def pooled_axes(axes: Any, ndim: int, window: Window) -> tuple[int, ...]:
    """The pooled axes as non-negative integers, in the caller's order."""
    if axes is None:
        if isinstance(window, Global):
            raise ValueError("axes must say which axes Global() reduces, got None")
        rank = window.default_rank
        if rank > ndim:
            raise ValueError(
                f"x must have at least the {rank} axes that {window} pools, got {ndim}; for fewer, give axes="
            )
        return tuple(range(ndim - rank, ndim))
    given = axes if isinstance(axes, Sequence | np.ndarray) and not isinstance(axes, str) else (axes,)
    if len(given) == 0:
        raise ValueError("axes must name at least one axis, got none")
    normal = []
    for axis in given:
        number = as_axis(axis)
        if not -ndim <= number < ndim:
            raise ValueError(f"axes must lie within [-{ndim}, {ndim}) for an array of {ndim} axes, got {number}")
        normal.append(number % ndim)
    if len(set(normal)) < len(normal):
        raise ValueError(f"axes must be different axes, got {axes!r}")
    return tuple(normal)


def as_axis(axis: Any, name: str = "axes") -> int:
    if isinstance(axis, bool | np.bool_) or not hasattr(axis, "__index__"):
        raise TypeError(f"{name} must be an integer{' or a tuple of integers' if name == 'axes' else ''}, got {axis!r}")
    return axis.__index__()


def channels_beside(given: int | None, pooled: Sequence[int], ndim: int) -> int:
    """The axis of channels: as given, or the one before the pooled axes where these are the last, else the last."""
    if given is None:
        given = min(pooled) - 1 if max(pooled) == ndim - 1 else ndim - 1
        if given < 0:
            raise ValueError(f"x must have an axis of channels beside the pooled axes {tuple(pooled)}, got {ndim} axes")
    axis = as_axis(given, "channel_axis")
    if not -ndim <= axis < ndim or axis % ndim in pooled:
        raise ValueError(f"channel_axis must be an axis that is not pooled, of {ndim}, got {given}")
    return axis % ndim


# ---------------------------------------------------------------------------------------------------------------------
# What implementations need to know


def counted(plan: AxisPlan, operator: Operator) -> np.ndarray:
    """How many elements each window counts along an axis of known length; explicit padding where that counts."""
    return plan.padded_counts() if operator.counts_padding else plan.clipped()[1]


def fixed_divisor(pooling: Pooling) -> int | None:
    """What an average divides every sum by; None where windows count different numbers of elements."""
    operator = pooling.operator
    override = getattr(operator, "divisor_override", None)
    if override is not None:
        return override
    full = all(plan.all_full(operator.counts_padding) for plan in pooling.plan)
    return math.prod(plan.kernel_size for plan in pooling.plan) if full else None


def end_padding(plan: SlidingAxis) -> Any:
    """How far the last window reaches beyond the axis; negative where it ends before."""
    reach = (plan.outputs - 1) * plan.stride + (plan.kernel_size - 1) * plan.dilation + 1
    return reach - plan.length - plan.pad_before


@once_per_pooling
def lifted(pooling: Pooling) -> tuple[Pooling, ...]:
    """The poolings that reduce what the operator lifts x to, one per reduction."""
    dtype = pooling.operator.lift_dtype or pooling.accumulator
    return tuple(primitive(pooling, name, dtype, pooling.shape) for name in pooling.operator.reductions)


def primitive(pooling: Pooling, name: str, dtype: str, shape: Sequence[Any]) -> Pooling:
    """The "max", "min" or "sum" over the same windows of an array of this dtype and shape."""
    window, axes, plan = pooling.window, pooling.axes, pooling.plan
    return Pooling(operator_for(name), window, axes, plan, tuple(shape), dtype, dtype, dtype, False, pooling.empty)
