"""TensorFlow's own kinds of tensors: variables, graphs of unknown lengths, XLA, and derivatives of derivatives."""

import numpy as np
import pytest

import anypool as ap
from anypool.adapters import adapter_for

tf = pytest.importorskip("tensorflow")

CASES = {
    "max": lambda x: ap.max_pool(x, 2, axes=(1, 2)),
    "max same": lambda x: ap.max_pool(x, 3, 2, "same", axes=(1, 2)),
    "min padded": lambda x: ap.min_pool(x, 3, 2, ((0, 1), (1, 0)), axes=(1, 2)),
    "average": lambda x: ap.avg_pool(x, (2, 3), axes=(1, 2)),
    "average same": lambda x: ap.avg_pool(x, 3, 2, "same", axes=(1, 2)),
    "average with padding": lambda x: ap.avg_pool(x, 3, 2, 1, ceil_mode=True, count_include_pad=True, axes=(1, 2)),
    "sum": lambda x: ap.sum_pool(x, 3, 1, "same_lower", axes=(1, 2)),
    "dilated": lambda x: ap.max_pool(x, 2, 1, dilation=2, axes=(1, 2)),
    "norm": lambda x: ap.pool(x, ap.Lp(3), ap.Sliding(2), axes=(1, 2)),
    "adaptive": lambda x: ap.adaptive_pool(x, "average", (3, 2), axes=(1, 2)),
    "adaptive max": lambda x: ap.adaptive_pool(x, "max", (3, 4), axes=(1, 2)),
    "global max": lambda x: ap.global_pool(x, "max", (1, 2)),
    "global average": lambda x: ap.global_pool(x, "average", (1, 2), keepdims=True),
    "wide": lambda x: ap.avg_pool(x, 5, 1, "same", axes=(1, 2)),
    "indices": lambda x: ap.max_pool(x, 2, axes=(1, 2), return_indices=True)[1],
    "unpooled": lambda x: ap.max_unpool(
        *ap.max_pool(x, 2, axes=(1, 2), return_indices=True), 2, output_size=(9, 8), axes=(1, 2)
    ),
}
SIZES = [(2, 6, 7, 3), (1, 9, 6, 3), (3, 8, 8, 3)]


@pytest.mark.parametrize("name", CASES)
def test_one_graph_serves_every_size(name, rng):
    """A function traced once, with no length known, against NumPy arrays."""
    function = tf.function(CASES[name], input_signature=[tf.TensorSpec((None, None, None, None))])
    for shape in SIZES:
        x = rng.normal(size=shape).astype("float32")
        np.testing.assert_allclose(function(x), CASES[name](x), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    "name", ["max same", "min padded", "average with padding", "dilated", "adaptive", "global max"]
)
def test_values_and_gradients_under_xla(name, rng):
    x = rng.normal(size=SIZES[0]).astype("float32")

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = CASES[name](x)
        return y, tape.gradient(y, x)

    compiled = tf.function(gradient, jit_compile=True)(tf.constant(x))
    for one, other in zip(compiled, gradient(tf.constant(x)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(compiled[0], CASES[name](x), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("impl", ["framework", "definition"])
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("window", [ap.Sliding(2), ap.Sliding(3, 2, "same"), ap.Sliding(5, 1, 2), ap.Global()])
def test_tied_maxima_give_their_gradient_to_the_first(impl, rank, window, rng):
    """TensorFlow's own max_pool3d gives it to all of them, and reduce_max divides it."""
    x = rng.integers(0, 2, (1, *(6, 5, 6, 5)[:rank], 2)).astype("float32")
    axes = tuple(range(1, rank + 1))
    values, indices = ap.pool(x, "max", window, axes, return_indices=True)
    expected = np.zeros((2, np.prod(x.shape[1:-1])), "float32")
    for channel in range(2):
        np.add.at(expected[channel], indices[..., channel].ravel(), 1)
    leaf = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(leaf)
        y = ap.pool(leaf, "max", window, axes, impl=impl)
    np.testing.assert_array_equal(y, values)
    np.testing.assert_array_equal(np.reshape(tape.gradient(y, leaf), (-1, 2)).T, expected)


@pytest.mark.parametrize("name", ["max", "max same", "average same", "adaptive max", "global max", "norm"])
@pytest.mark.parametrize("axes", ["last", "first"])
def test_second_derivatives(name, axes, rng):
    """The Hessian of Σ y³ against differences of its gradient."""
    order = (0, 1, 2, 3) if axes == "last" else (0, 2, 3, 1)

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(CASES[name](tf.transpose(x, order)) ** 3)
        return tape.gradient(total, x)

    x = tf.constant((rng.permutation(60).reshape((1, 5, 4, 3)) + 1) / 10.0)
    direction = tf.constant(rng.normal(size=x.shape))
    with tf.GradientTape() as tape:
        tape.watch(x)
        slope = tf.reduce_sum(gradient(x) * direction)
    step = 1e-5
    difference = (gradient(x + step * direction) - gradient(x - step * direction)) / (2 * step)
    np.testing.assert_allclose(tape.gradient(slope, x), difference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["max same", "min padded", "average with padding", "global max", "adaptive"])
def test_forward_mode(name, rng):
    x, direction = (tf.constant(rng.normal(size=SIZES[0])) for _ in range(2))
    with tf.autodiff.ForwardAccumulator(x, direction) as forward:
        y = CASES[name](x)
    step = 1e-6
    difference = (CASES[name](x + step * direction) - CASES[name](x - step * direction)) / (2 * step)
    np.testing.assert_allclose(forward.jvp(y), difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axes", [(2, 3), (0, 1), (3, 1), (0,), (1, 2, 3), (0, 1, 2, 3)])
def test_any_axes_by_tensorflows_own_operations(axes, rng):
    x = rng.normal(size=(4, 6, 5, 6)).astype("float32")
    for operator in ("max", "min", "average", "sum"):
        y = ap.pool(tf.constant(x), operator, ap.Sliding(2, 1, 1), axes, impl="framework")
        np.testing.assert_allclose(y, ap.pool(x, operator, ap.Sliding(2, 1, 1), axes), rtol=2e-6, atol=2e-6)


def test_averages_of_large_windows_are_accurate(rng):
    x = rng.random((1, 512, 512, 4)).astype("float32")
    exact = x.mean((1, 2), dtype="float64")
    allowed = (2 + np.log2(512 * 512)) * np.finfo("float32").eps * exact
    assert (abs(ap.global_pool(tf.constant(x), "average", (1, 2)).numpy() - exact) <= allowed).all()


def test_variables_are_pooled_and_differentiated(rng):
    variable = tf.Variable(rng.normal(size=(1, 4, 4, 1)))
    with tf.GradientTape() as tape:
        y = ap.avg_pool(variable, 2, axes=(1, 2))
    np.testing.assert_allclose(tape.gradient(y, variable), np.full((1, 4, 4, 1), 0.25))


def test_framework_operations_say_why_not():
    x = tf.zeros((1, 6, 6, 1))
    for words, operator, window in [
        ("dilation", "max", ap.Sliding(2, dilation=2)),
        ("adaptive", "max", ap.Adaptive(4)),
        ("no operation for Median", "median", ap.Sliding(2)),
    ]:
        with pytest.raises(ValueError, match=rf"impl='framework' cannot run here: .*{words}"):
            ap.pool(x, operator, window, (1, 2), impl="framework")
    with pytest.raises(ValueError, match=r"cannot run here: .*uint32"):
        ap.max_pool(tf.zeros((4, 4), "uint32"), 2, impl="framework")


@pytest.mark.parametrize(
    ("error", "words", "make"),
    [
        (TypeError, "dense tensor.*RaggedTensor", lambda: tf.ragged.constant([[1.0, 2.0], [3.0]])),
        (TypeError, "dense tensor.*SparseTensor", lambda: tf.sparse.from_dense([[1.0, 0.0]])),
        (TypeError, "got dtype string", lambda: tf.constant([["a", "b"], ["c", "d"]])),
        (TypeError, "got dtype complex64", lambda: tf.zeros((2, 2), tf.complex64)),
    ],
)
def test_tensors_without_windows(error, words, make):
    with pytest.raises(error, match=words):
        ap.max_pool(make(), 2)


def test_tensors_of_unknown_rank():
    with pytest.raises(ValueError, match="known number of axes"):
        tf.function(lambda x: ap.max_pool(x, 2)).get_concrete_function(tf.TensorSpec(None))


def test_adapter_is_tensorflows():
    assert adapter_for(tf.zeros(1)).name == adapter_for(tf.Variable(1.0)).name == "TensorFlow"
