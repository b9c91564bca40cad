"""Long random sweeps of the compiled kernels: values, indices and gradients.

Small arrays of every kind go beside the reference's loops; arrays that fill vectors, tiles and blocks beside the
definition, which the other tests hold to the reference. Every run draws new cases and prints its seed (see
conftest.py): ANYPOOL_SWEEP_SEED repeats a run, ANYPOOL_SWEEP_CASES shortens the first sweep.
"""

import os

import numpy as np
import pytest
from adapters import DTYPES, FLOATS, NumPy
from harness import check, finfo, laid_out, random_array, random_case, without

import anypool as ap
from anypool.adapters.numpy import ADAPTER
from anypool.cpu import kernels
from anypool.pooling import decide

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
    pooling = decide(ADAPTER, x, case.package_operator(), case.package_window(), case.axes)
    offsets = kernels.forward_with_offsets(x, pooling)[1] if selects else None
    upstream = rng.integers(-4, 5, pooling.output_shape).astype(x.dtype)
    got = kernels.backward(upstream, pooling, offsets).astype(np.float64)
    expected = case.expected_gradient(x, upstream)
    scale = case.expected_gradient(x, np.abs(upstream))
    steps = 4 + np.log2(1 + np.prod([len(along) for along in case.windows(x.shape)]))
    eps = float(finfo(x.dtype).eps)
    np.testing.assert_array_less(np.abs(got - expected), steps * eps * np.abs(scale) + 1e-30, err_msg=str(case))


def sweep(draw, check_drawn, seed, cases):
    for number in range(cases):
        pooling, x, rng = draw(seed, number)
        try:
            check_drawn(pooling, x, rng)
        except (Exception, pytest.fail.Exception) as error:
            kind = f"{x.dtype} {x.shape} with strides {x.strides}"
            pytest.fail(f"case {number} of ANYPOOL_SWEEP_SEED={seed}: {pooling} on {kind}\n{error!r}")


@needs_kernels
@pytest.mark.slow
def test_kernels_against_the_reference():
    sweep(drawn, check_one, int(os.environ["ANYPOOL_SWEEP_SEED"]), CASES)


@needs_kernels
def test_a_short_sweep():
    """The first cases of one sweep, in every run of the tests."""
    sweep(drawn, check_one, 20_241, 400)


# ---------------------------------------------------------------------------------------------------------------------
# Arrays that fill vectors, tiles and blocks


def drawn_large(seed, number):
    """(Operator, window, pooled axes), an array of small whole numbers, and random numbers."""
    rng = np.random.default_rng([seed, number])
    rank = int(rng.choice([1, 2, 2, 2, 3]))
    longest, widest = {1: (4000, 600), 2: (80, 40), 3: (24, 9)}[rank]
    kernel, lengths, stride, padding = [], [], [], []
    for _ in range(rank):
        kernel.append(int(rng.integers(1, widest + 1) if rng.random() < 0.5 else rng.integers(1, 5)))
        stride.append(int(rng.choice([1, 1, 2, 3, kernel[-1]])))
        padding.append(tuple(int(n) for n in rng.integers(0, kernel[-1], 2)) if rng.random() < 0.5 else (0, 0))
        lengths.append(int(rng.integers(max(1, kernel[-1]), longest + kernel[-1])))
    dilation = 2 if rng.random() < 0.15 and min(lengths) > 2 * max(kernel) else 1
    window = ap.Sliding(tuple(kernel), tuple(stride), tuple(padding), dilation)
    if rng.random() < 0.2:
        window = ap.Adaptive(tuple(int(rng.integers(1, n + 1)) for n in lengths))
    elif rng.random() < 0.1:
        window = ap.Global()
    outer, inner = int(rng.choice([1, 2, 3, 20, 70])), int(rng.choice([1, 1, 1, 2, 5, 16, 33, 64, 100]))
    while outer * inner * np.prod(lengths) > 2e6:
        outer, inner = max(1, outer // 2), max(1, inner // 2)
    name = str(rng.choice(["float32", "float32", "float64", "float16", "int8", "uint8"]))
    x = rng.integers(0, 4, (outer, *lengths, inner)).astype(name)
    operator = OPERATORS[number % len(OPERATORS)]
    return (operator, window, tuple(range(1, rank + 1))), laid_out(rng, x) if rng.random() < 0.3 else x, rng


def check_large(pooling, x, rng):
    """Values, indices and the gradient, beside those of the definition."""
    operator, window, axes = pooling
    selects = operator in ("max", "min")
    try:
        expected = ap.pool(x, operator, window, axes, impl="definition", return_indices=selects)
    except ValueError:  # a window in the padding alone, where an average has no value
        return
    got = ap.pool(x, operator, window, axes, impl="kernel", return_indices=selects)
    for mine, theirs in zip(got if selects else (got,), expected if selects else (expected,), strict=True):
        if operator == "average":
            np.testing.assert_allclose(mine, theirs, rtol=2e-3 if mine.dtype.itemsize == 2 else 2e-6)
        else:
            np.testing.assert_array_equal(mine, theirs)
    if selects:
        np.testing.assert_array_equal(ap.pool(x, operator, window, axes, impl="kernel"), expected[0])
    if x.dtype not in (np.float32, np.float64):
        return
    decided = decide(ADAPTER, x, operator, window, axes)
    offsets = kernels.forward_with_offsets(x, decided)[1] if selects else None
    upstream = rng.integers(-4, 5, decided.output_shape).astype(x.dtype)
    gradient = kernels.backward(upstream, decided, offsets)
    if selects:
        theirs = scattered(upstream, expected[1], axes, x.shape)
        np.testing.assert_array_equal(gradient, theirs)
    else:  # linear, so that ⟨gradient, z⟩ = ⟨upstream, pooled z⟩ for every z
        for _ in range(3):
            z = rng.integers(-2, 3, x.shape).astype(np.float64)
            across = np.vdot(upstream, ap.pool(z, operator, window, axes, impl="definition"))
            scale = np.abs(upstream).astype(np.float64).sum() + 1
            assert abs(np.vdot(gradient.astype(np.float64), z) - across) < 1e-5 * scale


def scattered(upstream, indices, axes, shape):
    """The gradient of a max or min from its flat indices."""
    last = tuple(range(-len(axes), 0))
    moved = [np.moveaxis(array, axes, last) for array in (upstream, indices, np.empty(shape))]
    values, places = (array.reshape(-1, np.prod(array.shape[-len(axes) :], dtype=int)) for array in moved[:2])
    result = np.zeros((len(values), np.prod([shape[axis] for axis in axes])))
    np.add.at(result, (np.arange(len(values))[:, None], places), values)
    return np.moveaxis(result.reshape(moved[2].shape), last, axes)


@needs_kernels
@pytest.mark.slow
def test_kernels_on_large_arrays():
    sweep(drawn_large, check_large, int(os.environ["ANYPOOL_SWEEP_SEED"]), 600)


@needs_kernels
def test_a_short_sweep_of_large_arrays():
    sweep(drawn_large, check_large, 20_261, 25)
