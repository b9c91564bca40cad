"""How elements are spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anypool.arguments import as_integer
from anypool.operators.base import Info, Operator, count_valid


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

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        elements = xp.where(valid, windows, 0)
        count = xp.astype_like(count_valid(windows, valid, xp), windows)
        mean = xp.sum(elements, axis=-1, keepdims=True) / xp.maximum(count, 1)
        squares = xp.sum(xp.where(valid, (elements - mean) ** 2, 0), axis=-1)
        return squares / self._divisor(count[..., 0], xp)

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
