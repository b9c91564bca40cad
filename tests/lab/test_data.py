"""The lab's images: the digits, files in Keras's layout, and what is refused."""

import os

import numpy as np
import pytest
from PIL import Image

from anypool.lab.data import from_arrays, from_datasets, load


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
        "y_train must be an array of integers or texts, or one-hot, got dtype float64",
    ),
    "two ones": (replaced(y_test=np.ones((6, 3), int)), "y_test must have a single one in every row"),
    "no one": (replaced(y_test=np.zeros((6, 3))), "y_test must have a single one in every row"),
    "text and numbers": (
        replaced(y_train=np.full(12, "a")),
        "y_train must be an array of integers or texts, .* dtype <U1",
    ),
    "unknown text": (
        replaced(y_train=np.array(["a", "b"] * 6), y_test=np.array(["a", "b", "c"] * 2)),
        "y_test must hold labels that y_train has, got 'c'",
    ),
    "texts in a table": (
        replaced(y_train=np.full((12, 2), "a"), y_test=np.full(6, "a")),
        r"y_train must have shape \(count,\)",
    ),
    "one text": (replaced(y_train=np.full(12, "a"), y_test=np.full(6, "a")), "at least two classes"),
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


@pytest.mark.parametrize("name", ["digit", "", "nothing.npz", "/nowhere"])
def test_unknown_name(name):
    with pytest.raises(ValueError, match=rf"data must be .* got '{name}'"):
        load(name)


def test_real_mnist():
    path = os.environ.get("ANYPOOL_MNIST")
    if not path:
        pytest.skip("ANYPOOL_MNIST names no file of MNIST images")
    data = load(path)
    assert (data.input_shape, data.classes, data.background) == ((28, 28, 1), 10, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Labels of every sort


def test_one_hot_labels_are_labels():
    given = arrays()
    expected = from_arrays(given, "mine", "by hand")
    for dtype in (int, bool, np.float32):
        hot = {key: np.eye(3, dtype=dtype)[given[key]] for key in ("y_train", "y_test")}
        assert from_arrays({**given, **hot}, "mine", "by hand").digest == expected.digest


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_texts_are_labels(dtype):
    given = arrays()
    names = np.array(["ant", "bee", "cat"]).astype(dtype)
    texts = {key: names[given[key]] for key in ("y_train", "y_test")}
    data = from_arrays({**given, **texts}, "mine", "by hand")
    assert data.digest == from_arrays(given, "mine", "by hand").digest
    assert len(data.class_names) == 3


def test_classes_without_a_test_image_are_known():
    given = arrays()
    assert from_arrays(given, "mine", "by hand").untested == []
    given["y_test"] = np.zeros(6, int)
    assert from_arrays(given, "mine", "by hand").untested == ["1", "2"]
    texts = {key: np.array(["ant", "bee", "cat"])[given[key]] for key in ("y_train", "y_test")}
    assert from_arrays({**given, **texts}, "mine", "by hand").untested == ["bee", "cat"]


# ---------------------------------------------------------------------------------------------------------------------
# Folders, and data sets of frameworks


def write_images(folder, names=("ant", "bee"), count=10, shape=(6, 7), mode="L"):
    for place, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(np.full(shape, 100 * place + number, np.uint8)).convert(mode)
            image.save(folder / name / f"{number:02}.png")
    return folder


def test_folder_of_classes(tmp_path):
    data = load(str(write_images(tmp_path / "insects")))
    assert (data.name, data.classes, data.class_names) == ("insects", 2, ("ant", "bee"))
    assert (len(data.x_train), len(data.x_test), data.input_shape) == (16, 4, (6, 7, 1))
    raw = load(str(tmp_path / "insects"), scale=False)
    np.testing.assert_array_equal(raw.x_test[:, 0, 0, 0], [3, 8, 103, 108])
    np.testing.assert_array_equal(raw.y_test, [0, 0, 1, 1])


def test_divided_folder_in_colour(tmp_path):
    write_images(tmp_path / "train", mode="RGB")
    write_images(tmp_path / "test", count=2)  # grey: as many channels as the others
    data = load(str(tmp_path), scale=False)
    assert (len(data.x_train), len(data.x_test), data.input_shape) == (20, 4, (6, 7, 3))
    np.testing.assert_array_equal(data.x_test[0], 0)


def test_folders_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match=r"data must hold a subfolder per class .* has none for the part 'train'"):
        load(str(tmp_path))
    write_images(tmp_path / "a", names=("ant",))
    with pytest.raises(ValueError, match="at least two classes"):
        load(str(tmp_path / "a"))
    write_images(tmp_path / "b")
    Image.new("L", (9, 9)).save(tmp_path / "b" / "bee" / "00.png")
    with pytest.raises(ValueError, match=r"images of one size, but .*ant.* has 6 × 7 pixels and .*bee.* 9 × 9"):
        load(str(tmp_path / "b"))
    (tmp_path / "b" / "bee" / "00.png").write_text("hello")
    with pytest.raises(ValueError, match=r"00\.png' cannot be read"):
        load(str(tmp_path / "b"))


class Pairs:
    """A data set as torch has them: a length, and items."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, place):
        return self.images[place], self.labels[place]


def test_data_sets_of_every_sort_give_the_same():
    import torch

    given = arrays(channels=3)
    expected = from_arrays(given, "data", "by hand")
    turned = {key: torch.from_numpy(given[key].transpose(0, 3, 1, 2).copy()) for key in ("x_train", "x_test")}
    labels = {key: torch.from_numpy(given[key]) for key in ("y_train", "y_test")}
    tensors = [torch.utils.data.TensorDataset(turned[f"x_{part}"], labels[f"y_{part}"]) for part in ("train", "test")]
    for train, test in (
        [Pairs(given[f"x_{part}"], given[f"y_{part}"].tolist()) for part in ("train", "test")],
        [[(given[f"x_{part}"][:5], given[f"y_{part}"][:5]), (given[f"x_{part}"][5:], given[f"y_{part}"][5:])]
         for part in ("train", "test")],
        [iter(Pairs(given[f"x_{part}"], given[f"y_{part}"])) for part in ("train", "test")],
        tensors,
        [torch.utils.data.DataLoader(one, batch_size=5) for one in tensors],
    ):  # fmt: skip
        assert from_datasets(train, test).digest == expected.digest


@pytest.mark.parametrize(("dataset", "kind", "message"), [
    (3, TypeError, "data must be a data set .* got int"),
    ([], ValueError, "at least one image"),
    ([1, 2], TypeError, "pairs of images and labels, got int"),
    ([(np.ones((4, 4)), 0), (np.ones((5, 4)), 1)], ValueError, r"images of one shape, got \(4, 4\), \(5, 4\)"),
])  # fmt: skip
def test_data_sets_that_cannot_be(dataset, kind, message):
    with pytest.raises(kind, match=message):
        from_datasets(dataset, dataset)
