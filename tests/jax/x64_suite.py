"""JAX with 64 bits, on which it decides once per process: run by core/test_gradients.py in a process of its own."""

import jax
import numpy as np
import pytest
from adapters import Jax
from differentiable import FAR_APART, FUNCTIONS, OF_PARAMETERS, OF_POSITIVE, POSITIVE
from harness import Case, check, check_gradient, random_array, without
from jax.test_util import check_grads
from operator_table import CORE

import anypool as ap

CASE = Case(axes=(0, 1), kernel_size=(3, 2), stride=(2, 1), padding=((1, 1), (0, 1)))


def test_this_process_has_64_bits():
    assert jax.config.jax_enable_x64


@pytest.mark.parametrize("operator", CORE)
def test_64_bit_dtypes(operator, rng):
    for name in ("float64", "int64", "uint64"):
        check(without(CASE, operator=operator), random_array(rng, (4, 5), name), Jax())


@pytest.mark.parametrize("operator", CORE)
def test_64_bit_gradients(operator, rng):
    check_gradient(without(CASE, operator=operator), random_array(rng, (4, 5), "float64"), Jax(), impl="definition")


@pytest.mark.parametrize("function", FUNCTIONS[::4])
def test_finite_differences(function):
    check_grads(jax.jit(function), (FAR_APART,), order=1, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("operator", OF_POSITIVE)
def test_finite_differences_of_the_family(operator):
    check_grads(jax.jit(OF_POSITIVE[operator]), (POSITIVE,), order=1, modes=("rev",), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("operator", OF_PARAMETERS)
def test_finite_differences_of_parameters(operator):
    function, value = OF_PARAMETERS[operator]
    pooled = jax.jit(lambda p: function(jax.numpy.asarray(POSITIVE), p))
    check_grads(pooled, (value,), order=1, modes=("rev",), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("function", [FUNCTIONS[0], FUNCTIONS[-1]])
def test_second_derivatives(function):
    check_grads(jax.jit(function), (FAR_APART,), order=2, modes=("fwd", "rev"), atol=1e-4, rtol=1e-4)


def test_unpooling():
    values, indices = ap.max_pool(jax.numpy.asarray(FAR_APART), 2, stride=1, return_indices=True)
    assert (values.dtype, indices.dtype) == (np.float64, np.int64)
    back = ap.max_unpool(values, indices, 2, 1)
    np.testing.assert_array_equal(back, np.where(np.asarray(back) != 0, FAR_APART, 0))
