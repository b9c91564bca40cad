"""Sums and averages."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from anypool.arguments import FLOATS, UNSIGNED, as_flag, wide
from anypool.operators.base import Compiled, Defaults, Info, Operator


@dataclass(frozen=True)
class Sum(Operator):
    """y = Σ xᵢ. Floats keep their dtype and accumulate in at least float32; integers follow numpy.sum.

    Gradient: 1 at every element.

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.Sum(), ap.Sliding(2), axes=0)
    array([6., 2.])
    """

    info = Info("sum", "Σx", layer="Sum")
    separable = True

    def compiled(self) -> Compiled:
        return Compiled("sum")

    @property
    def needs_element(self) -> bool:
        return False

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        return xp.sum(xp.where(valid, windows, 0), axis=-1)

    def dtypes(self, dtype: str, requested: str | None, defaults: Defaults) -> tuple[str, str]:
        return sum_dtypes(self, dtype, requested, defaults)


def sum_dtypes(kind: Operator, dtype: str, requested: str | None, defaults: Defaults) -> tuple[str, str]:
    """The dtypes of an operator whose value of floats is a float, and of integers the integer that numpy.sum gives."""
    if dtype in FLOATS:
        return Operator.dtypes(kind, dtype, requested, defaults)
    result = requested or (defaults.unsigned if dtype in UNSIGNED else defaults.signed)
    return (wide(result) if result in FLOATS else result), result


@dataclass(frozen=True)
class Average(Operator):
    """y = Σ xᵢ / n, with n the number of elements in the window.

    Floats keep their dtype and accumulate in at least float32. Integers average to the default float, or to an integer
    `dtype`, rounded half to even. Gradient: 1/n at every element.

    Args:
        count_include_pad: n counts explicit padding too (never the overhang of ceil mode).
        divisor_override: n, whatever the window holds.

    >>> import anypool as ap
    >>> ap.pool([1, 5, 2, 0], ap.Average(count_include_pad=True), ap.Sliding(2, padding=1), axes=0)
    array([0.5, 3.5, 0. ])
    """

    count_include_pad: bool = False
    divisor_override: int | None = None

    info = Info("average", "Σx/n", layer="Average")
    reductions = ("sum",)

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the class is frozen; this is its construction
        set_field(self, "count_include_pad", as_flag("count_include_pad", self.count_include_pad))
        if self.divisor_override is not None:
            set_field(self, "divisor_override", _divisor(self.divisor_override))

    def compiled(self) -> Compiled:
        return Compiled("average")

    @property
    def counts_padding(self) -> bool:
        return self.count_include_pad

    @property
    def needs_element(self) -> bool:
        return not self.count_include_pad and self.divisor_override is None

    def finish(self, reduced: Any, count: Any, xp: Any) -> Any:
        return reduced[0] / (count if self.divisor_override is None else self.divisor_override)


def _divisor(value: Any) -> int:
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise TypeError(f"divisor_override must be an integer or None, got {value!r}")
    divisor = operator.index(value)
    if not 0 < abs(divisor) < 2**31:
        raise ValueError(f"divisor_override must not be 0 and must be within ±(2**31 - 1), got {divisor}")
    return divisor
