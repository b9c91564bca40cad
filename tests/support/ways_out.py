"""The grid of operators and windows that every way out of Python is tried on: compiled, exported and converted programs
must answer as a call in Python does, at the size they were made at and at another."""

import itertools

import numpy as np
import pytest

import anypool as ap

OPERATORS = {
    "max": ap.Max(),
    "min": ap.Min(),
    "sum": ap.Sum(),
    "average": ap.Average(),
    "average of the padding": ap.Average(count_include_pad=True),
    "lp": ap.Lp(3),
    "gem": ap.GeM(),
    "median": ap.Median(),
    "variance": ap.Variance(),
}
WINDOWS = {
    "tiles": ap.Sliding(2),
    "ceil mode": ap.Sliding((2, 3), 2, ceil_mode=True),
    "same": ap.Sliding(3, 2, "same"),
    "same, dilated": ap.Sliding(2, 1, "same", 2),
    "same, kernel below stride": ap.Sliding(2, 3, "same"),
    "dilated": ap.Sliding((3, 2), (1, 2), dilation=2),
    "padded": ap.Sliding(3, 2, ((1, 1), (0, 1))),
    "padded, ceil mode": ap.Sliding(3, 2, 1, ceil_mode=True),
    "wide": ap.Sliding((5, 2), (1, 2), (2, 0)),
    "reflect, ceil mode": ap.Sliding(3, 2, ((1, 1), (0, 2)), ceil_mode=True, padding_mode="reflect"),
    "circular, same": ap.Sliding(3, 2, "same", padding_mode="circular"),
    "adaptive": ap.Adaptive((3, 5)),
    "global": ap.Global(),
}
AXES = (1, 2)
TRACED, OTHER = (2, 9, 8, 3), (3, 7, 12, 3)
"""The size a program is made at, and another."""

QUICK = (
    ("max", "same"),
    ("min", "padded"),
    ("average", "padded, ceil mode"),
    ("median", "adaptive"),
    ("average", "reflect, ceil mode"),
    ("max", "circular, same"),
)
"""What the suite tries of every way; `make test-all` tries the whole grid."""

GRID = [
    pytest.param(
        operator, window, id=f"{operator}-{window}", marks=() if (operator, window) in QUICK else pytest.mark.slow
    )
    for operator, window in itertools.product(OPERATORS, WINDOWS)
]
EVERY_POOLING = pytest.mark.parametrize(("operator", "window"), GRID)


def pooling(operator, window, **options):
    """The pooling of these names, as a function of the array."""
    return lambda x: ap.pool(x, OPERATORS[operator], WINDOWS[window], AXES, **options)


def image(shape, seed=0):
    """Numbers of both signs, none of them tied: zeros of padding would show among the negative ones."""
    count = int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(count).reshape(shape) / count * 2 - 1.2).astype("float32")


def assert_right(got, operator, window, x):
    """The values are those of NumPy arrays."""
    expected = pooling(operator, window)(x)
    np.testing.assert_allclose(np.asarray(got), expected, rtol=2e-5, atol=2e-6, err_msg=f"{operator}, {window}")
