"""The course network and real training; test_lab_network.py runs this in a process with JAX as Keras's backend."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from processes import ROOT, changed_environment


def small_data(count=96):
    """Images of 8×8 that are bright above or below the middle."""
    from anypool.lab.data import from_arrays

    generator = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = generator.random((count, 8, 8))
    images[labels == 0, :4] += 0.3
    images[labels == 1, 4:] += 0.3
    arrays = {"x_train": images[:64], "y_train": labels[:64], "x_test": images[64:], "y_test": labels[64:]}
    return arrays, from_arrays(arrays, "halves", "by hand")


@pytest.mark.parametrize("pooling", ["max", "min", "average"])
def test_course_network_has_the_parameters_of_the_course(pooling, monkeypatch):
    import anypool.keras
    from anypool.lab.models import course_network

    monkeypatch.setenv("COLUMNS", "120")
    lines = []
    model = course_network(pooling)
    model.summary(print_fn=lambda text, **options: lines.append(text))
    summary = "\n".join(lines)
    kinds = [type(layer).__name__ for layer in model.layers]
    pool = {"max": "MaxPooling2D", "min": "MinPooling2D", "average": "AveragePooling2D"}[pooling]
    assert kinds == ["Conv2D", pool, "Conv2D", pool, "Flatten", "Dense", "Dense"]
    assert type(model.layers[1]) is type(model.layers[3]) is getattr(anypool.keras, pool)
    cells = [line.split("│")[3].strip() for line in summary.splitlines() if line.count("│") == 4]
    assert list(filter(None, cells)) == ["320", "0", "9,248", "0", "0", "102,528", "1,290"]
    assert "113,386" in summary


@pytest.mark.parametrize(("shape", "padding", "flat"), [
    ((8, 8, 1), "same", 2 * 2 * 32), ((27, 30, 3), "same", 6 * 7 * 32), ((28, 28, 1), "valid", 5 * 5 * 32),
    ((32, 32, 3), "valid", 6 * 6 * 32), ((4, 4, 1), "same", 32),
])  # fmt: skip
def test_small_images_are_padded(shape, padding, flat):
    from anypool.lab.models import course_network

    model = course_network("max", shape, 3)
    assert [layer.padding for layer in model.layers if hasattr(layer, "filters")] == [padding] * 2
    assert model.layers[4].output.shape == (None, flat)
    assert model.layers[-1].output.shape == (None, 3)


def test_any_layer_may_do_the_pooling():
    import keras

    from anypool.lab.models import course_network, parameters_without_pooling
    from anypool.lab.networks.keras import KerasNetwork

    model = course_network(lambda pool_size, strides: keras.layers.Identity(), (9, 8, 2), 3)
    assert model.count_params() == parameters_without_pooling((9, 8, 2), 3)
    assert KerasNetwork(model).layers() == []
    assert type(course_network(keras.layers.MaxPooling2D).layers[1]) is keras.layers.MaxPooling2D


@pytest.mark.parametrize(("arguments", "kind", "message"), [
    (("mean",), ValueError, "pool must name some of max, min, average, .*, got 'mean'"),
    ((None,), TypeError, "pooling must be a name or make a layer when called, got None"),
    (("max", (3, 28, 1)), ValueError, r"input_shape must be .* at least 4, got \(3, 28, 1\)"),
    (("max", (28, 28)), ValueError, "input_shape must be"),
    (("max", (28, 28, 0)), ValueError, "input_shape must be"),
    (("max", (28, 28, 1), 1), ValueError, "classes must be at least 2, got 1"),
])  # fmt: skip
def test_networks_that_cannot_be(arguments, kind, message):
    from anypool.lab.models import course_network

    with pytest.raises(kind, match=message):
        course_network(*arguments)


def test_values_kept():
    from anypool.lab.models import course_network
    from anypool.lab.networks.keras import KerasNetwork
    from anypool.lab.runs import PoolingLayer

    assert KerasNetwork(course_network("average")).layers() == [
        PoolingLayer("AveragePooling2D", 26 * 26 * 32, 13 * 13 * 32, 113_386 - 320),
        PoolingLayer("AveragePooling2D", 11 * 11 * 32, 5 * 5 * 32, 102_528 + 1_290),
    ]


def without_times(runs):
    return [replace(run, epoch_seconds=[], seconds={}, measures=timeless(run.measures)) for run in runs]


def timeless(measures):
    return {name: value for name, value in measures.items() if not name.startswith("ms_")}


def test_training_learns_and_repeats_itself():
    from anypool.lab import Callback, compare

    _, data = small_data()
    epochs = []

    class Noting(Callback):
        def on_epoch_end(self, key, epoch, accuracy):
            epochs.append((key.seed, epoch, accuracy))

    first = compare(data=data, poolings=["max"], epochs=4, seeds=2, callback=Noting())
    run, other = first.runs
    assert first.failures == []
    assert run.measures["accuracy"] > 0.9
    assert epochs == [(seed, e, value) for seed in (0, 1) for e, value in enumerate(first.runs[seed].curve, 1)]
    assert len(run.epoch_seconds) == 4
    # per image: masks of relu; offsets of each pooling; inputs of the second convolution and the dense layers; softmax
    masks, offsets, taken = 2048 + 512 + 128, 512 + 128, 4 * (512 + 128 + 128)
    assert 0 <= run.measures["saved_bytes"] - (masks + offsets + taken) <= 4 * 3 * 2
    assert run.measures["peak_bytes"] > 4 * run.parameters  # the gradients of all
    assert min(run.measures[name] for name in ("ms_forward", "ms_training_forward")) > 0
    assert run.measures["accuracy"] == run.curve[-1]
    assert 0 <= run.measures["fidelity"] <= min(run.measures["consistency"], run.measures["accuracy"])
    assert without_times(compare(data=data, poolings=["max"], epochs=4, seeds=2).runs) == without_times(first.runs)
    assert run.curve != other.curve


def test_a_loss_that_is_no_number_is_a_failure_of_its_run_alone(monkeypatch):
    import keras

    from anypool.lab import compare

    _, data = small_data()
    adam, rates = keras.optimizers.Adam, iter([1e30, 1e-3])
    monkeypatch.setattr(keras.optimizers, "Adam", lambda rate: adam(next(rates)))
    result = compare(data=data, poolings=["max", "min"], epochs=3, seeds=1)
    assert [run.pool for run in result.runs] == ["min"]
    (failure,) = result.failures
    assert failure.key.pool == "max"
    assert failure.reason.startswith("the loss was ")


@pytest.mark.parametrize("asked", [1, 3, 7])
def test_stopping_is_heard_between_batches(asked):
    from anypool.lab import Callback, compare

    _, data = small_data()

    class Stopping(Callback):
        times = 0

        def should_stop(self):
            self.times += 1
            return self.times >= asked

    stopping = Stopping()
    result = compare(data=data, poolings=["max"], epochs=50, seeds=1, callback=stopping)
    assert (result.stopped, result.runs, result.failures) == (True, [], [])
    assert stopping.times == asked


def test_a_command_that_is_interrupted_continues(tmp_path):
    """The real thing: no backend configured, Ctrl-C in the middle, the same command again."""
    arrays, _ = small_data()
    np.savez(tmp_path / "halves.npz", **arrays)
    command = [sys.executable, "-m", "anypool", "compare", "--data", tmp_path / "halves.npz", "--out", tmp_path / "out"]
    command += ["--pool", "max,min", "--seeds", "1", "--epochs", "3"]
    environment = changed_environment({"KERAS_BACKEND": None, "HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"})
    first = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    for line in first.stdout:
        if line.startswith("max"):
            first.send_signal(signal.SIGINT)
            break
    rest, _ = first.communicate(timeout=300)
    assert first.returncode == 130
    assert "1 of 2 runs are kept" in " ".join(rest.split())
    kept = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [run["pool"] for run in kept["runs"]] == ["max"]
    assert kept["settings"]["backend"] == "jax"

    # By now Keras has written its own keras.json, which names TensorFlow.
    second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert "1 of 2 runs are there already" in second.stdout
    done = json.loads((tmp_path / "out" / "results.json").read_text())
    assert done["runs"][0] == kept["runs"][0]
    assert [run["pool"] for run in done["runs"]] == ["max", "min"]
    assert "<svg" in (tmp_path / "out" / "report.html").read_text()


def test_data_that_cannot_be_downloaded(tmp_path):
    environment = changed_environment({"KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"})
    command = [sys.executable, "-m", "anypool", "compare", "--data", "fashion_mnist", "--out", tmp_path / "out"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    complaint = done.stderr.splitlines()[-1]
    assert complaint.startswith("anypool: data 'fashion_mnist' is downloaded by keras.datasets on first use")
    assert complaint.endswith("connect to the network, or give 'digits' or an .npz file")
    assert not (tmp_path / "out").exists()


def test_maps_around_the_first_pooling_of_keras():
    import keras

    from anypool.lab.models import course_network, resnet_small
    from anypool.lab.networks.keras import KerasNetwork

    image = np.random.default_rng(0).random((1, 8, 8, 1), dtype=np.float32)
    for model in (course_network("max", (8, 8, 1), 3), resnet_small("max", (8, 8, 1), 3)):
        before, after = KerasNetwork(model).pooled_maps(image)
        assert before.shape[:2] == (8, 8)
        blocks = before.reshape(4, 2, 4, 2, -1)
        np.testing.assert_array_equal(after, blocks.max(axis=(1, 3)))
    flat = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(2)])
    assert KerasNetwork(flat).pooled_maps(image) is None
