"""Gradients of sums and averages over non-overlapping windows: each element has one window at most, or none.

Here a gradient is built axis by axis from the windows' positions, so that arrays can be large enough for every path.
"""

import itertools
import os
import random
import sys

import ml_dtypes
import numpy as np
import pytest
import reference
from harness import SUPPORT, in_process
from kernel_cases import FLOATING, GUARDED_ARRAYS, as_dtype, laid_out, pooling_of

import anypool as ap
from anypool.cpu import kernels
from anypool.operators import Average, Sum
from anypool.windows import Adaptive, Global, Sliding

pytestmark = pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built))


def expected_gradient(upstream, shape, windows, axes, operator):
    """The upstream divided, then sent to the one window's positions along each axis."""
    result = upstream.astype(np.float64)
    override = getattr(operator, "divisor_override", None)
    for axis, along in zip(axes, windows, strict=True):
        held = np.full(shape[axis], len(along))  # one more, which is 0
        for output, positions in enumerate(along):
            held[[p for p in positions if p is not None]] = output
        if isinstance(operator, Average) and override is None:
            included = operator.count_include_pad
            counts = [sum(included or p is not None for p in positions) for positions in along]
            result = result / np.reshape([max(n, 1) for n in counts], (-1,) + (1,) * (result.ndim - 1 - axis))
        none = np.zeros([1 if a == axis else n for a, n in enumerate(result.shape)])
        result = np.concatenate([result, none], axis).take(held, axis)
    return result / override if override is not None else result


def check(upstream, shape, window, windows, axes, operator, out=None):
    """Exact where the quotient is rounded once; each factor of an axis rounds once more."""
    dtype = upstream.dtype
    pooling = pooling_of(np.empty(shape, dtype), operator, window, axes)
    got = kernels.backward(upstream, pooling, None, out)
    assert out is None or got is out
    expected = expected_gradient(upstream, shape, windows, axes, operator)
    eps = float(ml_dtypes.finfo(dtype).eps)
    tiny = float(ml_dtypes.finfo(dtype).smallest_subnormal)
    with np.errstate(invalid="ignore"):
        good = np.abs(got.astype(np.float64) - expected) <= 3 * eps * np.abs(expected) + tiny
        good |= (got == expected) | (np.isnan(expected) & np.isnan(got))
    assert good.all(), (shape, window, axes, operator, dtype, upstream.strides)
    assert not np.signbit(got[got == 0]).any() or (getattr(operator, "divisor_override", None) or 1) < 0
    return got


def geometry(draw, n):
    """Arguments of one axis of n elements, and its windows, which do not overlap: with gaps, dilated, padded."""
    kernel, dilation = draw.choice(((1, 1), (2, 1), (2, 1), (3, 1), (4, 1), (5, 1), (9, 1), (70, 1), (2, 3), (3, 2)))
    reach = (kernel - 1) * dilation + 1
    if reach > n:
        kernel, dilation, reach = n, 1, n
    stride = reach + draw.choice((0, 0, 0, 1, 4))
    padding = draw.choice((0, 0, 0, 1, kernel // 2))
    return kernel, stride, (min(padding, kernel // 2), draw.choice((0, kernel // 2))), dilation


def along_one_axis(n, kernel, stride, padding):
    return Sliding((kernel,), (stride,), (padding,)), [reference.sliding(n, kernel, stride, padding)]


def random_geometry(draw):
    """A shape, pooled axes, their window and the reference's; more of few large axes than of many."""
    rank = draw.choice((1, 2, 2, 3))
    longest = {1: 3000, 2: 90, 3: 30}[rank]
    lengths = [draw.randrange(1, draw.choice((longest, 12))) for _ in range(rank)]
    outer, inner = draw.choice((1, 3, 140)), draw.choice((1, 1, 1, 2, 3, 5, 8, 33, 64))
    while outer * inner * np.prod(lengths) > 300_000:
        outer, inner = max(1, outer // 2), max(1, inner // 2)
    kind = draw.random()
    if kind < 0.15:
        window, windows = Global(), [reference.whole(n) for n in lengths]
    elif kind < 0.3:
        sizes = [draw.choice([m for m in range(1, n + 1) if n % m == 0]) for n in lengths]
        window = Adaptive(tuple(sizes))
        windows = [reference.adaptive(n, m) for n, m in zip(lengths, sizes, strict=True)]
    else:
        arguments = [geometry(draw, n) for n in lengths]
        ceil_mode = draw.random() < 0.3
        window = Sliding(*map(tuple, zip(*arguments, strict=True)), ceil_mode=ceil_mode)
        windows = [reference.sliding(n, *a, ceil_mode=ceil_mode) for n, a in zip(lengths, arguments, strict=True)]
    shape = [outer, *lengths, inner]
    axes = tuple(range(1, rank + 1))
    return shape, axes, window, windows


OPERATORS = (Sum(), Average(), Average(), Average(count_include_pad=True), Average(divisor_override=-3))


@pytest.mark.parametrize("seed", range(8))
def test_random_geometry(seed):
    draw = random.Random(seed)
    for _ in range(25):
        shape, axes, window, windows = random_geometry(draw)
        operator, dtype = draw.choice(OPERATORS), as_dtype(draw.choice(FLOATING))
        if isinstance(operator, Average) and any(set(w) == {None} for along in windows for w in along):
            operator = Sum()  # an average of nothing has no value
        numbers = np.random.default_rng(seed)
        upstream = numbers.standard_normal([*reference.output_shape(shape, windows, axes)])
        upstream[numbers.random(upstream.shape) < 0.1] = draw.choice((-0.0, np.inf, np.nan))
        upstream = upstream.astype(dtype)
        if draw.random() < 0.4:
            upstream = laid_out(draw, upstream)
        out = laid_out(draw, np.ones(shape, dtype)) if draw.random() < 0.4 else None
        check(upstream, shape, window, windows, axes, operator, out)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("kernel", [*range(1, 10), 16, 31, 300])
def test_every_width(kernel, dtype):
    """Rows with and without a pattern, one plane after another and with gaps between them."""
    for n, gap, before in itertools.product((kernel, 3 * kernel, 5 * kernel + 1), (0, 2), (0, kernel // 2)):
        arguments = (kernel, kernel + gap, (before, 0))
        window, windows = along_one_axis(n, *arguments)
        upstream = np.random.default_rng(0).standard_normal((5, len(windows[0]))).astype(as_dtype(dtype))
        check(upstream, (5, n), window, windows, (1,), Sum())
        out = np.ones((5, n + 3), upstream.dtype)
        check(upstream, (5, n), window, windows, (1,), Sum(), out[:, :n])
        assert (out[:, n:] == 1).all()


def test_rows_longer_than_a_piece_of_work():
    for n, kernel, channels in ((100_003, 3, 1), (100_003, 4000, 1), (30_001, 2, 7), (5_000, 70, 64), (3, 2, 40_000)):
        window, windows = along_one_axis(n, kernel, kernel + 1, (1, 0))
        shape = (2, n, channels)
        upstream = np.random.default_rng(0).standard_normal((2, len(windows[0]), channels)).astype(np.float32)
        check(upstream, shape, window, windows, (1,), Average())


def test_an_adaptive_average_that_divides_is_exact():
    upstream = np.random.default_rng(0).standard_normal((4, 6, 3, 5)).astype(np.float32)
    pooling = pooling_of(np.empty((4, 24, 9, 5), np.float32), Average(), Adaptive((6, 3)), (1, 2))
    expected = np.repeat(np.repeat(upstream / np.float32(12), 4, 1), 3, 2)
    np.testing.assert_array_equal(kernels.backward(upstream, pooling), expected)


@pytest.mark.parametrize("dtype", FLOATING)
def test_the_same_bits_on_any_number_of_threads(dtype):
    draw = random.Random(5)
    for _ in range(10):
        shape, axes, window, _ = random_geometry(draw)
        shape[0] = 40
        pooling = pooling_of(np.empty(shape, as_dtype(dtype)), Sum(), window, axes)
        upstream = np.random.default_rng(0).standard_normal(pooling.output_shape).astype(as_dtype(dtype))
        results = []
        for threads in (1, 2, 5):
            ap.set_num_threads(threads)
            results.append(kernels.backward(upstream, pooling).tobytes())
        ap.set_num_threads(0)
        assert results[0] == results[1] == results[2]


GUARDED = (
    GUARDED_ARRAYS
    + """
sys.path.insert(0, {here!r})
import test_spread as s
draw = random.Random(5)
for _ in range(300):
    shape, axes, window, _ = s.random_geometry(draw)
    dtype = t.as_dtype(draw.choice(t.FLOATING))
    pooling = t.pooling_of(np.empty(shape, dtype), s.Sum(), window, axes)
    upstream = guarded(draw, np.ones(pooling.output_shape, dtype))
    kernels.backward(upstream, pooling, None, guarded(draw, np.ones(shape, dtype)))
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by mprotect")
def test_nothing_outside_of_arrays_is_touched():
    done = in_process(GUARDED.format(tests=[SUPPORT], here=os.path.dirname(__file__)))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 0, 4, 4), (2, 4, 4, 0), (200, 4, 4, 0), (0, 4, 4, 3)])
def test_empty_arrays(shape):
    axes = (1, 2) if shape[-1] in (0, 3) else (-2, -1)
    pooling = pooling_of(np.empty(shape, np.float32), Average(), Sliding(2), axes)
    assert kernels.backward(np.empty(pooling.output_shape, np.float32), pooling).shape == shape
