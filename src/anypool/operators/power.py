"""Powers: p-norms and generalised means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from anypool.arguments import as_number
from anypool.operators.base import ARRAY, Info, Operator, count_valid, parameter

LARGEST_POWER = 6.0
"""Up to this power, every float32 raised to it is a float64, and so are their sums."""


def _power_refusal(p: Any, accumulator: str) -> str | None:
    if accumulator == "float64":
        return "powers are summed in float64 for results that are less exact, not from float64"
    if p is ARRAY:
        return None
    return f"powers over {LARGEST_POWER:g} may not fit into a float64, p is {p:g}" if p > LARGEST_POWER else None


@dataclass(frozen=True)
class Lp(Operator):
    """y = (Σ |xᵢ|ᵖ)^(1/p), p ≥ 1: the p-norm of the window.

    Gradient: sgn(xᵢ)·(|xᵢ|/y)^(p−1), 0 where y = 0. Source: Gulcehre et al. 2014, arXiv 1311.1780.

    Args:
        p: the power; 1 sums magnitudes, 2 is the Euclidean norm; large p tends to the greatest magnitude.

    >>> import anypool as ap
    >>> ap.pool([3.0, -4.0, 0.0, 0.0], ap.Lp(2), ap.Sliding(2), axes=0)
    array([5., 0.])
    """

    p: float = 2.0

    info = Info("lp", "(Σ|x|ᵖ)^(1/p)", "arXiv 1311.1780", layer="LP")
    reductions = ("sum",)
    lift_dtype = "float64"
    separable = True

    def __post_init__(self) -> None:
        p = as_number("p", self.p)
        if not 1 <= p < math.inf:
            raise ValueError(f"p must be at least 1 and finite, got {p}")
        object.__setattr__(self, "p", p)

    @property
    def needs_element(self) -> bool:
        return False

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        # The largest is factored out against overflow. A zero adds nothing and has no slope, whatever a framework says
        # of |x| and its powers at 0; the branches that are not taken must be smooth.
        counts = valid & (windows != 0)
        size = xp.where(counts, xp.abs(windows), 0)
        largest = xp.stop_gradient(xp.max(size, axis=-1, keepdims=True))
        finite = (largest > 0) & (largest < math.inf)
        scale = xp.where(finite, largest, 1)
        power = xp.where(counts, size / scale, 1) ** self.p
        total = xp.sum(xp.where(counts, power, 0), axis=-1)
        root = xp.where(total > 0, total, 1) ** (1 / self.p) * scale[..., 0]
        return xp.where(total > 0, root, total)

    def lift(self, x: Any, xp: Any) -> tuple[Any, ...]:
        if self.p == 2:
            return (x * x,)
        apart = x != 0
        return (xp.where(apart, xp.where(apart, xp.abs(x), 1) ** self.p, 0),)

    def finish(self, reduced: Any, count: Any, xp: Any) -> Any:
        (total,) = reduced
        apart = total != 0
        return xp.where(apart, xp.where(apart, total, 1) ** (1 / self.p), 0)

    def lift_refusal(self, dtype: str, accumulator: str) -> str | None:
        return _power_refusal(self.p, accumulator)


@dataclass(frozen=True)
class GeM(Operator):
    """y = (Σ max(xᵢ, ε)ᵖ / n)^(1/p): the generalised mean; p = 1 averages, large p tends to the maximum.

    Gradients: (1/n)(xᵢ/y)^(p−1) where xᵢ > ε, 0 elsewhere; of p: (y/p)·(Σxᵖ ln x / Σxᵖ − ln y).
    Source: Radenović, Tolias, Chum 2018, arXiv 1711.02512.

    Args:
        p: the power, at least 1e-3; a number, or an array that broadcasts against x, with a gradient.
        eps: what smaller elements are raised to, above 0.

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.GeM(p=3), ap.Sliding(2), axes=0).round(3)
    array([3.979, 1.587])
    """

    p: Any = parameter(3.0, at_least=1e-3)
    eps: float = 1e-6

    info = Info("gem", "(Σ max(x, ε)ᵖ/n)^(1/p)", "arXiv 1711.02512", layer="GeM")
    reductions = ("sum",)
    lift_dtype = "float64"

    def __post_init__(self) -> None:
        super().__post_init__()
        eps = as_number("eps", self.eps)
        if not 0 < eps < math.inf:
            raise ValueError(f"eps must be above 0 and finite, got {eps}")
        object.__setattr__(self, "eps", eps)

    def reduce(self, windows: Any, valid: Any, p: Any, xp: Any) -> Any:
        # In logarithms, and the largest factored out, so that no power overflows or vanishes.
        logs = xp.log(xp.maximum(xp.where(valid, windows, self.eps), self.eps))
        powers = xp.where(valid, logs * p, -math.inf)
        largest = xp.stop_gradient(xp.max(powers, axis=-1, keepdims=True))
        shift = xp.where(xp.isfinite(largest), largest, 0)
        total = xp.sum(xp.where(valid, xp.exp(powers - shift), 0), axis=-1, keepdims=True)
        count = xp.astype_like(count_valid(windows, valid, xp), windows)
        return xp.exp((xp.log(total / count) + shift) / p)[..., 0]

    def lift(self, x: Any, p: Any, xp: Any) -> tuple[Any, ...]:
        size = xp.maximum(x, self.eps)
        if isinstance(p, int | float):
            return (size**p,)
        # Of a power that is not known beforehand the largest element is factored out.
        scale = xp.stop_gradient(xp.max_of_all(xp.where(xp.isfinite(size), size, self.eps)))
        return (size / scale) ** p, scale

    def finish(self, reduced: Any, count: Any, p: Any, xp: Any) -> Any:
        total, *scale = reduced
        mean = xp.maximum(total / count, TINY)
        return mean ** (1 / p) * (scale[0] if scale else 1)

    def lift_refusal(self, dtype: str, accumulator: str) -> str | None:
        return _power_refusal(self.p, accumulator)


TINY = 1e-300
"""The least mean of powers: what vanished beside the greatest element of its array."""
