"""A long random sweep of the compiled kernels against the reference: values, indices and gradients.

Every run draws new cases and prints its seed (see conftest.py): ANYPOOL_SWEEP_SEED repeats a run, ANYPOOL_SWEEP_CASES
shortens it.
"""

import os

import numpy as np
import pytest
from adapters import DTYPES, FLOATS, NumPy
from harness import check, finfo, laid_out, random_array, random_case, without

from anypool import functional, kernels
from anypool.arrays.numpy import ADAPTER

CASES = int(os.environ.get("ANYPOOL_SWEEP_CASES", 100_000))
OPERATORS = ("max", "min", "average", "sum")

needs_kernels = pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built))


def drawn(seed, number):
    """Case `number` of a sweep: a pooling, an array in some layout, and the random numbers that follow."""
    rng = np.random.default_rng([seed, number])
    case, shape = random_case(rng, operator=OPERATORS[number % len(OPERATORS)])
    name = str(rng.choice(DTYPES))
    if case.operator in ("average", "sum") and rng.random() < 0.2:
        case = without(case, dtype=str(rng.choice(["float32", "float64"])))
    return case, laid_out(rng, random_array(rng, shape, name, specials=rng.random() < 0.5)), rng


def check_one(case, x, rng):
    """Values and indices; then, of floats, the gradient. A pooling that does not fit must be refused in words."""
    if not case.fits(x.shape):
        with pytest.raises(ValueError, match=r"must fit|without any element"):
            case.package(x, impl="kernel")
        return
    check(case, x, NumPy(), impl="kernel")
    if x.dtype.name in FLOATS and x.dtype.isnative and case.dtype is None:
        check_backward(case, x, rng)


def check_backward(case, x, rng):
    """A kernel's gradient of max and min is exact but for the order of additions, of the others within the rounding."""
    selects = case.operator in ("max", "min")
    pooling = functional.decide(ADAPTER, x, case.package_operator(), case.package_window(), case.axes)
    offsets = kernels.forward_with_offsets(x, pooling)[1] if selects else None
    upstream = rng.integers(-4, 5, pooling.output_shape).astype(x.dtype)
    got = kernels.backward(upstream, pooling, offsets).astype(np.float64)
    expected = case.expected_gradient(x, upstream)
    scale = case.expected_gradient(x, np.abs(upstream))
    steps = 4 + np.log2(1 + np.prod([len(along) for along in case.windows(x.shape)]))
    eps = float(finfo(x.dtype).eps)
    np.testing.assert_array_less(np.abs(got - expected), steps * eps * np.abs(scale) + 1e-30, err_msg=str(case))


def sweep(seed, cases):
    for number in range(cases):
        case, x, rng = drawn(seed, number)
        try:
            check_one(case, x, rng)
        except AssertionError as error:
            kind = f"{x.dtype} {x.shape} with strides {x.strides}"
            pytest.fail(f"case {number} of ANYPOOL_SWEEP_SEED={seed}: {case} on {kind}\n{x!r}\n{error}")


@needs_kernels
@pytest.mark.slow
def test_kernels_against_the_reference():
    sweep(int(os.environ["ANYPOOL_SWEEP_SEED"]), CASES)


@needs_kernels
def test_a_short_sweep():
    """The first cases of one sweep, in every run of the tests."""
    sweep(20_241, 400)
