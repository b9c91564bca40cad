"""How elements are spread, how many there are, and which is the most frequent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anypool.arguments import FLOATS, as_integer, is_known
from anypool.operators.base import Compiled, Defaults, Info, Operator, count_valid, float_count
from anypool.operators.stable import root
from anypool.operators.sums import sum_dtypes


@dataclass(frozen=True)
class Variance(Operator):
    """y = Σ(xᵢ − x̄)² / (n − ddof), with x̄ the mean of the window's n elements; NaN where n ≤ ddof.

    Gradient: 2(xᵢ − x̄)/(n − ddof). Stable: values around 1e6 with a spread of 1 keep float32's precision.

    Args:
        ddof: what is taken off n, as in numpy.var: 1 for the unbiased estimate.

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.Variance(), ap.Sliding(2), axes=0)
    array([4., 1.])
    """

    ddof: int = 0

    info = Info("variance", "Σ(x − x̄)²/(n − ddof)", "numpy.var", layer="Variance")
    reductions = ("sum", "sum")
    lift_dtype = "float64"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ddof", as_integer("ddof", self.ddof, 0))

    def compiled(self) -> Compiled:
        return Compiled("variance", numbers=(self.ddof, 0))

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        count = float_count(windows, valid, xp)
        deviations = xp.where(valid, windows, 0)
        for _ in range(2):  # the second time takes away by how much the mean was rounded
            mean = xp.sum(deviations, axis=-1, keepdims=True) / xp.maximum(count, 1)
            deviations = xp.where(valid, deviations - mean, 0)
        squares = xp.sum(deviations * deviations, axis=-1, keepdims=True)
        return (squares / self._divisor(count, xp))[..., 0]

    def lift(self, x: Any, xp: Any) -> tuple[Any, ...]:
        return x, x * x

    def finish(self, reduced: Any, count: Any, xp: Any) -> Any:
        total, squares = reduced
        return xp.maximum(squares - total * total / xp.maximum(count, 1), 0) / self._divisor(count, xp)

    def _divisor(self, count: Any, xp: Any) -> Any:
        """n − ddof, and NaN where that is not above 0."""
        free = count - self.ddof
        return xp.where(free > 0, free, xp.nan_like(free))

    def lift_refusal(self, dtype: str, accumulator: str) -> str | None:
        if dtype in ("float64", "int32", "uint32", "int64", "uint64"):
            return f"squares of {dtype} do not fit into a float64 without rounding"
        return None


@dataclass(frozen=True)
class Std(Variance):
    """y = √(Σ(xᵢ − x̄)² / (n − ddof)), the root of `Variance`; NaN where n ≤ ddof.

    Gradient: (xᵢ − x̄)/((n − ddof)·y), and by definition 0 where y = 0.

    Args:
        ddof: what is taken off n, as in numpy.std.

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.Std(), ap.Sliding(2), axes=0)
    array([2., 1.])
    """

    info = Info("std", "√(Σ(x − x̄)²/(n − ddof))", "numpy.std", layer="Std")

    def compiled(self) -> Compiled:
        return Compiled("variance", numbers=(self.ddof, 1))

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        return root(super().reduce(windows, valid, xp), xp)

    def finish(self, reduced: Any, count: Any, xp: Any) -> Any:
        return root(super().finish(reduced, count, xp), xp)


@dataclass(frozen=True)
class Range(Operator):
    """y = max xᵢ − min xᵢ. NaN wins. Integers become the integers that a sum of them is, so that none overflows.

    Gradient: 1 at the first greatest element and −1 at the first least; 0 where they are the same.

    >>> import anypool as ap
    >>> ap.pool([1, 5, 2, 0], ap.Range(), ap.Sliding(2), axes=0)
    array([4, 2])
    """

    info = Info("range", "max x − min x", "numpy.ptp", layer="Range")
    reductions = ("max", "min")

    def lift(self, x: Any, xp: Any) -> tuple[Any, ...]:
        return x, x

    def finish(self, reduced: Any, count: Any, xp: Any) -> Any:
        return reduced[0] - reduced[1]

    def dtypes(self, dtype: str, requested: str | None, defaults: Defaults) -> tuple[str, str]:
        return sum_dtypes(self, dtype, requested, defaults)


@dataclass(frozen=True)
class Count(Operator):
    """y = n, the number of elements in the window: padding is none. Integers, of the default kind, or `dtype`.

    Gradient: 0. A window without an element gives 0.

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.Count(), ap.Sliding(2, padding=1), axes=0)
    array([1, 2, 1])
    """

    info = Info("count", "n", "xarray's count", layer="Count")
    reductions = ("sum",)

    @property
    def needs_element(self) -> bool:
        return False

    def lift(self, x: Any, xp: Any) -> tuple[Any, ...]:
        return (xp.index_ones_like(x),)

    def dtypes(self, dtype: str, requested: str | None, defaults: Defaults) -> tuple[str, str]:
        return defaults.signed, requested or defaults.signed


@dataclass(frozen=True)
class Mode(Operator):
    """y = the most frequent of the window's integer labels; of several the smallest.

    Labels have no gradient. Source: scipy.stats.mode.

    Raises:
        TypeError: x holds floats, of which no two need be equal.

    >>> import anypool as ap
    >>> ap.pool([3, 1, 3, 2, 2, 0, 1, 1], ap.Mode(), ap.Sliding(4), axes=0)
    array([3, 1])
    """

    info = Info("mode", "argmaxᵥ |{i: xᵢ = v}|", "scipy.stats.mode", layer="Mode")

    def compiled(self) -> Compiled:
        return Compiled("mode")

    @property
    def keeps_dtype(self) -> bool:
        return True

    def dtypes(self, dtype: str, requested: str | None, defaults: Defaults) -> tuple[str, str]:
        if dtype in FLOATS:
            raise TypeError(f"x must hold integer labels for Mode, got dtype {dtype}: round or cast them first")
        return super().dtypes(dtype, requested, defaults)

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        size, count = xp.shape(windows)[-1], count_valid(windows, valid, xp)
        ordered = xp.sort(xp.where(valid, windows, xp.highest(windows)))
        place = xp.arange(size)
        before = xp.take(ordered, xp.maximum(place - 1, 0), -1)
        start = xp.where((ordered != before) | (place == 0), place, 0)
        # Where the run of equal labels began: the greatest start up to here, by doubling.
        for step in range(size.bit_length() if is_known(size) else 31):
            start = xp.maximum(start, xp.take(start, xp.maximum(place - 2**step, 0), -1))
        length = xp.where(place < count, place - start, -1)
        longest = length == xp.max(length, axis=-1, keepdims=True)
        first = xp.min(xp.where(longest, place, size - 1), axis=-1)
        return xp.take_along_axis(ordered, first[..., None])[..., 0]
