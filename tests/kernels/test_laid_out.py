"""The kernels that look at windows whole, order statistics and modes, against the reference and the definition."""

import random

import numpy as np
import pytest
import reference
from harness import comparable
from kernel_cases import DTYPES, as_dtype, elements, laid_out, random_call
from operator_table import ROWS

import anypool as ap
from anypool.arguments import FLOATS
from anypool.cpu import kernels

pytestmark = pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built))

ORDER = ("median", "median:mid=mean", "quantile:q=0.3", "rank:k=-1", "rank:k=2")
OPERATORS = (*ORDER, "mode")


def check(name, x, window, windows, axes):
    """The kernel's values against the reference's loops."""
    row = ROWS[name]
    got = ap.pool(x, row.operator, window, axes, impl="kernel")
    if row.exact:
        expected = reference.pool(x, row.function, windows, axes, dtype=got.dtype)
        np.testing.assert_array_equal(comparable(got), comparable(expected))
        return
    expected = np.asarray(reference.pool(x, row.function, windows, axes, dtype="float64"), np.float64)
    rounding = 2e-2 if got.dtype.name == "bfloat16" else 2e-3 if got.dtype.name == "float16" else 1e-6
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(got.astype(np.float64), expected, rtol=rounding, atol=rounding)


def fewest(windows):
    return np.prod([min(sum(cell is not None for cell in window) for window in along) for along in windows])


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_the_reference(name, seed):
    draw = random.Random(f"{name} {seed}")
    for _ in range(12):
        shape, axes, window, windows = random_call(draw)
        if name == "rank:k=2" and fewest(windows) < 2:
            continue
        dtype = draw.choice([each for each in DTYPES if name != "mode" or each not in FLOATS])
        x = laid_out(draw, elements(draw, shape, dtype))
        check(name, x, window, windows, axes)


GEOMETRIES = {
    "networks": ((2, 3, 21, 70), (2, 3), ap.Sliding(3, 1, 1)),
    "networks, stride 2": ((2, 3, 21, 150), (2, 3), ap.Sliding(3, 2, 1)),
    "tiles": ((2, 3, 20, 150), (2, 3), ap.Sliding(2)),
    "large networks, channels last": ((2, 13, 21, 35), (1, 2), ap.Sliding(5, 1, 2)),
    "sixty-four": ((70, 19), (0, 1), ap.Sliding(8, 1, 3)),
    "a search": ((40, 90), (0, 1), ap.Sliding(15, 1, 7)),
    "a large search": ((30, 140), (0, 1), ap.Sliding((17, 29), 2, (8, 14))),
    "a search, channels last": ((40, 50, 40), (0, 1), ap.Sliding(15, 1, 7)),
    "volumes": ((1, 9, 12, 40), (1, 2, 3), ap.Sliding(3, 1, 1)),
    "volumes in tiles": ((2, 8, 12, 64), (1, 2, 3), ap.Sliding(2)),
    "a line": ((20_001,), (0,), ap.Sliding(7, 3, 3)),
    "planes as lanes": ((40, 5, 7, 7), (2, 3), ap.Global()),
    "adaptive": ((3, 4, 31, 45), (2, 3), ap.Adaptive((7, 9))),
    "adaptive, channels last": ((3, 31, 45, 20), (1, 2), ap.Adaptive((7, 9))),
    "gaps and dilation": ((3, 31, 75), (1, 2), ap.Sliding((2, 3), (4, 5), 0, (3, 2))),
    "wide rows": ((4, 20_000), (0, 1), ap.Sliding((3, 5), (1, 2), (1, 2))),
}


def draw_other(name, geometry):
    others = [each for each in DTYPES if name != "mode" or each not in FLOATS]
    return random.Random(f"{name} {geometry}").choice(others)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", OPERATORS)
def test_larger_arrays_are_those_of_the_definition(name, geometry):
    shape, axes, window = GEOMETRIES[geometry]
    numbers = np.random.default_rng(0)
    dtypes = ("uint8", "int32") if name == "mode" else ("uint8", "float32")
    for dtype in (*dtypes, draw_other(name, geometry)):
        x = numbers.integers(0, 5 if name == "mode" else 100, shape).astype(as_dtype(dtype))
        if dtype == "float32":
            x[numbers.random(shape) < 0.002] = np.nan
        expected = ap.pool(x, name, window, axes, impl="definition")
        got = ap.pool(x, name, window, axes, impl="kernel")
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(
            got, expected, rtol=1e-2 if dtype == "bfloat16" else 1e-3 if dtype == "float16" else 1e-6
        )
