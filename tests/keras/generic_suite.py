"""Layers for any operator, on the backend of this process: values, learning, saving; and unpooling."""

import keras
import numpy as np
import pytest
from own_operator import Contrast

import anypool as ap
import anypool.keras as layers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

X = np.random.default_rng(0).permutation(2 * 9 * 8 * 3).reshape(2, 9, 8, 3).astype(np.float32) / 50 + 0.1
FIRST = "channels_first"


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def model_of(*make, shape=(9, 8, 3)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, [each(inputs) for each in make])


@pytest.mark.parametrize(
    "operator", ["max", "average", "lp:p=3", "gem:p=2.5", "median", "variance", Contrast(2.0)], ids=str
)
def test_values_are_those_of_the_functions(operator):
    model = model_of(
        layers.Pooling2D(operator, 3, 2, "same"),
        layers.AdaptivePooling2D(operator, (4, 3)),
        layers.GlobalPooling2D(operator, keepdims=True),
        layers.Pooling1D(operator, 3, axis=-1),
    )
    windows = [
        (ap.Sliding(3, 2, "same"), (1, 2)),
        (ap.Adaptive((4, 3)), (1, 2)),
        (ap.Global(), (1, 2)),
        (ap.Sliding(3), -1),
    ]
    for got, (window, axes) in zip(model(X), windows, strict=True):
        np.testing.assert_allclose(numpy(got), ap.pool(X, operator, window, axes), rtol=1e-5)
    assert [tuple(y.shape[1:]) for y in model.outputs] == [tuple(y.shape[1:]) for y in model(X)]


@pytest.mark.parametrize("data_format", ["channels_last", FIRST])
def test_a_learned_parameter_per_channel(data_format, tmp_path):
    """It trains, stays within its bounds, and comes back from a file."""
    x = X if data_format != FIRST else np.ascontiguousarray(np.moveaxis(X, -1, 1))
    inputs = keras.Input(x.shape[1:])
    pool = layers.Pooling2D(Contrast(1.0), 2, data_format=data_format, per_channel=True)
    model = keras.Model(inputs, pool(inputs))
    assert [tuple(weight.shape) for weight in model.weights] == [(3,)]
    model.compile(keras.optimizers.SGD(100.0), "mse", jit_compile=False)
    model.fit(x, np.zeros(model(x).shape, np.float32), epochs=1, verbose=0)
    assert (numpy(model.weights[0]) == 0).all()  # the least there is
    pool.set_weights([np.array([0.5, 1.0, 2.0], np.float32)])
    axis = 1 if data_format == FIRST else -1
    gain = np.array([0.5, 1.0, 2.0], np.float32).reshape([3 if a == axis % 4 else 1 for a in range(4)])
    axes = (2, 3) if data_format == FIRST else (1, 2)
    wanted = gain * ap.pool(x, Contrast(1.0), ap.Sliding(2), axes)
    np.testing.assert_allclose(numpy(model(x)), wanted, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(again(x)), wanted, rtol=1e-5)
    assert again.layers[-1].get_config() == pool.get_config()


def test_gem_learns_towards_the_maximum(tmp_path):
    x = np.random.default_rng(1).uniform(0.1, 1, (64, 6, 6, 2)).astype(np.float32)
    model = keras.Sequential([keras.Input((6, 6, 2)), layers.GlobalPooling2D("gem:p=1")])
    model.compile(keras.optimizers.Adam(0.2), "mse", jit_compile=False)
    model.fit(x, x.max((1, 2)), epochs=15, verbose=0)
    assert numpy(model.weights[0]) > 2.5
    model.save(tmp_path / "gem.keras")
    again = keras.models.load_model(tmp_path / "gem.keras")
    np.testing.assert_allclose(numpy(again(x)), numpy(model(x)), rtol=1e-6)


def test_parameters_that_are_not_learned():
    fixed = keras.Sequential([keras.Input((9, 8, 3)), layers.Pooling2D("gem:p=2", learnable=False)])
    assert fixed.weights == []
    np.testing.assert_allclose(numpy(fixed(X)), ap.pool(X, ap.GeM(2), ap.Sliding(2), (1, 2)), rtol=1e-5)


def test_mixed_precision_keeps_parameters_in_float32():
    layer = layers.GlobalPooling2D("gem", dtype="mixed_float16")
    y = layer(X)
    assert keras.backend.standardize_dtype(layer.weights[0].dtype) == "float32"
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    assert np.isfinite(numpy(y)).all()


def test_frames_are_one_more_leading_axis():
    frames = np.stack([X, X[::-1]], 1)
    for layer in (layers.MaxPooling2D(2), layers.Pooling2D("median", 2), layers.AveragePooling2D(3, 2, "same")):
        got = numpy(layer(frames))
        np.testing.assert_allclose(got[:, 1], numpy(layer(frames[:, 1])), rtol=1e-6)
        assert tuple(layer.compute_output_shape(frames.shape)) == got.shape


@pytest.mark.parametrize("kind", ["MaxPooling", "MinPooling"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling_puts_values_back(kind, rank, tmp_path):
    shape = (6, 8, 4)[:rank]
    x = np.random.default_rng(rank).permutation(2 * np.prod(shape) * 3).reshape(2, *shape, 3).astype(np.float32) + 1
    inputs = keras.Input((*shape, 3))
    values, indices = getattr(layers, f"{kind}{rank}D")(2, return_indices=True)(inputs)
    restored = getattr(layers, f"MaxUnpooling{rank}D")(2)([values, indices])
    model = keras.Model(inputs, [values, indices, restored])
    model.save(tmp_path / "unpool.keras")
    for each in (model, keras.models.load_model(tmp_path / "unpool.keras")):
        pooled, _, back = map(numpy, each(x))
        assert back.shape == x.shape
        assert ((back == 0) | (back == x)).all()
        assert sorted(back[back != 0]) == sorted(pooled.ravel())


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("operator must be one of", lambda: layers.Pooling2D("maximum")),
        ("learnable must name parameters of gem", lambda: layers.Pooling2D("gem", learnable=["q"])),
        ("must start from numbers", lambda: layers.Pooling2D(ap.GeM(np.ones(3)))),
        ("axis must name 2 axes", lambda: layers.Pooling2D("max", axis=1)),
        ("known number of channels", lambda: layers.Pooling1D("gem", per_channel=True)(keras.Input((4, None)))),
        ("p must be between", lambda: layers.GlobalPooling2D("gem:p=0")),
        ("pair of values and indices", lambda: layers.MaxUnpooling2D(2)(X)),
    ],
)
def test_bad_arguments_are_refused_in_words(words, make):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_what_lies_beyond_the_edge(mode, tmp_path):
    """In layers, in functional models of functions, and from a file."""
    inputs = keras.Input((None, None, 3))
    pooled = layers.Pooling2D("gem:p=2.5", 3, 2, 2, padding_mode=mode, learnable=False)(inputs)
    same = ap.pool(inputs, "median", ap.Sliding(3, 2, "same", padding_mode=mode), (1, 2))
    model = keras.Model(inputs, [pooled, same])
    assert pooled.shape == same.shape == (None, None, None, 3)
    model.save(tmp_path / "model.keras")
    for network in (model, keras.saving.load_model(tmp_path / "model.keras")):
        values = network(X)
        for got, operator, padding in zip(values, ("gem:p=2.5", "median"), (2, "same"), strict=True):
            expected = ap.pool(X, operator, ap.Sliding(3, 2, padding, padding_mode=mode), (1, 2))
            np.testing.assert_allclose(numpy(got), expected, rtol=1e-5)
    config = model.layers[1].get_config()
    assert config["padding_mode"] == mode
    assert layers.Pooling2D.from_config(config).window == model.layers[1].window


def test_blurs(tmp_path):
    inputs = keras.Input((None, None, 3))
    blurred, maxima = layers.BlurPooling2D()(inputs), layers.MaxBlurPooling2D(3, 2, "same", filter_size=4)(inputs)
    model = keras.Model(inputs, [blurred, maxima])
    model.save(tmp_path / "model.keras")
    for network in (model, keras.saving.load_model(tmp_path / "model.keras")):
        got = network(X)
        around = ap.Sliding(3, 2, 1, padding_mode="reflect")
        np.testing.assert_allclose(numpy(got[0]), ap.pool(X, "blur", around, (1, 2)), rtol=1e-5)
        expected = ap.pool(X, ap.MaxBlur(4), ap.Sliding(3, 2, "same"), (1, 2))
        np.testing.assert_allclose(numpy(got[1]), expected, rtol=1e-5)


def test_random_operators_draw_while_they_train(tmp_path):
    x = keras.ops.convert_to_tensor(X)
    layer, again = (layers.Pooling2D("stochastic", 2, seed=7) for _ in range(2))
    first = numpy(layer(x, training=True))
    np.testing.assert_array_equal(first, numpy(again(x, training=True)))
    assert (first != numpy(layer(x, training=True))).any()
    np.testing.assert_allclose(numpy(layer(x)), ap.pool(X, "stochastic", ap.Sliding(2), (1, 2)), rtol=1e-5)
    inputs = keras.Input((None, None, 3))
    pooled = layers.GlobalPooling2D("stochastic", seed=7)(layers.Pooling2D("random_mixed", 2)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(pooled))
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.fit(X, np.zeros((2, 1), np.float32), epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(loaded(X)), numpy(model(X)), rtol=1e-5)
    assert loaded.layers[-2].get_config()["seed"] == 7


LEARNED = [name for name, kind in ap.OPERATORS.items() if kind.learnable()]


@pytest.mark.parametrize(
    ("rank", "names"),
    [(2, LEARNED), *(pytest.param(rank, list(ap.OPERATORS), marks=pytest.mark.slow) for rank in (1, 2, 3))],
)
def test_operators_learn_and_come_back_from_a_file_by_default(rank, names, tmp_path):
    """With one number or one per element of the window, and with such for every channel."""
    make = getattr(layers, f"Pooling{rank}D")
    inputs = keras.Input((*(6, 4, 4)[:rank], 3))
    x = np.random.default_rng(rank).uniform(0, 1, (2, *inputs.shape[1:])).astype(np.float32)
    per_channel = (False,) if names is LEARNED else (False, True)
    pools = [
        make(name, 2 if name == "wavelet" else 4, 2, per_channel=each)
        for name in names
        if name != "mode"  # of labels
        for each in per_channel
    ]
    outputs = [pool(inputs) for pool in pools]
    flat = [keras.ops.reshape(keras.ops.cast(y, "float32"), (-1, int(np.prod(y.shape[1:])))) for y in outputs]
    model = keras.Model(inputs, keras.ops.concatenate(flat, -1))
    before = {pool: [numpy(weight) for weight in pool.trainable_weights] for pool in pools}
    assert all(len(weights) == len(pool.operator.learnable()) for pool, weights in before.items())
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    wanted = np.random.default_rng(rank).uniform(-9, 9, model(x).shape).astype(np.float32)
    model.fit(x, wanted * len(flat), epochs=1, verbose=0)
    for pool, weights in before.items():
        for old, weight in zip(weights, pool.trainable_weights, strict=True):
            assert np.isfinite(numpy(weight)).all(), f"{pool.operator}: {weight.path}"
            assert (numpy(weight) != old).any(), f"{pool.operator}: {weight.path}"
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(again(x)), numpy(model(x)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_labels_come_back_from_a_file(rank, tmp_path):
    labels = np.arange(2 * 4**rank * 3).reshape(2, *(4,) * rank, 3) // 5 % 3
    pool = getattr(layers, f"Pooling{rank}D")("mode", 2)
    model = keras.Sequential([keras.Input(labels.shape[1:], dtype="int32"), pool])
    model.save(tmp_path / "model.keras")
    got = keras.models.load_model(tmp_path / "model.keras")(labels.astype(np.int32))
    np.testing.assert_array_equal(numpy(got), ap.pool(labels, "mode", ap.Sliding(2), tuple(range(1, rank + 1))))


@pytest.mark.parametrize("data_format", ["channels_last", FIRST])
def test_a_weight_for_every_element_of_the_window(data_format):
    x = X if data_format != FIRST else np.ascontiguousarray(np.moveaxis(X, -1, 1))
    pool = layers.Pooling2D(ap.OrderedWeighted((1, 0, 0, -1)), 2, data_format=data_format, per_channel=True)
    pool.build(x.shape)
    logits = np.arange(12, dtype=np.float32).reshape(3, 4) / 3
    np.testing.assert_array_equal(numpy(pool.weights[0]), [[1, 0, 0, -1]] * 3)
    pool.set_weights([logits])
    got = numpy(pool(keras.ops.convert_to_tensor(x)))
    for channel in range(3):
        operator = ap.OrderedWeighted(tuple(logits[channel].tolist()))
        own = got[..., channel] if data_format != FIRST else got[:, channel]
        np.testing.assert_allclose(own, ap.pool(X[..., channel], operator, ap.Sliding(2), (1, 2)), rtol=1e-5)
    for make in (layers.GlobalPooling2D, lambda operator: layers.AdaptivePooling2D(operator, 2)):
        with pytest.raises(ValueError, match="of gated cannot be learned for windows whose number of elements depends"):
            make("gated")
