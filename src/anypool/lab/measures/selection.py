"""How much a pooling selects: whether one element of a window decides, or all of them do."""

from __future__ import annotations

import math

import numpy as np


def selection_entropy(gradients: np.ndarray) -> float | None:
    """The entropy of the elements' shares in a window's gradient, over that of equal shares.

    0 selects one element, 1 takes all alike. Shares are |∂y/∂xᵢ| / Σⱼ|∂y/∂xⱼ|; the mean is over the windows in
    which some element matters; None where none does.

    Args:
        gradients: shape (windows, elements), of each window's output in its elements.

    >>> selection_entropy(np.array([[0.0, 1.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]))
    0.5
    """
    sizes = np.abs(gradients.astype(np.float64))
    sums = sizes.sum(axis=1)
    shares = sizes[sums > 0] / sums[sums > 0][:, None]
    if len(shares) == 0:
        return None
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    return float(np.mean(-(shares * logs).sum(axis=1)) / math.log(gradients.shape[1]))
