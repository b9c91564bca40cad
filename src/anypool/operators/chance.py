"""Poolings that draw numbers in training, and weigh by probability in inference.

What is drawn is given: an array of numbers in [0, 1), one per window, from a generator or key of the caller's. Without
one an operator is what its paper makes of it in inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anypool.arguments import as_number, is_known
from anypool.operators.base import Info, Operator, parameter
from anypool.operators.mixtures import AverageAndMax
from anypool.operators.stable import with_limits


@dataclass(frozen=True)
class Stochastic(Operator):
    """One element of every window, drawn with a probability in proportion to its size: pᵢ = max(xᵢ, 0)/Σ max(xⱼ, 0).

    With u, an array of numbers in [0, 1): y = xₖ for the first k with p₁ + … + pₖ > u, and a gradient of 1 at k.
    Without, as in inference: y = Σ pᵢ·xᵢ = Σxᵢ²/Σxᵢ over the elements above 0, with gradients (2xᵢ − y)/Σxⱼ at those.
    Elements below 0 are never drawn; y = 0 where there are no others. Source: Zeiler and Fergus 2013, arXiv 1301.3557.

    Args:
        u: None, or an array that broadcasts to the output, as `rng.random(shape)`, `torch.rand(shape, generator=g)` or
            `jax.random.uniform(key, shape)`. Layers draw it while they train.

    Raises:
        ValueError: u does not broadcast to the output.

    >>> import anypool as ap
    >>> import numpy as np
    >>> x = np.array([3.0, 1.0, 0.0, 2.0])
    >>> ap.pool(x, ap.Stochastic(), ap.Sliding(2), axes=0)
    array([2.5, 2. ])
    >>> ap.pool(x, ap.Stochastic(np.array([0.8, 0.1])), ap.Sliding(2), axes=0)
    array([1., 2.])
    """

    u: Any = parameter(None, at_least=0.0, at_most=1.0, per_window=True)

    info = Info("stochastic", "Σx²/Σx; in training xₖ, k ~ x/Σx", "arXiv 1301.3557", layer="Stochastic")
    random = True

    def reduce(self, windows: Any, valid: Any, u: Any, xp: Any) -> Any:
        above = valid & (windows > 0) & xp.isfinite(windows)
        elements = xp.where(above, windows, 0)
        if u is None:
            greatest = xp.stop_gradient(xp.max(elements, axis=-1, keepdims=True))
            scaled = elements / xp.where(greatest > 0, greatest, 1)
            total = xp.sum(scaled, axis=-1, keepdims=True)
            mean = xp.sum(elements * scaled, axis=-1, keepdims=True) / xp.where(total > 0, total, 1)
        else:
            chosen = _drawn(xp.stop_gradient(elements), u, xp)
            mean = xp.take_along_axis(elements, chosen)
        return with_limits(mean, xp.where(valid & (windows < 0), 0, windows), valid, 1.0, xp)


def _drawn(weights: Any, u: Any, xp: Any) -> Any:
    """The place (…, 1) at which the sum of weights so far first exceeds the part u of the whole; the last place with a
    weight where rounding leaves none."""
    size = xp.shape(weights)[-1]
    place = xp.arange(size)
    greatest = xp.max(weights, axis=-1, keepdims=True)
    so_far = weights / xp.where(greatest > 0, greatest, 1)
    for step in range(size.bit_length() if is_known(size) else 31):  # sums of 1, 2, 4, … places
        shifted = xp.take(so_far, xp.maximum(place - 2**step, 0), -1)
        so_far = so_far + xp.where(place >= 2**step, shifted, 0)
    total = xp.max(so_far, axis=-1, keepdims=True)
    last = xp.max(xp.where(weights > 0, place, 0), axis=-1, keepdims=True)
    exceeds = (so_far > u * total) & (weights > 0)
    return xp.min(xp.where(exceeds, place, last), axis=-1, keepdims=True)


@dataclass(frozen=True)
class RandomMixed(AverageAndMax):
    """The maximum or the average of a window, by lot; in inference both, by their probability. NaN wins.

    With u, an array of numbers in [0, 1): y = max xᵢ where u < p, elsewhere Σxᵢ/n. Without: p·max xᵢ + (1 − p)·Σxᵢ/n.
    An array u of length 1 along the pooled axes draws once for all windows of a channel. Source: Yu et al. 2014, "Mixed
    pooling for convolutional neural networks".

    Args:
        p: the probability of the maximum, between 0 and 1.
        u: None, or an array that broadcasts to the output. Layers draw it while they train.

    Raises:
        TypeError: p is no number. ValueError: p lies outside [0, 1], or u does not broadcast to the output.

    >>> import anypool as ap
    >>> import numpy as np
    >>> x = np.array([1.0, 5.0, 2.0, 0.0])
    >>> ap.pool(x, ap.RandomMixed(u=np.array([0.3, 0.7])), ap.Sliding(2), axes=0)
    array([5., 1.])
    >>> ap.pool(x, ap.RandomMixed(), ap.Sliding(2), axes=0)
    array([4. , 1.5])
    """

    p: float = 0.5
    u: Any = parameter(None, at_least=0.0, at_most=1.0, per_window=True)

    info = Info(
        "random_mixed", "p·max x + (1 − p)·Σx/n; in training one of them", "Yu et al. 2014", layer="RandomMixed"
    )
    random = True

    def __post_init__(self) -> None:
        super().__post_init__()
        p = as_number("p", self.p)
        if not 0 <= p <= 1:
            raise ValueError(f"p must be between 0 and 1, got {p}")
        object.__setattr__(self, "p", p)

    def finish(self, reduced: Any, count: Any, u: Any, xp: Any) -> Any:
        total, greatest = reduced
        if u is None:
            return self.p * greatest + (1 - self.p) * (total / count)
        return xp.where(u < self.p, greatest, total / count)
