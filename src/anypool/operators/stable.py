"""Exponentials, logarithms and roots over windows that neither overflow nor vanish, and that have a slope everywhere.

In every branch that is not taken, arguments are replaced before a function sees them: a framework multiplies the slope
of such a branch by 0, and 0·∞ is no number.
"""

from __future__ import annotations

import math
from typing import Any

from anypool.operators.base import float_count

SERIES_BELOW = 1e-3
"""Where r·(max − min) is less, the logarithm of a mean of exponentials is a series in r, which 1/r does not spoil."""


def softmax(logits: Any, valid: Any, xp: Any) -> Any:
    """exp(logits) over their sum along the last axis, 0 where not valid."""
    largest = xp.max(xp.where(valid, xp.stop_gradient(logits), -math.inf), axis=-1, keepdims=True)
    shift = xp.where(xp.isfinite(largest), largest, 0)
    powers = xp.where(valid, xp.exp(xp.where(valid, logits - shift, 0)), 0)
    total = xp.sum(powers, axis=-1, keepdims=True)
    return powers / xp.where(total > 0, total, 1)


def root(x: Any, xp: Any) -> Any:
    """√x, with slope 0 at 0."""
    positive = x > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, x, 1)), x)


def log_mean_exp(x: Any, valid: Any, r: Any, xp: Any) -> Any:
    """(1/r)·ln(Σ e^(r·xᵢ)/n), shape (…, k) to (…), with its limits: the mean at r = 0, and at infinities."""
    finite = valid & xp.isfinite(x)
    elements = xp.where(finite, x, 0)
    count = xp.maximum(float_count(x, valid, xp), 1)
    scaled = elements * r
    largest = xp.max(xp.where(finite, xp.stop_gradient(scaled), -math.inf), axis=-1, keepdims=True)
    shift = xp.where(largest > -math.inf, largest, 0)
    below = xp.where(finite, scaled - shift, 0)
    # Of windows without infinities: how far r·x spreads.
    whole = ~xp.any(valid & ~finite, axis=-1, keepdims=True)
    spread = xp.max(-xp.stop_gradient(below), axis=-1, keepdims=True)
    near, nearest = whole & (spread < 1), whole & (spread < SERIES_BELOW)

    total = xp.sum(xp.where(finite, xp.exp(below), 0), axis=-1, keepdims=True)
    less = xp.sum(xp.where(finite & near, xp.expm1(xp.where(near, below, 0)), 0), axis=-1, keepdims=True) / count
    logarithm = xp.where(near, xp.log1p(less), xp.log(xp.where(total > 0, total, 1) / count))
    rate = r + xp.zero(x)
    rate = xp.where(nearest | (rate == 0), 1, rate)
    regular = xp.where(nearest, _series(elements, finite, nearest, count, r, xp), (logarithm + shift) / rate)
    return with_limits(regular, x, valid, r, xp)


def _series(elements: Any, finite: Any, near: Any, count: Any, r: Any, xp: Any) -> Any:
    """The mean, and up to the fourth cumulant: κ₁ + κ₂·r/2 + κ₃·r²/6 + κ₄·r³/24."""

    def mean(x: Any) -> Any:
        return xp.sum(x, axis=-1, keepdims=True) / count

    middle = mean(xp.where(near, elements, 0))
    apart = xp.where(finite & near, elements - middle, 0)
    scaled = apart * r
    second = mean(apart * scaled)
    third, fourth = mean(apart * scaled * scaled), mean(apart * scaled * scaled * scaled)
    return middle + second / 2 + third / 6 + (fourth - 3 * second * mean(scaled * scaled)) / 24


def with_limits(regular: Any, x: Any, valid: Any, r: Any, xp: Any) -> Any:
    """A mean with weights that grow as e^(r·xᵢ), shape (…, 1) to (…), where infinite elements and NaN decide it.

    An infinity is the mean if its weight is not 0; of weight 0 it counts only where there is nothing else.
    """
    fixed = xp.stop_gradient(x)
    finite = valid & xp.isfinite(fixed)
    decisive = valid & ~finite & ~(fixed * xp.stop_gradient(r + xp.zero(x)) < 0)
    decided = xp.any(decisive, axis=-1, keepdims=True)
    nothing_else = ~decided & ~xp.any(finite, axis=-1, keepdims=True)
    limit = xp.sum(xp.where(decisive | (valid & nothing_else), fixed, 0), axis=-1, keepdims=True)
    return xp.where(decided | nothing_else, limit, regular)[..., 0]
