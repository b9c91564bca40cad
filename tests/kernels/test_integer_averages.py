"""Averages of integers to integers: the exact quotient, rounded to nearest, ties to even; and in one pass."""

import time
from functools import partial

import numpy as np
import pytest
import reference

import anypool as ap
from anypool.cpu import kernels
from anypool.windows import Adaptive, Global, Sliding

pytestmark = pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built))

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")
LENGTHS = (23, 41)


def along_both(positions):
    return [positions(n) for n in LENGTHS]


CASES = {
    "2x2": (Sliding(2), along_both(lambda n: reference.sliding(n, 2, 2, (0, 0), 1, False))),
    "3x3 padded": (Sliding(3, 2, 1), along_both(lambda n: reference.sliding(n, 3, 2, (1, 1), 1, False))),
    "7x7": (Sliding(7, 1), along_both(lambda n: reference.sliding(n, 7, 1, (0, 0), 1, False))),
    "21x21": (Sliding(21, 1), along_both(lambda n: reference.sliding(n, 21, 1, (0, 0), 1, False))),
    "global": (Global(), along_both(reference.whole)),
    "adaptive": (Adaptive(5), along_both(lambda n: reference.adaptive(n, 5))),
}


def half_even(sums, counts):
    """Quotients in Python's integers."""
    quotient, rest = sums // counts, sums % counts
    above = np.abs(2 * rest) > np.abs(counts)
    tie = np.abs(2 * rest) == np.abs(counts)
    return quotient + (above | (tie & (quotient % 2 == 1)))


def exact(x, windows, divisor):
    sums, counts = x.astype(object), 1
    for axis, along in zip((-2, -1), windows, strict=True):
        inside = [[p for p in positions if p is not None] for positions in along]
        sums = np.stack([sums.take(positions, axis).sum(axis) for positions in inside], axis)
        counts = counts * np.array([len(positions) for positions in inside], object).reshape(-1, *[1] * (-1 - axis))
    return half_even(sums, np.broadcast_to(counts if divisor is None else divisor, sums.shape))


def numbers(dtype, shape):
    rng, limits = np.random.default_rng(3), np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    if dtype == "int64":  # their sums are exact in float64, in which they are added
        x >>= 22
    return x


@pytest.mark.parametrize("divisor", [None, 1, 3, -7, 64, 2**31 - 1])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_quotients_are_exact(dtype, name, divisor):
    window, windows = CASES[name]
    drawn = numbers(dtype, (2, *LENGTHS))
    for x in (drawn, drawn // 2 * 2 + 1, drawn % 5):
        got = ap.pool(x, ap.Average(divisor_override=divisor), window, (-2, -1), dtype=dtype, impl="kernel")
        expected = exact(x, windows, divisor)
        bits = (expected & (2 ** (8 * got.itemsize) - 1)).astype(f"u{got.itemsize}")
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, bits.view(dtype))


def test_rounding_costs_no_pass_of_its_own():
    """About as long as the same sums divided in float32: 1.2 times, where each division of integers made it 10."""
    ap.set_num_threads(1)
    x = np.random.default_rng(0).integers(0, 65536, (64, 256, 256), np.uint16)
    to_int, to_float = (
        partial(ap.pool, x, "average", Sliding(3, 1), (1, 2), dtype=dtype) for dtype in ("uint16", "float32")
    )
    for _ in range(3):
        whole, floats = fastest(to_int), fastest(to_float)
        if whole < 3 * floats:
            break
    ap.set_num_threads(0)
    assert whole < 3 * floats


def fastest(call):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
