"""Powers: p-norms and generalised means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from anypool.arguments import as_number
from anypool.operators.base import ARRAY, Compiled, Info, Operator, parameter
from anypool.operators.stable import log_mean_exp

LARGEST_POWER = 6.0
"""Up to this power, every float32 raised to it is a float64, and so are their sums."""


def _power_refusal(p: Any, accumulator: str) -> str | None:
    if accumulator == "float64":
        return "powers are summed in float64 for results that are less exact, not from float64"
    if p is ARRAY:
        return None
    return f"powers over {LARGEST_POWER:g} may not fit into a float64, p is {p:g}" if p > LARGEST_POWER else None


def _kernel(name: str, p: Any, eps: float = 0.0) -> Compiled | None:
    """The kernel of a power that is known beforehand, and that fits into a float64."""
    fits = isinstance(p, int | float) and (p == 0 or LEAST_POWER <= abs(p) <= LARGEST_POWER)
    return Compiled(name, numbers=(p, eps)) if fits else None


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

    def compiled(self) -> Compiled | None:
        return _kernel("norm", self.p)

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

    def compiled(self) -> Compiled | None:
        return _kernel("gem", self.p, self.eps)

    def reduce(self, windows: Any, valid: Any, p: Any, xp: Any) -> Any:
        size = xp.maximum(xp.where(valid, windows, self.eps), self.eps)
        return xp.exp(log_mean_exp(xp.log(size), valid, p, xp))

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


# ---------------------------------------------------------------------------------------------------------------------
# Power means


@dataclass(frozen=True)
class PowerMean(Operator):
    """y = (Σ xᵢᵖ / n)^(1/p) of xᵢ ≥ 0: the minimum as p → −∞, the harmonic mean at −1, the geometric at 0, the average
    at 1, the maximum as p → ∞.

    A negative element makes NaN. A zero makes 0 where p ≤ 0. Gradients: (1/n)(xᵢ/y)^(p−1), and by definition 0 at
    xᵢ = 0; of p: (y/p)·(Σxᵖ ln x / Σxᵖ − ln y).

    Args:
        p: the power, a finite number, or an array that broadcasts against x, with a gradient.

    Raises:
        TypeError: p is neither. ValueError: it is not finite.

    >>> import anypool as ap
    >>> ap.pool([1.0, 4.0, 2.0, 0.0], ap.PowerMean(2), ap.Sliding(2), axes=0).round(3)
    array([2.915, 1.414])
    """

    p: Any = parameter(2.0)

    info = Info("power_mean", "(Σxᵖ/n)^(1/p)", "scipy.stats.pmean", layer="PowerMean")
    reductions = ("sum",)
    lift_dtype = "float64"

    def compiled(self) -> Compiled | None:
        return _kernel("power", self.p)

    def reduce(self, windows: Any, valid: Any, p: Any, xp: Any) -> Any:
        return _power_mean(windows, valid, p, xp)

    def lift(self, x: Any, p: Any, xp: Any) -> tuple[Any, ...]:
        return (_power(x, p, xp),)

    def finish(self, reduced: Any, count: Any, p: Any, xp: Any) -> Any:
        return _root(reduced[0] / count, p, xp)

    def lift_refusal(self, dtype: str, accumulator: str) -> str | None:
        if self.p is ARRAY:
            return "powers that are not known beforehand may not fit into a float64"
        if 0 < abs(self.p) < LEAST_POWER:
            return f"the power {self.p:g} is so near 0 that sums of powers tell too little"
        return _power_refusal(abs(self.p), accumulator)


@dataclass(frozen=True)
class FixedPowerMean(Operator):
    """A power mean of a power that has a name."""

    p: ClassVar[int]

    reductions = ("sum",)
    lift_dtype = "float64"

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        return _power_mean(windows, valid, self.p, xp)

    def lift(self, x: Any, xp: Any) -> tuple[Any, ...]:
        return (_power(x, self.p, xp),)

    def finish(self, reduced: Any, count: Any, xp: Any) -> Any:
        return _root(reduced[0] / count, self.p, xp)

    def lift_refusal(self, dtype: str, accumulator: str) -> str | None:
        return _power_refusal(abs(self.p), accumulator)


@dataclass(frozen=True)
class GeometricMean(FixedPowerMean):
    """y = (Π xᵢ)^(1/n) of xᵢ ≥ 0. A zero makes 0, a negative element NaN.

    Gradient: y/(n·xᵢ), and by definition 0 at xᵢ = 0. Source: scipy.stats.gmean.

    >>> import anypool as ap
    >>> ap.pool([1.0, 4.0, 2.0, 0.0], ap.GeometricMean(), ap.Sliding(2), axes=0)
    array([2., 0.])
    """

    p = 0

    info = Info("geometric_mean", "(Πx)^(1/n)", "scipy.stats.gmean", layer="GeometricMean")

    def compiled(self) -> Compiled | None:
        return _kernel("power", self.p)


@dataclass(frozen=True)
class HarmonicMean(FixedPowerMean):
    """y = n / Σ 1/xᵢ of xᵢ ≥ 0. A zero makes 0, a negative element NaN.

    Gradient: (y/xᵢ)²/n, and by definition 0 at xᵢ = 0. Source: scipy.stats.hmean.

    >>> import anypool as ap
    >>> ap.pool([1.0, 4.0, 2.0, 0.0], ap.HarmonicMean(), ap.Sliding(2), axes=0)
    array([1.6, 0. ])
    """

    p = -1

    info = Info("harmonic_mean", "n/Σ(1/x)", "scipy.stats.hmean", layer="HarmonicMean")

    def compiled(self) -> Compiled | None:
        return _kernel("power", self.p)


LEAST_POWER = 1e-3
"""From this power on, nearer to 0, a mean of powers differs too little from 1."""


def _power_mean(windows: Any, valid: Any, p: Any, xp: Any) -> Any:
    """In logarithms, so that no power overflows or vanishes."""
    positive = windows > 0
    logs = xp.where(positive, xp.log(xp.where(positive, windows, 1)), -math.inf)
    logs = xp.where(positive | (windows == 0), logs, xp.nan_like(windows))
    return xp.exp(log_mean_exp(logs, valid, p, xp))


def _power(x: Any, p: float, xp: Any) -> Any:
    """xᵖ, or ln x for p = 0: its limit at 0, which has no slope, and NaN below."""
    positive = x > 0
    base = xp.where(positive, x, 1)
    power = xp.log(base) if p == 0 else base**p
    at_zero = 0.0 if p > 0 else math.inf if p < 0 else -math.inf
    return xp.where(positive, power, xp.where(x == 0, xp.zero(x) + at_zero, xp.nan_like(x)))


def _root(mean: Any, p: float, xp: Any) -> Any:
    """What has this mean of powers."""
    if p == 0:
        return xp.exp(mean)
    inside = (mean > 0) & (mean < math.inf)
    limit = mean if p > 0 else 1 / xp.stop_gradient(mean)
    return xp.where(inside, xp.where(inside, mean, 1) ** (1 / p), limit)
