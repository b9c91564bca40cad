"""What docs/explained/frameworks.md says of other frameworks, asked of the installed ones."""

import math

import numpy as np
import pytest

NAN, INF = math.nan, math.inf


def test_torch_takes_the_last_nan_and_the_first_tie():
    torch = pytest.importorskip("torch")
    pool = torch.nn.functional.max_pool2d
    value, index = pool(torch.tensor([[[1.0, NAN], [NAN, 2.0]]]), 2, return_indices=True)
    assert (math.isnan(value.item()), index.item()) == (True, 2)
    assert pool(torch.zeros(1, 2, 2), 2, return_indices=True)[1].item() == 0
    x = torch.zeros(1, 2, 2, requires_grad=True)
    torch.nn.functional.adaptive_max_pool2d(x, 1).sum().backward()
    assert x.grad.tolist() == [[[1, 0], [0, 0]]]
    x = torch.zeros(1, 2, 2, requires_grad=True)
    x.amax((-1, -2)).sum().backward()
    assert x.grad.tolist() == [[[0.25, 0.25], [0.25, 0.25]]]


def test_torch_counts_padding_and_bounds_it():
    torch = pytest.importorskip("torch")
    pool = torch.nn.functional.avg_pool2d
    assert pool(torch.ones(1, 2, 2), 2, padding=1)[0, 0, 0].item() == 0.25
    with pytest.raises(RuntimeError, match="pad should be at most half"):
        pool(torch.ones(1, 4, 4), 2, padding=2)
    norm = torch.nn.functional.lp_pool2d
    assert math.isnan(norm(torch.full((1, 2, 2), -1.0), 3.0, 2).item())
    part, whole = norm(torch.ones(1, 1, 3), 1.0, (1, 2), ceil_mode=True)[0, 0].tolist()[::-1]
    assert part == whole == 2.0, "a partial window is counted as if it were full"


def test_jax_divides_the_ties_of_a_global_max_and_gives_those_of_windows_to_the_first():
    jax = pytest.importorskip("jax")
    from jax import lax

    def windows(x):
        return lax.reduce_window(x, -np.inf, lax.max, (2, 2), (2, 2), "VALID").sum()

    zeros = jax.numpy.zeros((2, 2))
    assert jax.grad(windows)(zeros).tolist() == [[1, 0], [0, 0]]
    assert jax.grad(lambda x: x.max())(zeros).tolist() == [[0.25, 0.25], [0.25, 0.25]]


def test_tensorflow_passes_over_nan_and_has_no_infinity_in_a_max():
    tf = pytest.importorskip("tensorflow")

    def pooled(values):
        return tf.nn.max_pool2d(tf.reshape(tf.constant(values), (1, 2, 2, 1)), 2, 2, "VALID").numpy().item()

    assert pooled([NAN, 1.0, 2.0, 3.0]) == 3.0
    assert pooled([-INF] * 4) == np.finfo("float32").min


def test_tensorflow_gives_the_gradient_of_ties_to_the_first_and_in_3d_to_all():
    tf = pytest.importorskip("tensorflow")

    def gradient(function, shape):
        x = tf.zeros(shape)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x).numpy().ravel().tolist()

    assert gradient(lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"), (1, 2, 2, 1)) == [1, 0, 0, 0]
    assert gradient(lambda x: tf.nn.max_pool3d(x, (1, 2, 2), (1, 2, 2), "VALID"), (1, 1, 2, 2, 1)) == [1] * 4
    assert gradient(lambda x: tf.reduce_max(x, (1, 2)), (1, 2, 2, 1)) == [0.25] * 4


def test_tensorflow_pads_an_odd_same_at_the_end_and_does_not_count_it():
    tf = pytest.importorskip("tensorflow")
    x = tf.reshape(tf.constant([1.0, 2.0, 3.0]), (1, 1, 3, 1))
    assert tf.nn.avg_pool2d(x, (1, 2), (1, 2), "SAME").numpy().ravel().tolist() == [1.5, 3.0]
