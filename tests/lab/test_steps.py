"""What a step of training keeps and holds, in each framework, on a network that is worked by hand.

Images of 6×6, two filters of 3×3: 4×4×2 = 32 values, then relu, windows of 2×2: 8 values, then a dense layer to 3.
A value has 4 bytes, and relu's mask and the offsets of a maximum have one.
"""

import numpy as np
import pytest
from torch import nn

import anypool as ap
from anypool.cpu import kernels
from anypool.lab.measures.training import STEP, measure_training
from anypool.lab.networks.torch import TorchNetwork

COUNT = 16
CONVOLVED, POOLED, OUT = 32, 8, 3


@pytest.fixture
def images(rng):
    return rng.random((COUNT, 6, 6, 1), dtype=np.float32)


def torch_network(pooling):
    return TorchNetwork(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), pooling, nn.Flatten(), nn.Linear(POOLED, OUT)))


@pytest.mark.parametrize(("pooling", "kept"), [
    (nn.AvgPool2d(2), 4 * CONVOLVED + 4 * POOLED),  # relu's values, which the average shares, and the dense layer's
    (nn.MaxPool2d(2), 4 * CONVOLVED + 4 * POOLED + 8 * POOLED),  # and torch's indices, of 8 bytes
])  # fmt: skip
def test_torch_by_hand(images, pooling, kept):
    measured = measure_training(torch_network(pooling), images)
    assert measured["saved_bytes"] == kept
    assert measured["ms_training_forward"] > 0
    assert measured["ms_training_backward"] >= 0


@pytest.mark.skipif(not kernels.available(), reason="there are no kernels")
def test_kernels_keep_a_byte_per_maximum():
    import anypool.torch as apt

    images = np.zeros((2, 64, 64, 8), np.float32)
    kept = {}
    for kind in (apt.MaxPool2d, apt.AvgPool2d):
        model = nn.Sequential(nn.Conv2d(8, 8, 1), kind(2), nn.Flatten(), nn.Linear(8 * 32 * 32, 1))
        kept[kind] = measure_training(TorchNetwork(model), images)["saved_bytes"]
    assert kept == {apt.AvgPool2d: 4 * 8 * 32 * 32, apt.MaxPool2d: 5 * 8 * 32 * 32}


def test_peak_memory_of_torch_by_hand(images):
    """A dense layer alone: its outputs, and the gradients of its weights and biases."""
    measured = measure_training(TorchNetwork(nn.Sequential(nn.Flatten(), nn.Linear(36, OUT))), images)
    assert measured["saved_bytes"] == 0
    assert measured["peak_bytes"] == 4 * (COUNT * OUT + 36 * OUT + OUT)


def test_what_is_freed_is_not_held(images):
    """Of ten dense layers without a gradient, two hold their outputs at once."""
    layers = [nn.Flatten(), *(nn.Linear(36, 36) for _ in range(10)), nn.Linear(36, OUT)]
    for layer in layers[1:-1]:
        layer.requires_grad_(False)
    measured = measure_training(TorchNetwork(nn.Sequential(*layers)), images)
    assert measured["saved_bytes"] == 4 * 36
    assert measured["peak_bytes"] <= 4 * (3 * COUNT * 36 + OUT * (COUNT + 37))


def test_a_network_stays_as_it_is(images):
    network = TorchNetwork(nn.Sequential(nn.BatchNorm2d(1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)))
    before = network.digest()
    measure_training(network, images)
    assert network.digest() == before
    assert all(parameter.grad is None for parameter in network.model.parameters())


def test_a_search_may_aim_at_them(images):
    from anypool.lab.data import from_arrays
    from anypool.lab.subjects import Plan
    from anypool.lab.tuning.aims import known_aims
    from anypool.lab.tuning.trials import Task

    labels = np.arange(COUNT) % OUT
    data = from_arrays({"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}, "noise", "by hand")
    task = Task(None, data, Plan(1, 1, 1), None, ("saved_bytes",), 0)
    network = torch_network(nn.AvgPool2d(2))
    assert set(STEP) < set(known_aims())
    assert task.measure(network, data, ["saved_bytes"], lambda: False) == {"saved_bytes": 4 * CONVOLVED + 4 * POOLED}
    assert set(task.measure(network, data, None, lambda: False)) > set(STEP)


def test_nothing_to_train_is_nothing_to_measure(images):
    network = torch_network(nn.MaxPool2d(2))
    network.model.requires_grad_(False)
    assert measure_training(network, images) == {}


@pytest.mark.parametrize(("operator", "kept"), [
    ("average", CONVOLVED + 4 * POOLED), ("max", CONVOLVED + 4 * POOLED + POOLED),
])  # fmt: skip
def test_jax_by_hand(images, rng, operator, kept):
    jax = pytest.importorskip("jax")
    from anypool.lab.networks.steps.jax import jax_step

    def apply(weights, x):
        kernel, dense = weights
        convolved = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        pooled = ap.pool(jax.nn.relu(convolved), operator, ap.Sliding(2), axes=(1, 2))
        return pooled.reshape(len(x), POOLED) @ dense

    weights = [rng.random((3, 3, 1, 2), np.float32), rng.random((POOLED, OUT), np.float32)]
    step = jax_step(apply, weights, images)
    assert step.saved_bytes == COUNT * kept
    outputs, gradients = step.both()
    np.testing.assert_allclose(outputs, step.forward(), rtol=1e-6)
    assert step.peak_bytes >= 4 * (outputs.size + sum(array.size for array in gradients[0]))


@pytest.mark.parametrize(("operator", "kept"), [
    ("average", 4 * CONVOLVED + 4 * POOLED), ("max", 4 * CONVOLVED + 4 * POOLED),  # whose gradient compares both again
])  # fmt: skip
def test_tensorflow_by_hand(images, rng, operator, kept):
    tf = pytest.importorskip("tensorflow")
    from anypool.lab.networks.steps.tensorflow import tensorflow_step

    kernel = tf.Variable(rng.random((3, 3, 1, 2), np.float32))
    dense = tf.Variable(rng.random((POOLED, OUT), np.float32))

    def apply(x):
        pooled = ap.pool(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "VALID")), operator, ap.Sliding(2), axes=(1, 2))
        return tf.reshape(pooled, (-1, POOLED)) @ dense

    step = tensorflow_step(apply, [kernel, dense], images)
    assert step.saved_bytes == COUNT * kept
    assert step.peak_bytes is None
    outputs, gradients = step.both()
    np.testing.assert_allclose(outputs, step.forward(), rtol=1e-6)
    assert [gradient.shape for gradient in gradients] == [kernel.shape, dense.shape]
