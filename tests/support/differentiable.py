"""Poolings and arrays on which finite differences make sense."""

from functools import partial

import numpy as np

import anypool as ap


def definition(operator, window, axes):
    """The pooling by its definition, as a function of the array."""
    return partial(ap.pool, operator=operator, window=window, axes=axes, impl="definition")


FUNCTIONS = [
    definition(operator, window, axes)
    for operator in (ap.Max(), ap.Min(), ap.Average(count_include_pad=True), ap.Sum(), ap.Lp(3))
    for window, axes in (
        (ap.Sliding(2, stride=1, padding=1, dilation=2), (2, 1)),
        (ap.Adaptive((3, None)), (1, 2)),
        (ap.Global(), (0, 2)),
    )
]
FAR_APART = np.random.default_rng(3).permutation(2 * 4 * 5).reshape(2, 4, 5) / 8 - 2.4
"""No two elements are close enough for a finite difference to change the winner, and none is near 0."""
