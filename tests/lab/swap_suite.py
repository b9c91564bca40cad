"""Networks of the user's, of Keras and of torch: found, copied, swapped, recalibrated, trained.

test_swap.py runs this in a process with JAX as Keras's backend, and with torch.
"""

import pickle
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn

import anypool as ap
import anypool.torch
from anypool.lab import TuneCallback, compare, from_arrays, tune
from anypool.lab.networks.base import probabilities
from anypool.lab.networks.find import find_network
from anypool.lab.networks.keras import KerasNetwork, StridedConvolution
from anypool.lab.networks.torch import TorchNetwork
from anypool.lab.poolings import candidate
from anypool.lab.subjects import find_subject
from anypool.lab.tuning.space import Choice


def never():
    return False


def data(classes=3, side=8):
    """Images of which a band of rows is bright, as many bands as classes."""
    generator = np.random.default_rng(0)
    labels = np.arange(30 * classes) % classes
    images = generator.random((len(labels), side, side))
    for label in range(classes):
        images[labels == label, label * side // classes : (label + 1) * side // classes] += 0.5
    cut = 20 * classes
    arrays = {"x_train": images[:cut], "y_train": labels[:cut], "x_test": images[cut:], "y_test": labels[cut:]}
    return from_arrays(arrays, "bands", "by hand", scale=False)


@keras.saving.register_keras_serializable("swap_suite")
class Block(keras.layers.Layer):
    """A layer of a user's own that pools in an attribute and in a list."""

    def __init__(self, filters=4, **options):
        super().__init__(**options)
        self.filters = filters
        self.first = keras.layers.MaxPooling2D(2, name="first")
        self.convolution = keras.layers.Conv2D(filters, 3, padding="same", name="convolution")
        self.others = [keras.layers.AveragePooling2D(2, name="second"), keras.layers.ReLU()]

    def build(self, shape):
        self.convolution.build((shape[0], shape[1] // 2, shape[2] // 2, shape[3]))
        self.built = True

    def call(self, x):
        x = self.convolution(self.first(x))
        for layer in self.others:
            x = layer(x)
        return x

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def keras_model(classes=3):
    """Nested, with a layer of its own, batch normalisation, dropout and every kind of pooling."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(), layers.MaxPooling2D(1, name="deep")],
        name="inner",
    )
    inputs = keras.Input((8, 8, 1))
    x = Block(4, name="block")(inner(inputs))
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D(name="whole")(x))
    return keras.Model(inputs, layers.Dense(classes)(x))


class TorchModel(nn.Module):
    """A torch model with pooling modules in attributes and in a list, and one that cannot be swapped."""

    def __init__(self, classes=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
        self.pools = nn.ModuleList([nn.AvgPool2d(2), anypool.torch.MinPool2d(1)])
        self.indexed = nn.MaxPool2d(1, return_indices=True)
        self.whole = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, classes))

    def forward(self, x):
        x = self.stem(x)
        for pool in self.pools:
            x = pool(x)
        return self.head(self.whole(self.indexed(x)[0]))


def torch_model(classes=3):
    torch.manual_seed(0)
    return TorchModel(classes)


NETWORKS: dict[str, Any] = {"keras": lambda: KerasNetwork(keras_model()), "torch": lambda: TorchNetwork(torch_model())}
both = pytest.mark.parametrize("kind", NETWORKS)


@both
def test_pooling_layers_are_found_by_what_they_are(kind):
    sites = NETWORKS[kind]().sites()
    names = [(site.name.split("/")[-1], site.kind) for site in sites]
    expected = {
        "keras": {("deep", "sliding"), ("first", "sliding"), ("second", "sliding"), ("whole", "global")},
        "torch": {("stem.3", "sliding"), ("pools.0", "sliding"), ("pools.1", "sliding"), ("whole", "adaptive")},
    }
    assert set(names) == expected[kind]
    assert len(names) == 4


@both
def test_a_name_with_pool_in_it_is_no_pooling(kind):
    if kind == "keras":

        class Carpool(keras.layers.Layer):
            def call(self, x):
                return x

        network = KerasNetwork(keras.Sequential([keras.Input((4, 4, 1)), Carpool(), keras.layers.Flatten()]))
    else:

        class Carpool2d(nn.Module):
            def forward(self, x):
                return x

        network = TorchNetwork(nn.Sequential(Carpool2d(), nn.Flatten()))
    assert network.sites() == []


@both
def test_a_copy_shares_nothing_and_answers_alike(kind):
    network, images = NETWORKS[kind](), data().x_test
    before = network.predict(images, never)
    copy = network.copied()
    np.testing.assert_array_equal(copy.predict(images, never), before)
    copy.fit(data(), 1, 0.1, 0, lambda *_: None, never)
    assert np.abs(copy.predict(images, never) - before).max() > 1e-3
    np.testing.assert_array_equal(network.predict(images, never), before)
    assert network.digest() != copy.digest()


@both
def test_swapping_what_is_there_for_itself_changes_nothing(kind):
    """Each site in turn gets the operator it has."""
    network, images = NETWORKS[kind](), data().x_test
    own = {"deep": "max", "first": "max", "second": "average", "whole": "average"}
    own |= {"stem.3": "max", "pools.0": "average", "pools.1": "min"}
    for site in network.sites():
        swapped = network.swapped([(site, candidate(own[site.name.split("/")[-1]]))])
        np.testing.assert_allclose(swapped.predict(images, never), network.predict(images, never), rtol=1e-5, atol=1e-6)


@both
@pytest.mark.parametrize("name", ["min", "average", "strided"])
def test_swapped_poolings_are_those_of_the_candidate(kind, name):
    """A model that is a pooling and a mean, against NumPy."""
    images = data().x_test[:5]
    if kind == "keras":
        layers = [keras.Input((8, 8, 1)), keras.layers.MaxPooling2D((2, 4)), keras.layers.Flatten()]
        network = KerasNetwork(keras.Sequential(layers))
    else:
        network = TorchNetwork(nn.Sequential(nn.MaxPool2d((2, 4)), nn.Flatten()))
    blocks = images.reshape(5, 4, 2, 2, 4)
    expected = {"min": blocks.min((2, 4)), "average": blocks.mean((2, 4)), "strided": blocks.mean((2, 4))}[name]
    outputs = network.swapped([(site, candidate(name)) for site in network.sites()]).predict(images, never)
    np.testing.assert_allclose(outputs, expected.reshape(5, -1), rtol=1e-5)


@both
def test_recalibrated_statistics_are_those_of_the_images(kind):
    network, images = NETWORKS[kind](), data().x_train
    network.recalibrate(images, never)
    if kind == "keras":
        inner = network.model.get_layer("inner")
        before = np.asarray(inner.layers[0](images))
        norm = inner.layers[1]
        found = np.asarray(norm.moving_mean), np.asarray(norm.moving_variance)
        assert norm.momentum == 0.99
        correction = 1.0
    else:
        with torch.no_grad():
            before = network.model.stem[0](torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
        norm = network.model.stem[1]
        found = norm.running_mean.numpy(), norm.running_var.numpy()
        assert norm.momentum == 0.1
        count = before[..., 0].size
        correction = count / (count - 1)  # torch's is the unbiased variance
    np.testing.assert_allclose(found[0], before.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(found[1], before.var((0, 1, 2)) * correction, rtol=1e-3)


def small_network(kind, softmax=False):
    """A pooling and a dense layer, which tells bands apart."""
    if kind == "keras":
        keras.utils.set_random_seed(0)
        layers = [keras.Input((8, 8, 1)), keras.layers.MaxPooling2D(), keras.layers.Flatten()]
        dense = keras.layers.Dense(3, activation="softmax" if softmax else None)
        return KerasNetwork(keras.Sequential([*layers, dense]))
    torch.manual_seed(0)
    end = [nn.Softmax(-1)] if softmax else []
    return TorchNetwork(nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3), *end))


@both
@pytest.mark.parametrize("softmax", [False, True])
def test_training_learns_from_logits_and_from_probabilities(kind, softmax):
    network = small_network(kind, softmax)
    told = []
    history = network.fit(data(), 12, 5e-2, 0, lambda epoch, accuracy: told.append((epoch, accuracy)), never)
    assert told == list(enumerate(history.curve, 1))
    assert history.curve[-1] > 0.8
    assert len(history.epoch_seconds) == 12
    assert not probabilities(network.predict(data().x_test, never)).sum(1).max() > 1.001


@both
def test_training_with_the_same_seed_is_the_same(kind):
    digests = []
    for seed in (1, 1, 2):
        network = small_network(kind)
        network.fit(data(), 1, 1e-2, seed, lambda *_: None, never)
        digests.append(network.digest())
    assert digests[0] == digests[1] != digests[2]


@both
def test_counts_by_hand(kind):
    if kind == "keras":
        layers = [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
        ]
        network = KerasNetwork(keras.Sequential([*layers, keras.layers.Dense(5)]))
    else:
        network = TorchNetwork(nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)))
    cost = network.cost(data().x_test[:1])
    assert cost["multiply_adds"] == 6 * 6 * 4 * 9 + 36 * 5
    assert cost["activation_bytes"] == 4 * (6 * 6 * 4 + 36 + 36 + 5)
    assert network.parameters == 4 * 9 + 4 + 36 * 5 + 5


@both
def test_compare_measures_every_stage(kind):
    model = keras_model() if kind == "keras" else torch_model()
    result = compare(model, data(), ["max", "strided"], epochs=1, seeds=2)
    assert [failure.reason for failure in result.failures] == []
    found = [(run.pool, run.seed, run.stage) for run in result.runs]
    pools = ["original", "max", "strided"]
    stages = ("swapped", "recalibrated", "fine-tuned")
    assert found == [
        *((pool, 0, stage) for pool in pools for stage in stages),
        *((pool, 1, "fine-tuned") for pool in pools),
    ]
    assert {"accuracy", "fidelity", "circular_consistency", "wobble"} <= set(result.runs[0].measures)
    assert "aliasing" in result.runs[3].measures
    assert "aliasing" not in result.runs[0].measures  # the network's own poolings are no one operator


@both
def test_without_epochs_nothing_is_trained(kind):
    model = keras_model() if kind == "keras" else torch_model()
    result = compare(model, data(), ["max"], where="global", recalibrate=False)
    assert [(run.pool, run.stage) for run in result.runs] == [("original", "swapped"), ("max", "swapped")]
    assert result.settings["where"] == "global"


@both
def test_a_pooling_that_fits_nowhere_fails_alone(kind):
    model = keras_model() if kind == "keras" else torch_model()
    result = compare(model, data(), ["strided", "max"], where="global")
    assert {failure.reason for failure in result.failures} == {
        "strided takes the place of sliding or strided pooling, and there is "
        + ("global" if kind == "keras" else "adaptive")
        + " pooling alone"
    }
    assert {run.pool for run in result.runs} == {"original", "max"}


def refused_models():
    yield 3, TypeError, "model must be a .keras file, .* got int"
    yield "nowhere:make", ValueError, "got 'nowhere:make': No module named 'nowhere'"
    yield "os:nothing", ValueError, "module 'os' has no attribute 'nothing'"
    yield "os:sep", ValueError, "which is str and no function"
    yield "os:getpid", TypeError, "which gave int"
    yield "os.path:join", ValueError, "'os.path:join' raised TypeError"
    yield "not a name:x", ValueError, "got 'not a name:x'"
    yield "nothing.keras", ValueError, "which is not there"
    yield nn.Sequential(nn.Flatten()), ValueError, "pooling layers of the kind 'all', got 'a model', which has none"
    yield torch_model(2), ValueError, r"one output for each of 3 classes, got \(2, 2\)"
    yield (
        nn.Sequential(nn.MaxPool2d(9), nn.Flatten()),
        ValueError,
        r"model must take images of shape \(8, 8, 1\), .* raised",
    )


def test_models_that_cannot_be():
    for model, kind, message in refused_models():
        with pytest.raises(kind, match=message):
            compare(model, data(), ["max"])


saving = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, in JAX


@saving
def test_files(tmp_path):
    path = tmp_path / "net.keras"
    model = keras_model()
    model.save(path)
    network = find_network(str(path))
    np.testing.assert_array_equal(
        network.predict(data().x_test, never), KerasNetwork(model).predict(data().x_test, never)
    )
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"net\.keras' cannot be loaded"):
        find_network(str(path))


def test_loading_a_file_runs_no_code_of_it(tmp_path):
    marker = tmp_path / "ran"
    layer = keras.layers.Lambda(lambda x: x, output_shape=(4,))
    model = keras.Sequential([keras.Input((4,)), layer])
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(ValueError, match="cannot be loaded"):
        find_network(str(tmp_path / "lambda.keras"))

    class Trap:
        def __reduce__(self):
            return open, (str(marker), "w")

    torch.save({"stem.0.weight": Trap()}, tmp_path / "state.pt")
    with pytest.raises(ValueError, match="weights must be a file of the model's weights"):
        find_network(torch_model(), tmp_path / "state.pt")
    assert not marker.exists()


@saving
def test_weights_are_taken_from_a_file(tmp_path):
    trained = torch_model()
    with torch.no_grad():
        trained.head[2].bias += 1
    torch.save(trained.state_dict(), tmp_path / "state.pt")
    assert find_network(torch_model(), tmp_path / "state.pt").digest() == TorchNetwork(trained).digest()
    model = keras_model()
    model.save_weights(tmp_path / "net.weights.h5")
    other = keras_model()
    other.layers[-1].bias.assign([1.0, 2.0, 3.0])
    assert find_network(other, tmp_path / "net.weights.h5").digest() == KerasNetwork(model).digest()


def test_strided_convolutions_are_saved():
    layer = StridedConvolution((2, 3), strides=1, padding="same")
    assert StridedConvolution.from_config(layer.get_config()).get_config() == layer.get_config()


# ---------------------------------------------------------------------------------------------------------------------
# Strided convolutions


def strided_network(kind, padding="same", side=7):
    """A strided convolution with an activation, a depthwise one, one that cuts patches, and a dense layer."""
    if kind == "keras":
        keras.utils.set_random_seed(0)
        layers = keras.layers
        first = layers.Conv2D(4, 3, strides=2, padding=padding, activation="relu", name="first")
        patches = layers.Conv2D(2, 8, strides=8, padding="same", name="patches")
        rest = [layers.DepthwiseConv2D(1, strides=2, name="second"), patches, layers.Flatten(), layers.Dense(3)]
        return KerasNetwork(keras.Sequential([keras.Input((side, side, 1)), first, *rest]))
    torch.manual_seed(0)
    first = nn.Conv2d(1, 4, 3, stride=2, padding=1 if padding == "same" else 0)
    second, patches = nn.Conv2d(4, 4, 1, stride=2, groups=4), nn.Conv2d(4, 2, 8, stride=8, padding=4)
    return TorchNetwork(nn.Sequential(first, second, patches, nn.Flatten(), nn.Linear(2, 3)))


@both
def test_strided_convolutions_are_sites(kind):
    network = strided_network(kind)
    names = {"keras": ["first", "second"], "torch": ["0", "1"]}[kind]
    assert [(site.name.split("/")[-1], site.kind) for site in network.sites()] == [(name, "strided") for name in names]


@both
@pytest.mark.parametrize(("padding", "side"), [("same", 7), ("valid", 8), ("valid", 9)])
def test_a_swapped_strided_convolution_is_dense_and_pooled(kind, padding, side):
    """Shapes stay for every side; the values are those of the convolution at stride 1, pooled."""
    network = strided_network(kind, padding, side)
    images = np.random.default_rng(0).random((4, side, side, 1), dtype="float32")
    swapped = network.swapped([(site, candidate("max")) for site in network.sites()])
    assert swapped.predict(images, never).shape == (4, 3)
    assert swapped.parameters == network.parameters
    if kind == "keras":
        layer = network.model.get_layer("first")
        dense = keras.ops.relu(keras.ops.conv(images, layer.kernel, 1, padding) + layer.bias)
        found = swapped.model.get_layer("first")(images)
    else:
        layer, x = network.model[0], torch.from_numpy(images.transpose(0, 3, 1, 2))
        with torch.no_grad():
            dense = nn.functional.conv2d(x, layer.weight, layer.bias, 1, layer.padding).permute(0, 2, 3, 1)
            found = swapped.model[0](x).permute(0, 2, 3, 1)
    expected = ap.max_pool(np.asarray(dense), 2, padding="same", axes=(1, 2))
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-6)


@both
def test_a_strided_convolution_stays_where_strided_is_asked_for(kind):
    network, images = strided_network(kind), np.random.default_rng(0).random((4, 7, 7, 1), dtype="float32")
    same = network.swapped([(site, candidate("strided")) for site in network.sites()])
    np.testing.assert_array_equal(same.predict(images, never), network.predict(images, never))


@saving
def test_swapped_strided_convolutions_are_saved(tmp_path):
    network, images = strided_network("keras"), np.random.default_rng(0).random((4, 7, 7, 1), dtype="float32")
    swapped = network.swapped([(site, candidate("gem:p=2")) for site in network.sites()])
    swapped.model.save(tmp_path / "swapped.keras")
    loaded = find_network(str(tmp_path / "swapped.keras"))
    np.testing.assert_array_equal(loaded.predict(images, never), swapped.predict(images, never))


@both
def test_compare_swaps_strided_convolutions(kind):
    model = strided_network(kind, side=8).model
    result = compare(model, data(), ["max", "strided"], where="strided")
    assert [failure.reason for failure in result.failures] == []
    found = {run.pool: run.measures["accuracy"] for run in result.runs}
    assert found["strided"] == found["original"]
    assert result.settings["where"] == "strided"


@both
def test_named_layers_take_the_place_of_poolings(kind):
    network, images = NETWORKS[kind](), data().x_test
    layers = {}
    for site in network.sites():
        made = candidate("min")
        layers[site.name] = (made.keras_layer if kind == "keras" else made.torch_module)(site.kind, **site.settings)
    everywhere = network.swapped([(site, candidate("min")) for site in network.sites()])
    expected = everywhere.predict(images, never)
    np.testing.assert_array_equal(network.replaced(layers).predict(images, never), expected)


# ---------------------------------------------------------------------------------------------------------------------
# Tuned, and sent to other processes


@saving
@both
def test_tuning_ends_with_a_model_and_the_lines_that_build_it(kind, tmp_path, monkeypatch):
    """The lines, run where the files are, give the same outputs, for every kind of site."""
    monkeypatch.chdir(tmp_path)
    model = keras_model() if kind == "keras" else torch_model()
    found = tune(model, data(), ["gem", "strided", "min"], trials=1, out="out")
    assert {choice.pool for choice in found.best.choices} == {"original"}
    best = [Choice("strided", 2, 2), Choice("gem:p=2", 3, 1), Choice("min", 1, 1), Choice("gem:p=2")]
    by_kind = {"global": best[3], "adaptive": best[3]}
    sites = found.search.task.space.sites
    chosen = [by_kind.get(site.kind, choice) for site, choice in zip(sites, best, strict=True)]
    found.best = replace(found.best, choices=tuple(chosen))
    found.build_best(TuneCallback())
    found.write()
    scope = {"model": model}
    exec((tmp_path / "out" / "best.py").read_text(), scope)
    images = data().x_test
    wrapped = KerasNetwork(scope["model"]) if kind == "keras" else TorchNetwork(scope["model"])
    np.testing.assert_allclose(wrapped.predict(images, never), found.network.predict(images, never), rtol=1e-5)
    assert found.model_file.name == {"keras": "best.weights.h5", "torch": "best.pt"}[kind]  # a layer of its own pools
    assert found.model_file.exists()


@saving
def test_tuning_a_network_of_ours_ends_with_lines_that_build_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = tune("course", data(), ["max", "lp"], trials=1, epochs=1, out="out", strides=[2])
    assert [choice.pool for choice in found.best.choices] == ["max", "max"]
    scope = {}
    exec((tmp_path / "out" / "best.py").read_text(), scope)
    assert KerasNetwork(scope["model"]).digest() == found.network.digest()
    assert find_network("out/best.keras").digest() == found.network.digest()
    assert found.measures["accuracy"] <= 1


@saving
@both
def test_networks_are_sent_to_other_processes(kind):
    subject: Any = find_subject(keras_model() if kind == "keras" else torch_model())
    sent = pickle.loads(pickle.dumps(subject))
    images = data().x_test
    np.testing.assert_array_equal(sent.network.predict(images, never), subject.network.predict(images, never))
    assert [site.name for site in sent.sites] == [site.name for site in subject.sites]


@pytest.mark.parametrize("side", [7, 8])
def test_strided_convolutions_of_torch_pad_as_a_pooling_does(side):
    """Their first weights are those of an average, of which zeros beyond the edges are elements."""
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    layer = candidate("strided").torch_module("sliding", kernel_size=3, stride=2, padding="same")
    window = ap.Sliding(3, stride=2, padding="same")
    expected = ap.pool(x, ap.Sum(), window) / 9
    torch.testing.assert_close(layer(x).detach(), expected)
