"""Pooling of the elements that a mask lets count, and of those that are no NaN.

A mask is a lift like others: the identity where it is False, and the number of elements is the sum of the mask. So
every implementation of maxima, minima and sums serves it; what is no such reduction has the mask's windows beside x's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anypool import definition
from anypool.arguments import FLOATS, as_integer, as_number, is_known
from anypool.operators import Max, Min, Operator, Sum
from anypool.pooling import Pooling, primitive, shown

NAN_POLICIES = ("propagate", "omit", "raise")
NO_INDICES = "return_indices=True cannot be had where elements are left out: a window may have nothing with an index"


@dataclass(frozen=True)
class Settings:
    """What happens where elements are missing, checked."""

    min_count: int | None = None
    fill_value: float | None = None
    nan_policy: str = "propagate"

    def __post_init__(self) -> None:
        if self.min_count is not None:
            object.__setattr__(self, "min_count", as_integer("min_count", self.min_count, 0))
        if self.fill_value is not None:
            object.__setattr__(self, "fill_value", as_number("fill_value", self.fill_value))
        if self.nan_policy not in NAN_POLICIES:
            raise ValueError(f"nan_policy must be one of {', '.join(map(repr, NAN_POLICIES))}, got {self.nan_policy!r}")

    def least(self, pooling: Pooling) -> int:
        """How many elements a window must have, so as not to be filled."""
        return max(self.min_count or 0, pooling.operator.min_elements)

    def filling(self, pooling: Pooling) -> float:
        """What a window with fewer gets; ValueError where it must be given."""
        if self.fill_value is not None:
            return self.fill_value
        if pooling.result not in FLOATS and self.least(pooling) > 0:
            raise ValueError(
                f"fill_value must be given: windows in which nothing is left need a value, and {pooling.result} has no "
                "NaN"
            )
        return math.nan if pooling.result in FLOATS else 0


NOTHING_MORE = Settings()


def checked(adapter: Any, where: Any, x: Any, pooling: Pooling) -> Any:
    """`where` as a boolean array of x's framework that broadcasts to x, with all of x's axes."""
    mask = adapter.mask(where, x)
    name, shape, room = adapter.dtype(mask), tuple(adapter.shape(mask)), pooling.shape
    if name != "bool":
        raise TypeError(f"where must hold booleans, True where an element counts, got dtype {name}")
    fits = len(shape) <= len(room) and all(
        not is_known(n) or not is_known(m) or n in (1, m) for n, m in zip(reversed(shape), reversed(room), strict=False)
    )
    if not fits:
        raise ValueError(f"where must broadcast to x: x has shape {shown(room)}, where {shown(shape)}")
    return mask


def mask_of(adapter: Any, x: Any, where: Any, pooling: Pooling, settings: Settings) -> Any:
    """Which elements count, by `where` and by what happens to NaN; ValueError where there is one that must not be."""
    xp = adapter.namespace(x)
    mask = xp.asarray(np.ones((), bool)) if where is None else checked(adapter, where, x, pooling)
    if settings.nan_policy == "propagate" or pooling.dtype not in FLOATS:
        return mask
    nan = xp.isnan(x)
    if settings.nan_policy == "omit":
        return mask & ~nan
    if adapter.is_traced(x):
        raise ValueError("nan_policy='raise' needs the values of x, which a program does not have yet")
    if bool(xp.any(xp.reshape(mask & nan, (-1,)), axis=0)):
        raise ValueError("x holds NaN where elements count, and nan_policy is 'raise'")
    return mask


def check(pooling: Pooling, settings: Settings) -> None:
    """ValueError where a pooling cannot leave elements out, or needs a `fill_value`."""
    if pooling.operator.counts_padding:
        raise ValueError("count_include_pad=True counts what is no element, where= what is one: give one of the two")
    if pooling.operator.composed:
        raise ValueError(
            f"where=, nan_policy=, min_count= and fill_value= go with single windows, which {pooling.operator} is not "
            "made of"
        )
    settings.filling(pooling)


def leaves_out(where: Any, settings: Settings) -> bool:
    """Whether there may be elements that do not count."""
    return where is not None or settings.nan_policy == "omit"


def passed_on(adapter: Any, x: Any, where: Any, pooling: Pooling, settings: Settings) -> tuple[Any, bool]:
    """The mask, of x's shape, and whether NaN are left out: for whoever does both in one pass. None where all count."""
    if settings.nan_policy == "raise":
        mask_of(adapter, x, where, pooling, settings)  # raises
    mask = None if where is None else checked(adapter, where, x, pooling)
    xp = adapter.namespace(x)
    return None if mask is None else xp.broadcast_to(mask, xp.shape(x)), settings.nan_policy == "omit"


def run(
    adapter: Any, x: Any, mask: Any, pooling: Pooling, parameters: Sequence[Any], settings: Settings, impl: str
) -> Any:
    """The values of a pooling of the elements that `mask`, which broadcasts to x, lets count."""
    xp, operator = adapter.namespace(x), pooling.operator
    alone = type(operator) in (Max, Min, Sum)  # a subclass may reduce otherwise
    if not alone and pooling.accumulator in adapter.no_arithmetic:
        raise TypeError(
            f"{adapter.name} has no arithmetic in {pooling.accumulator}, in which {type(operator).__name__} of "
            f"{pooling.dtype} is computed: cast x to a signed dtype"
        )

    def reduce(array: Any, each: Pooling) -> Any:
        return adapter.choose(impl, array, each).run(array, each, ())

    with adapter.quiet():
        number = numbers(adapter, x, mask, pooling, reduce)
        full = xp.broadcast_to(mask, xp.shape(x))
        if alone:
            values = reduce(with_identity(x, full, pooling, xp), pooling)
        else:
            x = without_values(x, full, operator, xp)
            if definition.lifts(pooling, adapter.defaults.widest):
                values = definition.lift_and_finish(x, pooling, parameters, reduce, xp, full, number)
            else:
                values = definition.reduce_masked(x, full, pooling, parameters, xp)
            values = definition.result_of(values, pooling, xp)
        values = filled(values, number, pooling, settings, xp)
    return adapter.in_order_of(x, values)


def numbers(adapter: Any, x: Any, mask: Any, pooling: Pooling, reduce: Callable[[Any, Pooling], Any]) -> Any:
    """How many elements every window has left, in floats, in a shape that broadcasts to the output."""
    xp = adapter.namespace(x)
    shape = with_pooled_axes(xp.shape(mask), pooling)
    narrow = xp.broadcast_to(mask, shape)
    dtype = "float32" if is_known(pooling.window_size) and pooling.window_size < 2**24 else adapter.defaults.widest
    return reduce(xp.astype(narrow, dtype), primitive(pooling, "sum", dtype, shape))


def with_identity(x: Any, full: Any, pooling: Pooling, xp: Any) -> Any:
    """x, for a maximum, minimum or sum that nothing changes where the mask, of x's shape, is False."""
    return xp.where(full, x, _identity(pooling.operator, x, pooling.dtype, xp))


def without_values(x: Any, full: Any, operator: Operator, xp: Any) -> Any:
    """x, so that no lift sees, or has a slope at, what does not count."""
    if type(operator).lift is Operator.lift and operator.is_lifted():
        return x
    return xp.where(full, x, xp.zero(x))


def filled(values: Any, number: Any, pooling: Pooling, settings: Settings, xp: Any) -> Any:
    """The values, with the filling where windows have too few elements left."""
    least = settings.least(pooling)
    if least == 0:
        return values
    filling = xp.astype(xp.asarray(np.asarray(settings.filling(pooling))), pooling.result)
    return xp.where(number >= least, values, filling)


def _identity(operator: Operator, x: Any, dtype: str, xp: Any) -> Any:
    """What changes no maximum, minimum or sum, in x's dtype."""
    if dtype == "bool":
        return xp.asarray(np.asarray(isinstance(operator, Min)))
    return xp.zero(x) if isinstance(operator, Sum) else operator.identity(x, xp)


def with_pooled_axes(shape: Sequence[Any], pooling: Pooling) -> tuple[Any, ...]:
    """The shape of a mask that has x's lengths along the pooled axes, and elsewhere its own."""
    own = (*(1 for _ in range(len(pooling.shape) - len(shape))), *shape)
    return tuple(
        length if axis in pooling.axes else n for axis, (n, length) in enumerate(zip(own, pooling.shape, strict=True))
    )
