"""Layers of regions and descriptors on the backend of this process: values, learning, masks, saving."""

import keras
import numpy as np
import pytest

import anypool as ap
import anypool.keras as layers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

BOXES = np.array([[0, 1.2, 0.7, 6.1, 5.3], [1, -3.0, -2.0, 5.0, 4.5]], np.float32)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def image(rng, data_format="channels_last"):
    x = rng.normal(size=(2, 7, 9, 4)).astype(np.float32)
    return np.moveaxis(x, -1, 1).copy() if data_format == "channels_first" else x


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_regions_are_those_of_the_functions(data_format, rng, tmp_path):
    x = image(rng, data_format)
    first = x if data_format == "channels_first" else np.moveaxis(x, -1, 1)
    images, boxes = keras.Input(x.shape[1:]), keras.Input((5,))
    made = [
        layers.SpatialPyramid("average", (1, 2), data_format),
        layers.PyramidPooling((1, 3), "max", False, data_format),
        layers.RMAC(1, data_format=data_format),
    ]
    boxed = [layers.RegionPooling(2, 1.0, data_format), layers.RegionAlign(2, 1.0, 2, True, data_format)]
    outputs = [layer(images) for layer in made] + [layer([images, boxes]) for layer in boxed]
    model = keras.Model([images, boxes], outputs)
    model.save(tmp_path / "regions.keras")
    expected = [
        ap.spatial_pyramid(first, "average", (1, 2)),
        ap.pyramid_pool(first, (1, 3), "max", align_corners=False),
        ap.rmac(first, 1),
        ap.roi_pool(first, BOXES, 2),
        ap.roi_align(first, BOXES, 2, 1.0, 2, True),
    ]
    again = keras.models.load_model(tmp_path / "regions.keras")
    for got, reloaded, wanted in zip(model([x, BOXES]), again([x, BOXES]), expected, strict=True):
        wanted = wanted if data_format == "channels_first" or wanted.ndim == 2 else np.moveaxis(wanted, 1, -1)
        np.testing.assert_allclose(numpy(got), wanted, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(numpy(reloaded), numpy(got), rtol=1e-6)
    assert [tuple(y.shape[1:]) for y in outputs] == [tuple(y.shape[1:]) for y in model([x, BOXES])]


MADE = [
    lambda: layers.AttentionPooling(2),
    lambda: layers.GatedAttentionPooling(5),
    lambda: layers.CovariancePooling(3),
    lambda: layers.CovariancePooling(triangle=False),
    lambda: layers.NetVLAD(3, alpha=2.0),
]


@pytest.mark.parametrize("make", MADE)
def test_descriptors_obey_masks_learn_and_come_back(make, rng, tmp_path):
    steps = keras.Input((None, 4))
    layer = make()
    masked = keras.layers.Masking(0.0)(steps)
    model = keras.Model(steps, keras.layers.Dense(1)(keras.layers.Flatten()(layer(masked))))
    x = rng.normal(size=(8, 5, 4)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 3), (0, 0)))
    np.testing.assert_allclose(numpy(model(padded)), numpy(model(x)), rtol=1e-4, atol=1e-5)
    before = [numpy(weight) for weight in layer.weights]
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.fit(padded, np.ones((8, 1), np.float32), epochs=2, verbose=0)
    assert all(np.isfinite(numpy(weight)).all() for weight in model.weights)
    for old, weight in zip(before, layer.weights, strict=True):
        assert not np.array_equal(old, numpy(weight)), weight.name
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(again(padded)), numpy(model(padded)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_descriptors_are_those_of_the_functions(data_format, rng):
    x = image(rng, data_format)
    first = x if data_format == "channels_first" else np.moveaxis(x, -1, 1)
    mask = rng.random((2, 7, 9)) < 0.7
    layer = layers.NetVLAD(3, data_format=data_format)
    got = numpy(layer(x, mask=mask))
    learned = [numpy(weight) for weight in (layer.centers, layer.kernel, layer.bias)]
    np.testing.assert_allclose(got, ap.net_vlad(first, *learned, where=mask[:, None]), rtol=1e-3, atol=1e-4)
    layer.start_from(np.eye(3, 4))
    np.testing.assert_allclose(numpy(layer.bias), -100)
    pool = layers.CovariancePooling(data_format=data_format)
    np.testing.assert_allclose(numpy(pool(x)), ap.covariance_pool(first, triangle=True), rtol=1e-3, atol=1e-4)
    average = layers.AttentionPooling(data_format=data_format)
    np.testing.assert_allclose(numpy(average(x)), first.mean((2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("channels must be a multiple of num_heads", lambda: layers.AttentionPooling(3)(np.ones((1, 2, 4), "f4"))),
        ("needs a known number of channels", lambda: layers.NetVLAD(2)(keras.Input((4, None)))),
        ("centers must have shape", lambda: built(layers.NetVLAD(2)).start_from(np.ones((3, 4)))),
        ("pair of images and boxes", lambda: layers.RegionPooling(2)(np.ones((1, 4, 4, 1), "f4"))),
        ("data_format must be", lambda: layers.SpatialPyramid(data_format="first")),
        ("levels must be between 1", lambda: layers.PyramidPooling(levels=(0,))),
    ],
)
def test_wrong_arguments_are_refused(words, make):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


def built(layer):
    layer.build((None, 5, 4))
    return layer
