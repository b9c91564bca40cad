"""`anypool.keras.accelerate` on one backend; tests/test_keras.py runs this file in a process for each."""

import keras
import numpy as np
import pytest
from keras import layers

import anypool.keras
from anypool.keras import accelerate

BACKEND = keras.backend.backend()

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@keras.saving.register_keras_serializable(package="tests")
class Block(layers.Layer):
    """Pools with layers that are attributes, in a list, a tuple, a dict, and in a model."""

    def __init__(self, filters, **options):
        super().__init__(**options)
        self.filters = filters
        self.convolution = layers.Conv2D(filters, 3, padding="same")
        self.listed = [layers.MaxPooling2D(2), layers.AveragePooling2D(2)]
        self.named = {"top": layers.GlobalMaxPooling2D()}
        self.fixed = (layers.MaxPooling2D(2, 1, "same"),)
        self._hidden = layers.AdaptiveMaxPooling2D(2)
        self.model = keras.Sequential(
            [keras.Input((6, 6, filters)), layers.Dense(5), layers.MaxPooling2D(2, name="inner")]
        )
        self.last = layers.Dense(2)

    def build(self, input_shape):
        self.convolution.build(input_shape)
        self.last.build((None, 4 * self.filters + 5))
        self.built = True

    def call(self, x):
        # No pooling of overlapping windows comes before another: among its ties Keras's gradients differ from ours.
        x = self.convolution(x)
        first, second = (pool(x) for pool in self.listed)
        maps = [self.model(first), second, self._hidden(x), self.fixed[0](x)]
        averages = [keras.ops.mean(each, axis=(1, 2)) for each in maps]
        return self.last(keras.ops.concatenate([self.named["top"](x), *averages], axis=-1))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


BLOCK = ("listed/0", "listed/1", "named/top", "fixed/0", "_hidden", "model/inner")


class Network(keras.Model):
    """A model as people write them: no arguments, no configuration, and a layer under two names."""

    def __init__(self):
        super().__init__()
        self.block = Block(2)
        self.pool = layers.MaxPooling2D(2)
        self.again = self.pool
        self.last = layers.Dense(3, activation="softmax")

    def call(self, x):
        pooled = keras.ops.mean(self.again(self.pool(x)), axis=(1, 2))
        return self.last(keras.ops.concatenate([self.block(x), pooled], axis=-1))


class OddPooling(layers.MaxPooling2D):
    pass


@pytest.fixture
def x(rng):
    return rng.normal(size=(16, 12, 12, 1)).astype("float32")


@pytest.fixture
def y(rng):
    return rng.integers(0, 3, 16)


def compiled(model, x, y):
    """The model, trained a little."""
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    return model


def sequential():
    return keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(name="first"),
            layers.BatchNormalization(),
            layers.AveragePooling2D(2, name="second"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def assert_same_outputs(model, copy, x):
    for one, other in zip(*(keras.tree.flatten(each.predict(x, verbose=0)) for each in (model, copy)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [sequential, Network])
def test_a_trained_model_is_copied_with_its_state_and_trains_on(make, x, y):
    model = compiled(make(), x, y)
    copy, _ = accelerate(model)
    assert type(copy) is type(model)
    assert_same_outputs(model, copy, x)
    assert int(copy.optimizer.iterations) == int(model.optimizer.iterations) == 2
    losses = [
        each.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"] for each in (model, copy)
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_the_original_is_left_alone(x, y):
    model = compiled(sequential(), x, y)
    before = model.get_weights()
    copy, _ = accelerate(model)
    copy.fit(x, y, verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert type(model.get_layer("first")) is layers.MaxPooling2D


def test_the_report_says_what_was_replaced():
    model = sequential()
    copy, report = accelerate(model)
    assert report.replaced == ("first", "second")
    assert report.kept == ()
    assert str(report) == "replaced 2 pooling layers: first, second"
    assert type(copy.get_layer("second")) is anypool.keras.AveragePooling2D
    assert copy.get_layer("first").get_config() == {**model.get_layer("first").get_config(), "use_mask": False}


def test_layers_inside_subclassed_models_and_layers(x, y):
    copy, report = accelerate(compiled(Network(), x, y))
    assert set(report.replaced) == {*(f"block/{name}" for name in BLOCK), "pool"}
    assert report.kept == ()
    assert copy.again is copy.pool
    assert type(copy.pool) is anypool.keras.MaxPooling2D
    assert type(copy.block.named["top"]) is anypool.keras.GlobalMaxPooling2D
    assert not any(type(layer) in (layers.MaxPooling2D, layers.AveragePooling2D) for layer in copy._flatten_layers())


def test_functional_models_nested_and_shared(x):
    pixels = keras.Input((12, 12, 1))
    shared = layers.MaxPooling2D(name="shared")
    nested = keras.Sequential(
        [keras.Input((12, 12, 1)), layers.Conv2D(2, 3), layers.MaxPooling2D(name="pool")], name="nested"
    )
    outputs = [
        layers.GlobalAveragePooling2D(name="top")(shared(pixels)),
        shared(layers.Conv2D(2, 3)(pixels)),
        nested(pixels),
        nested(layers.ReLU()(pixels)),
        Block(2, name="block")(pixels),
        layers.TimeDistributed(layers.MaxPooling1D(2), name="each")(pixels),
        OddPooling(name="odd")(pixels),
        keras.ops.max_pool(pixels, 2, 2),
    ]
    model = keras.Model(pixels, outputs)
    copy, report = accelerate(model)
    assert set(report.replaced) == {"top", "shared", "nested/pool", "each/layer", *(f"block/{name}" for name in BLOCK)}
    assert {name: reason.partition(",")[0] for name, reason in report.kept} == {
        "odd": "OddPooling is a class of its own",
        "max_pool": "a function of keras.ops and no layer",
    }
    assert_same_outputs(model, copy, x)
    assert len(copy.get_layer("shared")._inbound_nodes) == 2


@pytest.mark.filterwarnings("ignore:Layer .* does not support masking:UserWarning")
def test_masks_that_keras_s_layers_ignore_are_ignored():
    steps = keras.Input((6,))
    embedded = layers.Embedding(5, 3, mask_zero=True)(steps)
    pooled = [layers.GlobalMaxPooling1D()(embedded), layers.MaxPooling1D(2)(embedded)]
    model = keras.Model(steps, [*pooled, layers.GlobalAveragePooling1D()(embedded)])
    copy, report = accelerate(model)
    assert len(report.replaced) == 3
    assert report.kept == ()
    assert_same_outputs(model, copy, np.array([[1, 2, 3, 0, 0, 0], [4, 0, 0, 0, 0, 0]]))


def test_what_is_kept_and_why():
    model = keras.Sequential([keras.Input((7, 7, 1)), layers.AveragePooling2D(2, 1, "same", name="same")])
    copy, report = accelerate(model)
    assert len(report.kept) == (BACKEND == "torch")
    image = np.arange(49, dtype="float32").reshape(1, 7, 7, 1)
    assert_same_outputs(model, copy, image)


def test_frozen_layers_stay_frozen(x):
    model = Network()
    model(x)
    model.block.convolution.trainable = False
    copy, _ = accelerate(model)
    assert len(copy.trainable_variables) == len(model.trainable_variables)
    assert not copy.block.convolution.trainable


def test_models_not_built_have_nothing_to_copy():
    copy, report = accelerate(keras.Sequential([layers.MaxPooling2D(name="pool"), layers.Dense(1)]))
    assert report.replaced == ("pool",)
    assert not copy.built


def test_bad_models():
    with pytest.raises(TypeError, match="model must be a Keras model, got MaxPooling2D"):
        accelerate(layers.MaxPooling2D())

    class Unknowable(layers.Layer):
        def __init__(self, function):
            super().__init__()

    with pytest.raises(ValueError, match=r"\(Unknowable\) must have a get_config"):
        accelerate(keras.Sequential([Unknowable(lambda x: x)]))
