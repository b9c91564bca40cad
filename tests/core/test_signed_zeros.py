"""Zeros of both signs, which are equal and so tie: which sign the value of a max or min has."""

import numpy as np
import pytest

import anypool as ap
from anypool.cpu import kernels

IMPLEMENTATIONS = ("auto", "definition", *(("kernel",) if kernels.available() else ()))
WINDOWS = {
    "pairs": (ap.Sliding((1, 2)), (3, 8)),
    "overlapping": (ap.Sliding(3, 1, 1), (9, 17)),
    "apart": (ap.Sliding(3), (9, 33)),
    "wide": (ap.Sliding((2, 40), (1, 1)), (6, 90)),
    "adaptive": (ap.Adaptive(4), (9, 17)),
    "everything": (ap.Global(), (9, 40)),
}
every_case = pytest.mark.parametrize("name", WINDOWS)
every_operator = pytest.mark.parametrize("operator", ["max", "min"])
every_dtype = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])


def zeros(shape, dtype):
    x = np.zeros((2, *shape), dtype)
    x[np.random.default_rng(1).random(x.shape) < 0.5] *= -1
    assert np.signbit(x).any()
    assert not np.signbit(x).all()
    return x


def firsts(x, operator, window):
    """The values at the indices of the definition, which are those of the first elements."""
    _, indices = ap.pool(x, operator, window, (1, 2), return_indices=True, impl="definition")
    flat = np.take_along_axis(x.reshape(len(x), -1), indices.reshape(len(x), -1), axis=1)
    return flat.reshape(indices.shape)


@every_case
@every_operator
@every_dtype
@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_with_indices_it_is_the_first_ones(name, operator, dtype, impl):
    window, shape = WINDOWS[name]
    x = zeros(shape, dtype)
    expected = firsts(x, operator, window)
    values, _ = ap.pool(x, operator, window, (1, 2), return_indices=True, impl=impl)
    assert (np.signbit(values) == np.signbit(expected)).all()
    alone = ap.pool(x, operator, window, (1, 2), impl=impl)
    assert (alone == 0).all()
    if impl == "definition":
        assert (np.signbit(alone) == np.signbit(expected)).all()


@every_case
@every_operator
def test_with_a_gradient_it_is_the_first_ones(name, operator):
    torch = pytest.importorskip("torch")
    window, shape = WINDOWS[name]
    x = zeros(shape, "float32")
    values = ap.pool(torch.from_numpy(x).requires_grad_(), operator, window, (1, 2))
    assert (np.signbit(values.detach().numpy()) == np.signbit(firsts(x, operator, window))).all()
