"""Keras's masks on the backend of this process: which elements count, and which outputs do, in every kind of layer."""

import keras
import numpy as np
import pytest

import anypool as ap
import anypool.keras as layers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

SHAPES = {1: (2, 7, 3), 2: (2, 6, 5, 3), 3: (2, 4, 5, 4, 3)}
LAYERS = [
    (lambda rank, **o: getattr(layers, f"MaxPooling{rank}D")(2, **o), "max", ap.Sliding(2)),
    (
        lambda rank, **o: getattr(layers, f"AveragePooling{rank}D")(3, 2, "same", **o),
        "average",
        ap.Sliding(3, 2, "same"),
    ),
    (lambda rank, **o: getattr(layers, f"AdaptiveMinPooling{rank}D")(3, **o), "min", ap.Adaptive(3)),
    (lambda rank, **o: getattr(layers, f"Pooling{rank}D")("gem:p=2", 2, **o), "gem:p=2", ap.Sliding(2)),
    (lambda rank, **o: getattr(layers, f"AdaptivePooling{rank}D")("median", 3, **o), "median", ap.Adaptive(3)),
]


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def example(rng, rank, data_format="channels_last"):
    """An array with NaN where nothing counts, its mask in Keras's shape, and the mask that broadcasts."""
    shape = SHAPES[rank]
    mask = rng.random(shape[:-1]) < 0.5
    mask[0, :4] = False
    x = np.where(mask[..., None], rng.random(shape), np.nan).astype(np.float32)
    channel = 1 if data_format == "channels_first" else -1
    return np.moveaxis(x, -1, channel).copy(), mask, np.expand_dims(mask, channel)


@pytest.mark.parametrize(("rank", "data_format"), [(1, "channels_last"), (2, "channels_first"), (3, "channels_last")])
def test_what_a_mask_does_not_count_is_in_no_window(rank, data_format, rng):
    x, mask, where = example(rng, rank, data_format)
    channel = 1 if data_format == "channels_first" else rank + 1
    axes = tuple(axis for axis in range(1, rank + 2) if axis != channel)
    for make, operator, window in LAYERS:
        layer = make(rank, data_format=data_format)
        got = numpy(layer(x, mask=mask))
        expected = ap.pool(x, operator, window, axes, where=where, fill_value=0)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=layer.name)
        further = numpy(layer.compute_mask(keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(mask)))
        held = ap.pool(where.astype(np.int64), "sum", window, axes)
        np.testing.assert_array_equal(further, np.take(held, 0, axis=channel) > 0, err_msg=layer.name)


@pytest.mark.parametrize("rank", [2, 3])
def test_global_layers_end_a_mask(rank, rng):
    x, mask, where = example(rng, rank)
    mask[1], where[1] = False, False
    axes = tuple(range(1, rank + 1))
    for kind, operator, nothing in (("Max", "max", -np.inf), ("Min", "min", np.inf), ("Average", "average", np.nan)):
        layer = getattr(layers, f"Global{kind}Pooling{rank}D")()
        expected = ap.global_pool(x, operator, axes, where=where, fill_value=nothing)
        np.testing.assert_allclose(numpy(layer(x, mask=mask)), expected, rtol=1e-5)
        assert layer.compute_mask(x, mask) is None
    generic = getattr(layers, f"GlobalPooling{rank}D")("variance", fill_value=-1)
    expected = ap.global_pool(x, "variance", axes, where=where, fill_value=-1)
    np.testing.assert_allclose(numpy(generic(x, mask=mask)), expected, rtol=1e-4, atol=1e-6)


def test_masks_come_down_from_embeddings_through_sliding_layers(tmp_path):
    """Padding behind a sequence changes nothing, before and after saving, with lengths that are not known."""
    tokens = keras.Input((None,), dtype="int32")
    steps = keras.layers.Embedding(9, 4, mask_zero=True)(tokens)
    steps = layers.Pooling1D("gem:p=2", 2)(layers.MaxPooling1D(2, 1)(steps))
    model = keras.Model(tokens, layers.GlobalAveragePooling1D()(steps))
    short, long = np.array([[5, 7, 2, 3, 8]]), np.array([[5, 7, 2, 3, 8, 0, 0, 0, 0]])
    model.save(tmp_path / "model.keras")
    for each in (model, keras.models.load_model(tmp_path / "model.keras")):
        # The window that spans the end holds the last token too.
        np.testing.assert_allclose(numpy(each(np.pad(short, ((0, 0), (0, 2))))), numpy(each(long)), rtol=1e-5)
        assert np.isfinite(numpy(each(long))).all()


def test_training_through_masks_is_finite():
    inputs = keras.Input((6, 2))
    steps = layers.Pooling1D("gem:p=2", 2)(keras.layers.Masking(-1.0)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(steps))
    model.compile("sgd", "mse", jit_compile=False)
    x = np.full((4, 6, 2), -1.0, np.float32)
    x[:, :2] = 0.5
    model.fit(x, np.ones((4, 3, 1), np.float32), epochs=1, verbose=0)
    assert all(np.isfinite(numpy(weight)).all() for weight in model.weights)


def test_channels_and_frames(rng):
    x, mask, _ = example(rng, 1)
    layer = layers.Pooling1D("max", 3, axis=-1)
    got = numpy(layer(x, mask=mask))[..., 0]
    np.testing.assert_allclose(got, np.where(mask, x.max(-1), 0))
    np.testing.assert_array_equal(numpy(layer.compute_mask(*map(keras.ops.convert_to_tensor, (x, mask)))), mask)
    frames, counts = rng.random((2, 3, 4, 4, 1)).astype(np.float32), np.array([[True, True, False], [True] * 3])
    layer = layers.MaxPooling2D(2)
    assert (numpy(layer(frames, mask=counts))[0, 2] == 0).all()
    np.testing.assert_array_equal(numpy(layer.compute_mask(frames, keras.ops.convert_to_tensor(counts))), counts)


@pytest.mark.filterwarnings("ignore:Layer .* does not support masking:UserWarning")
def test_settings(rng):
    x = np.array([[[1.0], [np.nan], [np.nan], [4.0]]], np.float32)
    mask = np.array([[True, True, True, False]])
    layer = layers.Pooling1D("average", 2, nan_policy="omit", min_count=1, fill_value=-7)
    np.testing.assert_array_equal(numpy(layer(x)), [[[1], [4]]])
    np.testing.assert_array_equal(numpy(layer(x, mask=mask)), [[[1], [-7]]])
    again = type(layer).from_config(layer.get_config())
    assert (again.nan_policy, again.min_count, again.fill_value) == ("omit", 1, -7)
    ignoring = layers.MaxPooling1D(2, use_mask=False)
    assert not ignoring.supports_masking
    assert type(ignoring).from_config(ignoring.get_config()).use_mask is False
    np.testing.assert_array_equal(numpy(ignoring(np.nan_to_num(x), mask=mask)), [[[1], [4]]])


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("mask must have the axes of inputs without", lambda x, m: layers.MaxPooling1D(2)(x, mask=m[..., None])),
        ("where must broadcast to x", lambda x, m: layers.MaxPooling1D(2)(x, mask=m[:, :5])),
        ("return_indices=True cannot be had", lambda x, m: layers.MaxPooling1D(2, return_indices=True)(x, mask=m)),
        ("use_mask must be True or False", lambda x, m: layers.MaxPooling1D(2, use_mask="no")),
        ("nan_policy must be one of", lambda x, m: layers.Pooling1D("max", 2, nan_policy="ignore")),
        ("min_count must be an integer", lambda x, m: layers.GlobalPooling1D("max", min_count=1.5)),
    ],
)
def test_wrong_masks_are_refused(words, call, rng):
    x, mask, _ = example(rng, 1)
    with pytest.raises((TypeError, ValueError), match=words):
        call(x, mask)
