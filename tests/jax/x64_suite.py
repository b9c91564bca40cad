"""JAX with 64 bits, on which it decides once per process: run by core/test_gradients.py in a process of its own."""

import jax
import numpy as np
import pytest
from adapters import Jax
from differentiable import FAR_APART, FUNCTIONS
from harness import OPERATORS, Case, check, check_gradient, random_array, without
from jax.test_util import check_grads

import anypool as ap

CASE = Case(axes=(0, 1), kernel_size=(3, 2), stride=(2, 1), padding=((1, 1), (0, 1)))


def test_this_process_has_64_bits():
    assert jax.config.jax_enable_x64


@pytest.mark.parametrize("operator", OPERATORS)
def test_64_bit_dtypes(operator, rng):
    for name in ("float64", "int64", "uint64"):
        check(without(CASE, operator=operator), random_array(rng, (4, 5), name), Jax())


@pytest.mark.parametrize("operator", OPERATORS)
def test_64_bit_gradients(operator, rng):
    check_gradient(without(CASE, operator=operator), random_array(rng, (4, 5), "float64"), Jax(), impl="definition")


@pytest.mark.parametrize("function", FUNCTIONS[::4])
def test_finite_differences(function):
    check_grads(jax.jit(function), (FAR_APART,), order=1, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("function", [FUNCTIONS[0], FUNCTIONS[-1]])
def test_second_derivatives(function):
    check_grads(jax.jit(function), (FAR_APART,), order=2, modes=("fwd", "rev"), atol=1e-4, rtol=1e-4)


def test_unpooling():
    values, indices = ap.max_pool(jax.numpy.asarray(FAR_APART), 2, stride=1, return_indices=True)
    assert (values.dtype, indices.dtype) == (np.float64, np.int64)
    back = ap.max_unpool(values, indices, 2, 1)
    np.testing.assert_array_equal(back, np.where(np.asarray(back) != 0, FAR_APART, 0))
