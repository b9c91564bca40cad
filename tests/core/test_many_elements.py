"""Arrays of more than 2³¹ elements, where a position no longer fits 32 bits: 8 GB of memory, in `make test-all`."""

import numpy as np
import pytest

import anypool as ap
from anypool.adapters.numpy import ADAPTER
from anypool.cpu import kernels
from anypool.pooling import decide

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not kernels.available(), reason=str(kernels.why_not_built)),
]

SIDE = 46400
PLACES = [(0, 0), (1, SIDE - 1), (SIDE // 2, 3), (SIDE - 1, SIDE - 1)]
"""Flat positions up to SIDE² − 1, beyond 2³¹."""


@pytest.fixture(scope="module")
def few():
    """Zeros, but for 1, 2, … at the places."""
    x = np.zeros((SIDE, SIDE), np.uint8)
    for value, place in enumerate(PLACES, 1):
        x[place] = value
    return x


@pytest.mark.parametrize("channels_last", [False, True])
def test_values(few, channels_last):
    x, axes = (few[..., None], (0, 1)) if channels_last else (few, (0, 1))
    for pooled in (ap.max_pool(x, 2, axes=axes), ap.sum_pool(x, 2, axes=axes, dtype=np.uint8)):
        assert np.count_nonzero(pooled) == len(PLACES)
        for value, (i, j) in enumerate(PLACES, 1):
            assert pooled[i // 2, j // 2] == value


def test_one_axis(few):
    flat = few.reshape(-1)
    pooled = ap.max_pool(flat, 4096, axes=0)
    for value, (i, j) in enumerate(PLACES[:-1], 1):
        assert pooled[(i * SIDE + j) // 4096] == value
    assert ap.global_pool(flat, "sum", 0) == sum(range(1, len(PLACES) + 1))


def test_indices(few):
    values, indices = ap.max_pool(few, SIDE // 2, axes=(0, 1), return_indices=True)
    np.testing.assert_array_equal(values, [[1, 2], [3, 4]])
    assert indices.tolist() == [[i * SIDE + j for i, j in PLACES[:2]], [i * SIDE + j for i, j in PLACES[2:]]]


def test_gradients():
    half = SIDE // 2
    like = np.broadcast_to(np.float16(0), (SIDE, SIDE))
    grad = np.zeros((half, half), np.float16)
    for value, (i, j) in enumerate(PLACES, 1):
        grad[i // 2, j // 2] = 4 * value
    offsets = np.full((half, half), 3, np.uint8)
    scattered = kernels.backward(grad, decide(ADAPTER, like, "max", ap.Sliding(2)), offsets)
    spread = kernels.backward(grad, decide(ADAPTER, like, "average", ap.Sliding(2)))
    assert np.count_nonzero(scattered.view(np.uint16)) == len(PLACES)  # of halves NumPy takes a minute
    assert np.count_nonzero(spread.view(np.uint16)) == 4 * len(PLACES)
    for value, (i, j) in enumerate(PLACES, 1):
        assert scattered[i // 2 * 2 + 1, j // 2 * 2 + 1] == 4 * value
        assert spread[i, j] == value
