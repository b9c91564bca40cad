"""What: operators that keep one number per window.

An operator is defined once, as a reduction over the last axis of an array of windows:

- `windows` has shape (…, k): the k elements of every window, 0 where there is none;
- `valid` has a shape that broadcasts to it: which of them are elements;
- `xp` is the namespace of array functions that fits the arrays: NumPy's names on every framework.

It never learns which window, rank or framework it serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HALF_PRECISION = ("float16", "bfloat16")
FLOATS = (*HALF_PRECISION, "float32", "float64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = ("int8", "int16", "int32", "int64", *UNSIGNED)
DTYPES = ("bool", *INTEGERS, *FLOATS)


@dataclass(frozen=True, eq=False)
class Defaults:
    """The dtypes a framework gives where the operand does not say: averages of integers, sums of small integers.

    Part of every call's key, so a framework keeps one object for each of its settings.
    """

    floating: str = "float64"
    signed: str = "int64"
    unsigned: str = "uint64"


@dataclass(frozen=True)
class Operator:
    """One number per window: `reduce` over the elements, then `finish` with how many there were."""

    separable = False
    """Whether reducing one axis after another gives the same as all at once."""

    selects = False
    """Whether the value is an element, so that it has an index and `winner` says which."""

    @property
    def counts_padding(self) -> bool:
        """Whether explicit padding is data: zeros, and valid in the mask."""
        return False

    @property
    def needs_element(self) -> bool:
        """Whether a window without an element has no value."""
        return True

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        """The reduction of every window: shape (…, k) to (…)."""
        raise NotImplementedError

    def winner(self, windows: Any, valid: Any, xp: Any) -> Any:
        """The place of the winner in every window, where the operator selects one: shape (…, k) to (…), integers."""
        raise NotImplementedError

    def loser(self, windows: Any, xp: Any) -> Any:
        """What loses against every element, where the operator selects one; in the dtype of `windows`."""
        raise NotImplementedError

    def finish(self, reduced: Any, count: Any, xp: Any) -> Any:
        """The value from the whole reduction and the number of valid elements, of shapes that broadcast."""
        return reduced

    def dtypes(self, dtype: str, requested: str | None, defaults: Defaults) -> tuple[str, str]:
        """The dtype to compute in and the dtype of the result, by name, for elements of `dtype`."""
        result = requested or (dtype if dtype in FLOATS else defaults.floating)
        accumulator = wide(dtype) if dtype in FLOATS else defaults.floating
        return ("float64" if result == "float64" else accumulator), result


@dataclass(frozen=True)
class _Extreme(Operator):
    """Max and min: the first element, in row-major order, that no other beats; NaN beats all.

    The value is taken from its place, so a gradient flows to that element alone.
    """

    separable = True
    selects = True

    def winner(self, windows: Any, valid: Any, xp: Any) -> Any:
        contest = xp.where(valid, windows, self.loser(windows, xp))
        wins = valid & (contest == self.best(contest, xp))
        if xp.is_floating(windows):
            nan = valid & xp.isnan(windows)
            wins = xp.where(xp.any(nan, axis=-1, keepdims=True), nan, wins)
        width = xp.shape(windows)[-1]
        return xp.min(xp.where(wins, xp.arange(width), width - 1), axis=-1)

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        return xp.take_along_last(windows, self.winner(windows, valid, xp)[..., None])[..., 0]

    def best(self, contest: Any, xp: Any) -> Any:
        raise NotImplementedError

    def dtypes(self, dtype: str, requested: str | None, defaults: Defaults) -> tuple[str, str]:
        if requested not in (None, dtype):
            raise ValueError(
                f"dtype={requested!r}: {type(self).__name__} keeps its elements' dtype, {dtype!r}; cast the result"
            )
        return ("uint8" if dtype == "bool" else dtype), dtype


@dataclass(frozen=True)
class Max(_Extreme):
    """y = max xᵢ. Ties go to the first element, NaN wins.

    Gradient: 1 at the first greatest element, 0 elsewhere.

    >>> import anypool as ap
    >>> ap.pool([1, 5, 2, 0], ap.Max(), ap.Sliding(2), axes=0)
    array([5, 2])
    """

    def best(self, contest: Any, xp: Any) -> Any:
        return xp.max(contest, axis=-1, keepdims=True)

    def loser(self, windows: Any, xp: Any) -> Any:
        return xp.lowest(windows)


@dataclass(frozen=True)
class Min(_Extreme):
    """y = min xᵢ. Ties go to the first element, NaN wins.

    Gradient: 1 at the first least element, 0 elsewhere.

    >>> import anypool as ap
    >>> ap.pool([1, 5, 2, 0], ap.Min(), ap.Sliding(2), axes=0)
    array([1, 0])
    """

    def best(self, contest: Any, xp: Any) -> Any:
        return xp.min(contest, axis=-1, keepdims=True)

    def loser(self, windows: Any, xp: Any) -> Any:
        return xp.highest(windows)


@dataclass(frozen=True)
class Sum(Operator):
    """y = Σ xᵢ. Floats keep their dtype and accumulate in at least float32; integers follow numpy.sum.

    Gradient: 1 at every element.

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.Sum(), ap.Sliding(2), axes=0)
    array([6., 2.])
    """

    separable = True
    needs_element = False

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        return xp.sum(xp.where(valid, windows, 0), axis=-1)

    def dtypes(self, dtype: str, requested: str | None, defaults: Defaults) -> tuple[str, str]:
        if dtype in FLOATS:
            return super().dtypes(dtype, requested, defaults)
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

    separable = True

    def __post_init__(self) -> None:
        if not isinstance(self.count_include_pad, bool):
            raise TypeError(f"count_include_pad must be True or False, got {self.count_include_pad!r}")
        divisor = self.divisor_override
        if divisor is not None and (isinstance(divisor, bool) or not isinstance(divisor, int)):
            raise TypeError(f"divisor_override must be an integer or None, got {divisor!r}")
        if divisor is not None and not 0 < abs(divisor) < 2**31:
            raise ValueError(f"divisor_override must not be 0 and must be within ±(2**31 - 1), got {divisor}")

    @property
    def counts_padding(self) -> bool:
        return self.count_include_pad

    @property
    def needs_element(self) -> bool:
        return not self.count_include_pad and self.divisor_override is None

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        return xp.sum(xp.where(valid, windows, 0), axis=-1)

    def finish(self, reduced: Any, count: Any, xp: Any) -> Any:
        return reduced / (count if self.divisor_override is None else self.divisor_override)


@dataclass(frozen=True)
class Lp(Operator):
    """y = (Σ |xᵢ|ᵖ)^(1/p), p ≥ 1: the p-norm of the window, its largest element factored out against overflow.

    Gradient: sgn(xᵢ)·(|xᵢ|/y)^(p−1), 0 where y = 0. Source: Gulcehre et al. 2014, arXiv 1311.1780.

    Args:
        p: the power; 1 sums magnitudes, 2 is the Euclidean norm; large p tends to the greatest magnitude.

    >>> import anypool as ap
    >>> ap.pool([3.0, -4.0, 0.0, 0.0], ap.Lp(2), ap.Sliding(2), axes=0)
    array([5., 0.])
    """

    p: float = 2.0

    separable = True
    needs_element = False

    def __post_init__(self) -> None:
        if isinstance(self.p, bool) or not isinstance(self.p, int | float):
            raise TypeError(f"p must be a number, got {self.p!r}")
        if not 1 <= self.p < float("inf"):
            raise ValueError(f"p must be at least 1 and finite, got {self.p}")

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        # A zero adds nothing and has no slope, whatever a framework says of |x| and its powers at 0; the branches that
        # are not taken must be smooth.
        counts = valid & (windows != 0)
        size = xp.where(counts, xp.abs(windows), 0)
        largest = xp.constant(xp.max(size, axis=-1, keepdims=True))
        finite = (largest > 0) & (largest < float("inf"))
        scale = xp.where(finite, largest, 1)
        power = xp.where(counts, size / scale, 1) ** self.p
        total = xp.sum(xp.where(counts, power, 0), axis=-1)
        root = xp.where(total > 0, total, 1) ** (1 / self.p) * scale[..., 0]
        return xp.where(total > 0, root, total)


OPERATORS = {"max": Max, "min": Min, "average": Average, "sum": Sum, "lp": Lp}
"""The operators by name."""


def operator_for(operator: Any) -> Operator:
    """The operator, given as one or by its name."""
    if isinstance(operator, Operator):
        return operator
    if isinstance(operator, str) and operator in OPERATORS:
        return OPERATORS[operator]()
    if isinstance(operator, str):
        raise ValueError(f"operator must be one of {', '.join(map(repr, OPERATORS))}, got {operator!r}")
    raise TypeError(f"operator must be an anypool operator such as anypool.Max(), or its name, got {operator!r}")


def wide(dtype: str) -> str:
    """The float to accumulate in: at least float32."""
    return "float32" if dtype in HALF_PRECISION else dtype
