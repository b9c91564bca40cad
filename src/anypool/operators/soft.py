"""Means with exponential weights, between the average and the maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anypool.operators.base import Compiled, Info, Operator, float_count, parameter
from anypool.operators.stable import log_mean_exp, softmax, with_limits

GRADIENTS = ("full", "straight_through")

LEAST_RATE = 1e-3
"""Nearer to 0, the mean of the kernels' exponentials tells too little of their arguments."""


def _kernel(name: str, rate: Any) -> Compiled | None:
    """The kernel of a rate that is known beforehand."""
    fits = isinstance(rate, int | float) and abs(rate) >= LEAST_RATE
    return Compiled(name, numbers=(rate, 0)) if fits else None


@dataclass(frozen=True)
class LogSumExp(Operator):
    """y = (1/r)·ln(Σ e^(r·xᵢ) / n): the average at r = 0, the maximum as r → ∞, the minimum as r → −∞. NaN wins.

    The mean form: a window of equal elements gives that element. Gradients: softmax(r·x)ᵢ; of r: (Σ softmax(r·x)ᵢ·xᵢ −
    y)/r, which tends to half the variance as r → 0. Source: Pinheiro and Collobert 2015, arXiv 1411.6228.

    Args:
        r: a finite number, or an array that broadcasts against x, with a gradient.

    Raises:
        TypeError: r is neither. ValueError: it is not finite.

    >>> import anypool as ap
    >>> ap.pool([1000.0, 1000.0, 2.0, 0.0], ap.LogSumExp(), ap.Sliding(2), axes=0).round(3)
    array([1000.   ,    1.434])
    """

    r: Any = parameter(1.0)

    info = Info("logsumexp", "(1/r)·ln(Σeʳˣ/n)", "arXiv 1411.6228", layer="LogSumExp")

    def compiled(self) -> Compiled | None:
        return _kernel("logsumexp", self.r)

    def reduce(self, windows: Any, valid: Any, r: Any, xp: Any) -> Any:
        return log_mean_exp(windows, valid, r, xp)


@dataclass(frozen=True)
class Soft(Operator):
    """y = Σ softmax(β·x)ᵢ·xᵢ: the average at β = 0, the maximum as β → ∞, the minimum as β → −∞. NaN wins.

    Gradients, with wᵢ = softmax(β·x)ᵢ: wᵢ·(1 + β·(xᵢ − y)), which may be negative; of β: Σ wᵢ·xᵢ² − y². With
    gradient="straight_through" the weights are constants, as in the paper's code: wᵢ, and 0 of β.
    Source: Stergiou, Poppe, Kalliatakis 2021, arXiv 2101.00440.

    Args:
        beta: a finite number, or an array that broadcasts against x, with a gradient.
        gradient: "full" or "straight_through".

    Raises:
        TypeError: beta is neither. ValueError: it is not finite, or gradient is no such name.

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.Soft(), ap.Sliding(2), axes=0).round(3)
    array([4.928, 1.762])
    """

    beta: Any = parameter(1.0)
    gradient: str = "full"

    info = Info("soft", "Σ softmax(βx)·x", "arXiv 2101.00440", layer="Soft")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gradient not in GRADIENTS:
            raise ValueError(f"gradient must be one of {', '.join(map(repr, GRADIENTS))}, got {self.gradient!r}")

    def compiled(self) -> Compiled | None:
        return _kernel("soft", self.beta)

    def reduce(self, windows: Any, valid: Any, beta: Any, xp: Any) -> Any:
        finite = valid & xp.isfinite(windows)
        elements = xp.where(finite, windows, 0)
        weights = softmax(elements * beta, finite, xp)
        if self.gradient == "straight_through":
            weights = xp.stop_gradient(weights)
        total = xp.sum(weights * elements, axis=-1, keepdims=True)
        return with_limits(total, windows, valid, beta, xp)


@dataclass(frozen=True)
class AdaPool(Operator):
    """y = b·Σ softmax(d)ᵢ·xᵢ + (1 − b)·Σ softmax(x)ᵢ·xᵢ, where dᵢ = 2|xᵢ·x̄|/(xᵢ² + x̄²) is Dice's coefficient of an
    element and the window's mean x̄, 1 where both are 0. NaN wins.

    Gradients: through both weightings, with slope 0 of |·| at 0; of b: the difference of the two sums.
    Source: Stergiou and Poppe 2022, arXiv 2111.00772.

    Args:
        b: the first sum's part, between 0 and 1; a number, or an array that broadcasts against x, with a gradient.

    Raises:
        TypeError: b is neither. ValueError: it lies outside [0, 1].

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.AdaPool(), ap.Sliding(2), axes=0).round(3)
    array([4.104, 1.571])
    """

    b: Any = parameter(0.5, at_least=0.0, at_most=1.0)

    info = Info("adapool", "b·Σ softmax(d)·x + (1 − b)·Σ softmax(x)·x", "arXiv 2111.00772", layer="Ada")

    def reduce(self, windows: Any, valid: Any, b: Any, xp: Any) -> Any:
        finite = valid & xp.isfinite(windows)
        elements = xp.where(finite, windows, 0)
        count = xp.maximum(float_count(windows, valid, xp), 1)
        likeness = _dice(elements, xp.sum(elements, axis=-1, keepdims=True) / count, xp)
        weights = b * softmax(likeness, finite, xp) + (1 - b) * softmax(elements, finite, xp)
        return with_limits(xp.sum(weights * elements, axis=-1, keepdims=True), windows, valid, 1.0, xp)


def _dice(x: Any, y: Any, xp: Any) -> Any:
    """2|x·y|/(x² + y²), 1 where both are 0. It does not change with a common scale, by which both are divided first."""
    scale = xp.stop_gradient(xp.maximum(xp.abs(x), xp.abs(y)))
    nothing = scale == 0
    scale = xp.where(nothing, 1, scale)
    x, y = x / scale, y / scale
    product = x * y
    magnitude = product * xp.sign(xp.stop_gradient(product))  # frameworks disagree on the slope of |x| at 0
    return xp.where(nothing, 1, 2 * magnitude / xp.where(nothing, 1, x * x + y * y))
