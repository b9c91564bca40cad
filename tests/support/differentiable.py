"""Poolings and arrays on which finite differences make sense."""

from functools import partial
from typing import Any

import numpy as np
from operator_table import CORE, DIFFERENTIABLE_OPERATORS, ROWS

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
POSITIVE = FAR_APART + 2.6
"""Likewise, for operators of what is not negative."""

OF_POSITIVE = {
    name: definition(ROWS[name].operator, ap.Sliding(2, stride=1, dilation=2), (2, 1))
    for name in DIFFERENTIABLE_OPERATORS
    if name not in CORE and "straight_through" not in name
}


def of_parameter(x, value, operator, **settings):
    """The pooling with this value of the operator's parameter."""
    name = operator.parameters()[0].name
    return ap.pool(x, operator(**{name: value}, **settings), ap.Sliding((2, 3), 1), (1, 2), impl="definition")


ONE, PER_ROW = np.array([0.7]), np.array([[[0.3]], [[0.8]]])
"""One value of a parameter for all, and one per entry of the first axis."""
PER_ELEMENT = np.linspace(-0.3, 0.9, 12).reshape(2, 1, 1, 6)

VALUES_OF_PARAMETERS: dict[Any, tuple[np.ndarray, ...]] = {
    ap.GeM: (ONE + 2, PER_ROW + 2),
    ap.PowerMean: (ONE, -PER_ROW),
    ap.LogSumExp: (ONE, PER_ROW - 0.5, ONE * 1e-4),
    ap.Soft: (ONE, PER_ROW - 0.5),
    ap.AdaPool: (ONE, PER_ROW),
    ap.Mixed: (ONE, PER_ROW),
    ap.Gated: (PER_ELEMENT[0, 0, 0], PER_ELEMENT),
    ap.DetailPreserving: (ONE, PER_ROW),
    ap.OrderedWeighted: (PER_ELEMENT[0, 0, 0], PER_ELEMENT),
    ap.Dilation: (PER_ELEMENT[0, 0, 0], PER_ELEMENT),
    ap.Erosion: (PER_ELEMENT[0, 0, 0], PER_ELEMENT),
}
OF_PARAMETERS = {
    f"{operator.info.name}-{number}": (partial(of_parameter, operator=operator), value)
    for operator, values in VALUES_OF_PARAMETERS.items()
    for number, value in enumerate(values)
}
"""Poolings as functions of (x, parameter), and where to differentiate them."""
