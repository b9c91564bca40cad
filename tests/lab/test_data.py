"""The lab's images: the digits, files in Keras's layout, and what is refused."""

import os

import numpy as np
import pytest

from anypool.lab.data import from_arrays, load


def arrays(classes=3, side=8, channels=None, dtype=np.uint8):
    """A small data set in Keras's layout; every class is in training and in testing."""
    generator = np.random.default_rng(0)
    shape = (side, side) if channels is None else (side, side, channels)
    y_train, y_test = np.arange(4 * classes) % classes, np.arange(2 * classes) % classes
    x_train, x_test = (generator.integers(0, 256, (len(y), *shape)).astype(dtype) for y in (y_train, y_test))
    x_train[0], x_train[1] = 0, np.array(255).astype(dtype)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def test_digits_are_all_there_and_divided_as_said():
    from sklearn.datasets import load_digits

    digits, source = load("digits"), load_digits()
    assert (len(digits.x_train), len(digits.x_test), digits.classes) == (1440, 357, 10)
    assert digits.input_shape == (8, 8, 1)
    of_a_three = source.images[source.target == 3] / 16
    np.testing.assert_array_equal(digits.x_test[digits.y_test == 3][..., 0], of_a_three[3::5].astype(np.float32))
    assert digits.background == 0
    everything = np.concatenate([digits.x_train, digits.x_test])[..., 0] * 16
    assert sorted(map(bytes, everything.astype(np.uint8))) == sorted(map(bytes, source.images.astype(np.uint8)))


def test_images_are_scaled_by_the_range_of_training():
    given = arrays()
    data = from_arrays(given, "mine", "by hand")
    np.testing.assert_array_equal(data.x_test[..., 0], (given["x_test"] / 255).astype(np.float32))
    assert (data.x_train.dtype, data.y_train.dtype, data.classes) == (np.float32, np.int64, 3)


def test_inverting_swaps_dark_and_light():
    data = from_arrays(arrays(), "mine", "by hand")
    np.testing.assert_array_equal(data.inverted().x_train, 1 - data.x_train)
    np.testing.assert_array_equal(data.inverted().y_test, data.y_test)
    assert data.inverted().background == pytest.approx(1 - data.background)


def test_digest_tells_data_apart():
    data = from_arrays(arrays(), "mine", "by hand")
    assert data.digest == from_arrays(arrays(), "mine", "by hand").digest
    changed = arrays()
    changed["x_test"][3, 2, 1] ^= 1
    assert data.digest != from_arrays(changed, "mine", "by hand").digest


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.float16, np.float64])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_file_of_any_real_dtype(tmp_path, dtype, channels):
    given = arrays(channels=channels, dtype=dtype)
    given["y_train"], given["y_test"] = given["y_train"][:, None], given["y_test"].astype(np.uint8)
    np.savez_compressed(tmp_path / "mine.npz", **given)
    data = load(str(tmp_path / "mine.npz"))
    assert data.input_shape == (8, 8, channels or 1)
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)


def replaced(**changes):
    return {**arrays(), **changes}


def with_value(key, value):
    given = arrays(dtype=np.float64)
    given[key][0, 0, 0] = value
    return given


REFUSED = {
    "keys": ({"x_train": np.zeros((2, 8, 8))}, "y_train, x_test, y_test is missing"),
    "complex": (
        replaced(x_train=np.ones((12, 8, 8), complex)),
        "x_train must be an array of real numbers, got dtype comp",
    ),
    "text": (replaced(x_test=np.full((6, 8, 8), "a")), "x_test must be an array of real numbers"),
    "flat": (replaced(x_train=np.ones((12, 64))), r"x_train must have shape \(count, height, width\).*got \(12, 64\)"),
    "no image": (replaced(x_test=np.ones((0, 8, 8)), y_test=np.ones(0, int)), "x_test must hold at least one value"),
    "small": (replaced(x_train=np.ones((12, 3, 8))), "images of at least 4×4 pixels"),
    "nan": (with_value("x_train", np.nan), "x_train must be finite, got 1 values"),
    "infinite": (with_value("x_test", -np.inf), "x_test must be finite"),
    "constant": (replaced(x_train=np.ones((12, 8, 8))), "x_train must hold different values"),
    "counts": (replaced(y_train=np.arange(11) % 3), "x_train has 12 images and y_train 11 labels"),
    "sizes": (replaced(x_test=np.ones((6, 9, 8))), r"x_train has images of shape \(8, 8, 1\) and x_test"),
    "float labels": (
        replaced(y_train=np.arange(12) % 3 / 2),
        "y_train must be an array of integers, got dtype float64",
    ),
    "one-hot": (replaced(y_test=np.eye(6, 3, dtype=int)), r"y_test must have shape \(count,\)"),
    "negative label": (replaced(y_train=np.arange(12) % 3 - 1), "y_train must be labels from 0, got -1 to 1"),
    "gap": (replaced(y_train=np.arange(12) % 3 * 2), "every label from 0 to its greatest, 4, but 1 is missing"),
    "huge label": (replaced(y_train=np.full(12, 2**63, np.uint64)), "y_train must be labels from 0"),
    "one class": (replaced(y_train=np.zeros(12, int)), "at least two classes"),
    "unknown class": (replaced(y_test=np.full(6, 3)), "y_test must hold labels that y_train has, 0 to 2, got 3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_file_that_breaks_a_rule(tmp_path, name):
    given, message = REFUSED[name]
    np.savez(tmp_path / "mine.npz", **given)
    with pytest.raises(ValueError, match=r"^mine\.npz: .*" + message):
        load(str(tmp_path / "mine.npz"))


def test_range_that_overflows():
    given = with_value("x_train", 1.7e308)
    given["x_train"][1] = -1.7e308
    with pytest.raises(ValueError, match="different values whose range is a finite float64"):
        from_arrays(given, "mine", "by hand")


def test_file_that_cannot_be_read(tmp_path):
    whole = tmp_path / "whole.npz"
    np.savez(whole, **arrays())
    contents = {"empty": b"", "text": b"hello", "cut": whole.read_bytes()[:1500]}
    damaged = bytearray(whole.read_bytes())
    damaged[200:260] = b"x" * 60
    np.save(tmp_path / "array.npy", np.ones(3))
    contents |= {"damaged": bytes(damaged), "array": (tmp_path / "array.npy").read_bytes()}
    for name, content in contents.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"data must be an \.npz file of plain arrays, but .* cannot be read"
        ) as no:
            load(str(path))
        assert "pickle" not in str(no.value)  # no advice to trust what should not be trusted


def test_pickled_objects_are_not_loaded(tmp_path):
    np.savez(tmp_path / "mine.npz", **replaced(x_train=np.array([[None]], object)))
    with pytest.raises(ValueError, match="cannot be read: x_train holds Python objects, which are not loaded"):
        load(str(tmp_path / "mine.npz"))


@pytest.mark.parametrize("name", ["digit", "", "nothing.npz", "/"])
def test_unknown_name(name):
    with pytest.raises(ValueError, match=rf"data must be .* got '{name}'"):
        load(name)


def test_real_mnist():
    path = os.environ.get("ANYPOOL_MNIST")
    if not path:
        pytest.skip("ANYPOOL_MNIST names no file of MNIST images")
    data = load(path)
    assert (data.input_shape, data.classes, data.background) == ((28, 28, 1), 10, 0)
