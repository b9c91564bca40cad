"""Gradients through the definition on every framework, against the reference and by finite differences."""

import numpy as np
import pytest
from adapters import DIFFERENTIABLE
from differentiable import FAR_APART, FUNCTIONS
from harness import OPERATORS, Case, check_gradient, fitting_case, random_array, without
from processes import QUICK_XLA, run_tests

import anypool as ap

CASES_PER_OPERATOR = {"torch": 40, "jax": 3, "tensorflow": 6}

CASES = [
    Case(axes=(0, 1), kernel_size=(3, 2), stride=(1, 2), padding=((1, 0), (0, 1))),
    Case(axes=(2, 0), kernel_size=(2, 2), stride=(1, 1), dilation=(2, 1), padding="same"),
    Case(window="adaptive", axes=(1, 2), output_size=(2, 4)),
    Case(window="global", axes=(0, 2)),
]


@DIFFERENTIABLE
@pytest.mark.parametrize("operator", OPERATORS)
def test_gradients_are_the_reference_s(adapter, operator, rng):
    """Ties and zeros included: all of a maximum's gradient goes to the first, a norm has none where it is 0."""
    for case in CASES:
        x = random_array(rng, (3, 4, 5), "float32")
        check_gradient(without(case, operator=operator), x, adapter, impl="definition")
        check_gradient(without(case, operator=operator), np.zeros_like(x), adapter, impl="definition")


@DIFFERENTIABLE
@pytest.mark.parametrize("operator", OPERATORS)
def test_random_gradients(adapter, operator, rng):
    for number in range(CASES_PER_OPERATOR[adapter.name]):
        case, shape = fitting_case(rng, operator=operator, rank=1 + number % 3)
        check_gradient(case, random_array(rng, shape, "float32"), adapter, impl="definition")


@DIFFERENTIABLE
@pytest.mark.parametrize("operator", ["average", "sum", "lp"])
def test_gradients_of_halves(adapter, operator, rng):
    check_gradient(Case(operator=operator), random_array(rng, (4, 6), "float16"), adapter, impl="definition")


@DIFFERENTIABLE
def test_gradients_with_indices(adapter, rng):
    """return_indices does not cut the gradient of the values."""
    x = random_array(rng, (4, 6), "float32")
    case = Case(kernel_size=(3, 3), stride=(1, 1))
    upstream = random_array(rng, (2, 4), "float32")
    got = adapter.gradient(lambda a: case.package(a, return_indices=True, impl="definition")[0], x, upstream)
    np.testing.assert_allclose(got, case.expected_gradient(x, upstream), rtol=1e-5, atol=1e-5)


@DIFFERENTIABLE
def test_global_pool_without_its_axes(adapter, rng):
    x = random_array(rng, (2, 3, 4), "float32")
    upstream = random_array(rng, (3,), "float32")
    got = adapter.gradient(lambda a: ap.global_pool(a, "average", (0, 2), impl="definition"), x, upstream)
    np.testing.assert_allclose(got, np.broadcast_to(upstream[:, None] / 8, x.shape), rtol=1e-6)


@pytest.mark.filterwarnings(
    "ignore:.torch.jit.script. is deprecated:DeprecationWarning"
)  # torch's own, in forward mode
@pytest.mark.parametrize("function", FUNCTIONS)
def test_torch_finite_differences(function):
    torch = pytest.importorskip("torch")
    x = torch.tensor(FAR_APART, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x,), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, (x,))


def test_jax_finite_differences():
    """Finite differences need 64 bits, on which JAX decides once per process."""
    pytest.importorskip("jax")
    run_tests("tests/jax/x64_suite.py", JAX_ENABLE_X64="1", XLA_FLAGS=QUICK_XLA)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_tensorflow_s_gradients_are_torch_s(function):
    """TensorFlow's tape on the definition gives what torch gives in float64."""
    tf, torch = pytest.importorskip("tensorflow"), pytest.importorskip("torch")
    x = tf.constant(FAR_APART)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(function(x) ** 2)
    leaf = torch.tensor(FAR_APART, requires_grad=True)
    (function(leaf) ** 2).sum().backward()
    np.testing.assert_allclose(
        tf.convert_to_tensor(tape.gradient(y, x)).numpy(), leaf.grad.numpy(), rtol=1e-12, atol=1e-12
    )
