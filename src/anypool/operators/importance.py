"""Means with weights that say how much an element matters: given beside the array, or made of a window's detail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anypool.operators.base import Info, Operator, float_count, is_fixed, parameter

DETAIL = 1e-3
"""Added to every squared difference, so that a window without detail has a mean and a slope."""


@dataclass(frozen=True)
class LocalImportance(Operator):
    """y = Σ e^(Gᵢ)·xᵢ / Σ e^(Gᵢ), with logits Gᵢ of every element, which a network makes of x: the average where they
    are equal. NaN wins.

    Gradients, with wᵢ = e^(Gᵢ)/Σ e^(Gⱼ): wᵢ; of G: wᵢ·(xᵢ − y). Logits may differ by up to 80 within an array; a window
    whose logits lie further below the greatest of all gives 0. Source: Gao, Wang, Wu 2019, arXiv 1908.04156.

    Args:
        logits: G: an array that broadcasts to x, with a gradient; or one number for all.

    Raises:
        TypeError: logits is neither. ValueError: logits do not broadcast to x, or to x with its padding where
        padding_mode makes that data.

    >>> import anypool as ap
    >>> import numpy as np
    >>> logits = np.log([1.0, 3.0, 1.0, 1.0])
    >>> ap.pool(np.array([1.0, 5.0, 2.0, 0.0]), ap.LocalImportance(logits), ap.Sliding(2), axes=0)
    array([4., 1.])
    """

    logits: Any = parameter(0.0, per_position=True)

    info = Info("local_importance", "Σ eᴳ·x / Σ eᴳ", "arXiv 1908.04156", layer="LocalImportance")
    reductions = ("sum", "sum")

    def lift(self, x: Any, logits: Any, xp: Any) -> tuple[Any, ...]:
        weights = xp.astype_like(xp.index_ones_like(x), x)
        if not is_fixed(logits):
            weights = weights * xp.exp(logits - xp.stop_gradient(xp.max_of_all(logits)))
        return x * weights, weights

    def finish(self, reduced: Any, count: Any, logits: Any, xp: Any) -> Any:
        total, weights = reduced
        return total / xp.where(weights > 0, weights, 1)


@dataclass(frozen=True)
class DetailPreserving(Operator):
    """y = Σ wᵢ·xᵢ / Σ wᵢ with wᵢ = (Dᵢ/D̄)^(e^λ) + e^α and Dᵢ = (xᵢ − x̄)² + 10⁻³: elements unlike their window's mean x̄
    weigh more. NaN wins.

    D̄ is the mean of the window's Dᵢ. As α → ∞ this is the average; the greater λ, the more the most unlike element
    decides. Source: Saeedan, Weber, Goesele, Roth 2018, arXiv 1804.04076.

    Args:
        lam, alpha: λ and α, numbers, or arrays that broadcast against x, with gradients.

    Raises:
        TypeError: one is neither. ValueError: one lies outside [−20, 20].

    >>> import anypool as ap
    >>> ap.pool([1.0, 1.0, 1.0, 5.0], ap.DetailPreserving(), ap.Sliding(4), axes=0).round(3)
    array([3.])
    """

    lam: Any = parameter(0.0, at_least=-20.0, at_most=20.0)
    alpha: Any = parameter(0.0, at_least=-20.0, at_most=20.0)

    info = Info("detail", "Σ w·x/Σ w, w = (D/D̄)^(e^λ) + e^α", "arXiv 1804.04076", layer="DetailPreserving")

    def reduce(self, windows: Any, valid: Any, lam: Any, alpha: Any, xp: Any) -> Any:
        count = xp.maximum(float_count(windows, valid, xp), 1)
        elements = xp.where(valid, windows, 0)
        mean = xp.sum(elements, axis=-1, keepdims=True) / count
        unlike = xp.where(valid, (elements - mean) * (elements - mean) + DETAIL, 0)
        level = xp.sum(unlike, axis=-1, keepdims=True) / count
        ratio = unlike / xp.where(level > 0, level, 1)
        exponent = xp.exp(lam + xp.zero(windows))
        logarithms = exponent * xp.log(xp.where(valid, ratio, 1))
        greatest = xp.stop_gradient(xp.max(logarithms, axis=-1, keepdims=True))  # by which all are divided
        weights = xp.where(valid, xp.exp(logarithms - greatest) + xp.exp(alpha - greatest), 0)
        total = xp.sum(weights, axis=-1)
        return xp.sum(weights * elements, axis=-1) / xp.where(total == 0, 1, total)
