"""Gradients through the definition on every framework, against the reference and by finite differences."""

import numpy as np
import pytest
from adapters import DIFFERENTIABLE
from differentiable import FAR_APART, FUNCTIONS, OF_PARAMETERS, OF_POSITIVE, POSITIVE
from harness import Case, check_gradient, fitting_case, random_array, without
from operator_table import CORE, DIFFERENTIABLE_OPERATORS
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
@pytest.mark.parametrize("operator", DIFFERENTIABLE_OPERATORS)
def test_gradients_are_the_reference_s(adapter, operator, rng):
    """Ties and zeros included: all of a maximum's gradient goes to the first, a norm has none where it is 0."""
    for case in CASES if operator in CORE or adapter.name != "jax" else CASES[:1]:
        case = without(case, operator=operator)
        case = case if case.fits((3, 4, 5)) else without(case, padding="valid")
        x = random_array(rng, (3, 4, 5), "float32")
        check_gradient(case, x, adapter, impl="definition")
        check_gradient(case, np.zeros_like(x), adapter, impl="definition")


@DIFFERENTIABLE
@pytest.mark.parametrize("operator", DIFFERENTIABLE_OPERATORS)
def test_random_gradients(adapter, operator, rng):
    for number in range(CASES_PER_OPERATOR[adapter.name] // (1 if operator in CORE else 3)):
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


@pytest.mark.parametrize("operator", OF_POSITIVE)
def test_torch_finite_differences_of_the_family(operator):
    torch = pytest.importorskip("torch")
    assert torch.autograd.gradcheck(OF_POSITIVE[operator], (torch.tensor(POSITIVE, requires_grad=True),))


@pytest.mark.parametrize("operator", OF_PARAMETERS)
def test_torch_finite_differences_of_parameters(operator):
    torch = pytest.importorskip("torch")
    function, value = OF_PARAMETERS[operator]
    x = torch.tensor(POSITIVE, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x, torch.tensor(value, requires_grad=True)))


@pytest.mark.parametrize("operator", [name for name in OF_PARAMETERS if name.endswith("-1")])
def test_tensorflow_s_gradients_of_parameters_are_torch_s(operator):
    tf, torch = pytest.importorskip("tensorflow"), pytest.importorskip("torch")
    function, value = OF_PARAMETERS[operator]
    p = tf.constant(value)
    with tf.GradientTape() as tape:
        tape.watch(p)
        y = tf.reduce_sum(function(tf.constant(POSITIVE), p) ** 2)
    leaf = torch.tensor(value, requires_grad=True)
    (function(torch.tensor(POSITIVE), leaf) ** 2).sum().backward()
    np.testing.assert_allclose(tape.gradient(y, p).numpy(), leaf.grad.numpy(), rtol=1e-10, atol=1e-12)


@DIFFERENTIABLE
def test_gradients_by_hand(adapter):
    """At ties the first in row-major order, at zeros none, and the published numbers of soft pooling."""

    def gradient(operator, x):
        x = np.array([x], np.float32)
        return adapter.gradient(lambda a: ap.global_pool(a, operator, 1), x, np.ones(1, np.float32))[0].tolist()

    assert gradient(ap.Soft(), [0, 0, 0, 4]) == pytest.approx([-0.0480, -0.0480, -0.0480, 1.1440], abs=2e-3)
    assert gradient(ap.Soft(1, "straight_through"), [0, 0, 0, 0]) == pytest.approx([0.25] * 4)
    assert gradient(ap.LogSumExp(), [1000, 1000]) == pytest.approx([0.5, 0.5])
    assert gradient(ap.Std(), [3, 3, 3]) == [0, 0, 0]
    assert gradient(ap.Range(), [2, 1, 2, 1]) == [1, -1, 0, 0]
    assert gradient(ap.Range(), [5, 5]) == [0, 0]
    assert gradient(ap.Median("mean"), [4, 4, 1, 9]) == [1, 0, 0, 0]
    assert gradient(ap.Median("mean"), [4, 2, 1, 9]) == [0.5, 0.5, 0, 0]
    assert gradient(ap.Rank(2), [7, 7, 7]) == [0, 1, 0]
    assert gradient(ap.TopKMean(2), [7, 7, 7]) == [0, 0.5, 0.5]
    assert gradient(ap.TrimmedMean(0.25), [7, 7, 7, 7]) == [0, 0.5, 0.5, 0]
    assert gradient(ap.OrderedWeighted((0, -1e4, -1e4)), [7, 7, 7]) == [1, 0, 0]
    assert gradient(ap.AvgMax(), [3, 3]) == pytest.approx([0.75, 0.25])
    assert gradient(ap.PowerMean(2), [0, 0, 3]) == pytest.approx([0, 0, 1 / 3**0.5], rel=1e-5)
    assert gradient(ap.GeometricMean(), [0, 5]) == [0, 0]
    assert gradient(ap.HarmonicMean(), [0, 5]) == [0, 0]
    assert gradient(ap.PowerMean(2), [0, 0]) == gradient(ap.PowerMean(-2), [0, 0]) == [0, 0]
    assert gradient(ap.AdaPool(), [0, 0]) == pytest.approx([0.5, 0.5])
    assert gradient(ap.Dilation((0, 1, 0)), [2, 1, 2]) == [1, 0, 0]
    assert gradient(ap.Erosion((0, 1, 0)), [1, 2, 1]) == [1, 0, 0]


@DIFFERENTIABLE
@pytest.mark.parametrize("operator", [ap.PowerMean, ap.GeM, ap.LogSumExp, ap.Soft])
def test_gradients_of_powers_are_finite_where_windows_are_zero(adapter, operator):
    """Of windows of zeros, as after ReLU, both of x and of the parameter."""
    for start in (2.0, 0.5):
        p = np.array([start], np.float32)
        x = np.array([[0, 0], [0, 3]], np.float32)
        for of_x in (True, False):

            def pooled(a, b, of_x=of_x):
                x, p = (a, b) if of_x else (b, a)
                return ap.pool(x, operator(p), ap.Global(), 1)

            variable, other = (x, p) if of_x else (p, x)
            got = adapter.gradient(lambda a: pooled(a, adapter.make(other)), variable, np.ones((2, 1), np.float32))  # noqa: B023
            assert np.isfinite(got).all(), (operator, of_x, got)


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
