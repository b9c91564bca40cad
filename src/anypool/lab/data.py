"""Images and labels to compare poolings on: `load("digits")`, `load("mnist")`, `load("my-images.npz")`."""

from __future__ import annotations

import hashlib
import importlib
import socket
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

KEYS = ("x_train", "y_train", "x_test", "y_test")
DOWNLOADED = ("mnist", "fashion_mnist", "cifar10")
SMALLEST_SIDE = 4
"""The course network halves an image twice."""


@dataclass(frozen=True)
class Dataset:
    """Images of shape (count, height, width, channels), float32, and labels of shape (count,), int64, 0 to classes − 1.

    The images are scaled so that the least value in training is 0 and the greatest 1, unless they stay as they are.
    """

    name: str
    split: str
    """How images were divided into those for training and those for testing, in words."""
    classes: int
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...] | None = None
    """What the classes are called, where labels were texts."""

    @property
    def untested(self) -> list[str]:
        """The classes without a test image, by name or number."""
        missing = sorted(set(range(self.classes)) - set(np.unique(self.y_test).tolist()))
        return [self.class_names[label] if self.class_names else str(label) for label in missing]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.x_train.shape[1:]
        return height, width, channels

    @cached_property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value in training."""
        return float(self.x_train.min()), float(self.x_train.max())

    @cached_property
    def background(self) -> float:
        """The median of the pixels on the border of the training images: 0 is the least value there, 1 the greatest."""
        x = self.x_train
        border = (x[:, 0], x[:, -1], x[:, 1:-1, 0], x[:, 1:-1, -1])
        least, greatest = self.range
        return (float(np.median(np.concatenate([edge.reshape(-1) for edge in border]))) - least) / (greatest - least)

    @cached_property
    def digest(self) -> str:
        """A fingerprint of every image and label."""
        fingerprint = hashlib.sha256()
        for key in KEYS:
            array = getattr(self, key)
            fingerprint.update(f"{key}{array.dtype}{array.shape}".encode())
            fingerprint.update(np.ascontiguousarray(array).data)
        return fingerprint.hexdigest()

    def inverted(self) -> Dataset:
        """The same images with dark and light swapped: least + greatest − x, which for scaled images is 1 − x."""
        total = np.float32(sum(self.range))
        return replace(self, x_train=total - self.x_train, x_test=total - self.x_test)


def load(data: str, scale: bool = True) -> Dataset:
    """The images called `data`, or those in the .npz file of that name.

    `digits` is the 1,797 handwritten digits of 8×8 pixels inside scikit-learn; of each digit the 4th, 9th, 14th, … is
    for testing, which leaves 1,440 for training: 45 whole batches of 32. `mnist`, `fashion_mnist` and `cifar10` come
    from keras.datasets, which downloads them once.
    A file has the arrays x_train, y_train, x_test and y_test: images of shape (count, height, width) or (count, height,
    width, channels), real and finite, and one label per image, every class present in training. Labels are integers
    from 0, texts, or one-hot: a row per image with a single one. A folder has a subfolder of PNG or JPEG images of one
    size per class, or train and test with such subfolders.

    Images are scaled to 0 and 1 by what is least and greatest in training; with `scale=False` they stay as they are.

    Raises:
        ValueError: no such name or file, or the file's content breaks one of these rules.

    >>> digits = load("digits")
    >>> digits.x_train.shape, digits.x_test.shape, digits.classes
    ((1440, 8, 8, 1), (357, 8, 8, 1), 10)
    """
    if data == "digits":
        return _digits(scale)
    if data in DOWNLOADED:
        return _downloaded(data, scale)
    return _from_file(data, scale)


def from_arrays(arrays: Mapping[str, Any], name: str, split: str, scale: bool = True) -> Dataset:
    """A dataset of four arrays, checked; `name` is what messages call it, and `scale` brings images to 0 and 1."""
    missing = [key for key in KEYS if key not in arrays]
    if missing:
        raise ValueError(f"{name}: must hold {', '.join(KEYS)}, but {', '.join(missing)} is missing")
    images = {key: _images(f"{name}: {key}", arrays[key]) for key in ("x_train", "x_test")}
    labels, names = _all_labels(name, arrays)
    for part in ("train", "test"):
        counts = len(images[f"x_{part}"]), len(labels[f"y_{part}"])
        if counts[0] != counts[1]:
            said = f"x_{part} has {counts[0]} images and y_{part} {counts[1]} labels"
            raise ValueError(f"{name}: {said}: there must be one label per image")
    if images["x_train"].shape[1:] != images["x_test"].shape[1:]:
        said = " and ".join(f"{key} has images of shape {x.shape[1:]}" for key, x in images.items())
        raise ValueError(f"{name}: {said}: they must be the same")
    classes = _classes(name, labels["y_train"], labels["y_test"])
    least, greatest = float(images["x_train"].min()), float(images["x_train"].max())
    span = greatest - least
    if not 0 < span < np.inf:
        said = f"got {least} to {greatest}"
        raise ValueError(f"{name}: x_train must hold different values whose range is a finite float64, {said}")
    if not scale:
        plain = {key: x.astype(np.float32) for key, x in images.items()}
        return Dataset(name, split, classes, **plain, **labels, class_names=names)
    scaled = {key: (np.subtract(x, least, dtype=np.float64) / span).astype(np.float32) for key, x in images.items()}
    return Dataset(name, split, classes, **scaled, **labels, class_names=names)


def from_datasets(train: Any, test: Any, name: str = "data", scale: bool = True) -> Dataset:
    """A dataset of two data sets of a framework's: `keras.utils.image_dataset_from_directory`'s, tf.data's, torch's.

    Raises:
        TypeError: one is no data set of pairs. ValueError: what they hold breaks a rule of `load`.
    """
    from .sources import arrays_in_dataset

    parts = {"train": arrays_in_dataset(train), "test": arrays_in_dataset(test)}
    arrays = {f"{kind}_{part}": found[place] for part, found in parts.items() for place, kind in enumerate("xy")}
    return from_arrays(arrays, name, "the division into two data sets", scale)


# ---------------------------------------------------------------------------------------------------------------------
# Where the arrays come from


def _digits(scale: bool) -> Dataset:
    from sklearn.datasets import load_digits

    digits = load_digits()
    test = np.zeros(len(digits.target), bool)
    for label in range(10):
        test[np.flatnonzero(digits.target == label)[3::5]] = True
    x, y = digits.images, digits.target
    arrays = {"x_train": x[~test], "y_train": y[~test], "x_test": x[test], "y_test": y[test]}
    split = "of each digit the 4th, 9th, 14th, … image is for testing, the others for training"
    return from_arrays(arrays, "digits", split, scale)


def _downloaded(name: str, scale: bool) -> Dataset:
    source = importlib.import_module(f"keras.datasets.{name}")
    try:
        with _network_timeout(30):
            (x_train, y_train), (x_test, y_test) = source.load_data()
    except Exception as error:  # keras raises a bare Exception
        reason = " ".join(str(error).split())
        raise ValueError(
            f"data {name!r} is downloaded by keras.datasets on first use, and that failed ({reason}): "
            "connect to the network, or give 'digits' or an .npz file"
        ) from error
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return from_arrays(arrays, name, "the division that keras.datasets gives", scale)


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _from_file(data: str, scale: bool) -> Dataset:
    path = Path(data)
    if data and path.is_dir():
        from .sources import arrays_in_folder

        arrays, split = arrays_in_folder(path)
        return from_arrays(arrays, path.name or str(path.resolve()), split, scale)
    if path.suffix != ".npz":
        known = f"digits, {', '.join(DOWNLOADED)}, an .npz file or a folder of images"
        raise ValueError(f"data must be one of {known}, got {data!r}")
    if not path.is_file():
        raise ValueError(f"data must be an .npz file that exists, got {data!r}")
    try:
        arrays = _arrays_in(path)
    except Exception as error:  # zipfile, zlib and NumPy each raise their own for a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"data must be an .npz file of plain arrays, but {data!r} cannot be read: {reason}") from error
    return from_arrays(arrays, path.name, "the division that the file gives", scale)


def _arrays_in(path: Path) -> dict[str, np.ndarray]:
    """The arrays we look for in an .npz file; nothing pickled is ever loaded."""
    if not zipfile.is_zipfile(path):  # NumPy would take it for a pickle, and advise to trust it
        raise ValueError("it is no zip archive, as .npz files are")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        return {key: _array_in(archive, key) for key in KEYS if f"{key}.npy" in names}


def _array_in(archive: zipfile.ZipFile, key: str) -> np.ndarray:
    with archive.open(f"{key}.npy") as member:
        version = np.lib.format.read_magic(member)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        if read_header(member)[2].hasobject:
            raise ValueError(f"{key} holds Python objects, which are not loaded, for they may run code")
    with archive.open(f"{key}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


# ---------------------------------------------------------------------------------------------------------------------
# What the arrays must be


def _images(name: str, array: Any) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        raise ValueError(f"{name} must be an array of real numbers, got {_kind(array)}")
    if array.ndim not in (3, 4):
        rule = "(count, height, width) or (count, height, width, channels)"
        raise ValueError(f"{name} must have shape {rule}, got {array.shape}")
    images = array[..., None] if array.ndim == 3 else array
    if 0 in images.shape:
        raise ValueError(f"{name} must hold at least one value, got shape {array.shape}")
    if min(images.shape[1:3]) < SMALLEST_SIDE:
        rule = f"images of at least {SMALLEST_SIDE}×{SMALLEST_SIDE} pixels"
        raise ValueError(f"{name} must have {rule}, got shape {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise ValueError(f"{name} must be finite, got {bad} values that are NaN or infinite")
    return images


def _all_labels(name: str, arrays: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], tuple[str, ...] | None]:
    """The labels as integers from 0, and what they were where they were texts."""
    keys = ("y_train", "y_test")
    if not all(isinstance(arrays[key], np.ndarray) and arrays[key].dtype.kind in "US" for key in keys):
        return {key: _labels(f"{name}: {key}", arrays[key]) for key in keys}, None
    for key in keys:
        if arrays[key].ndim != 1:
            raise ValueError(f"{name}: {key} must have shape (count,), one label per image, got {arrays[key].shape}")
    names = np.unique(arrays["y_train"])
    unknown = np.setdiff1d(arrays["y_test"], names)
    if len(unknown):
        raise ValueError(f"{name}: y_test must hold labels that y_train has, got {str(unknown[0])!r}")
    return {key: np.searchsorted(names, arrays[key]).astype(np.int64) for key in keys}, tuple(map(str, names))


def _labels(name: str, array: Any) -> np.ndarray:
    if isinstance(array, np.ndarray) and array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "buif":
        if not (np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()):
            raise ValueError(
                f"{name} must have a single one in every row where it has columns, got shape {array.shape}"
            )
        return array.argmax(axis=1).astype(np.int64)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "bui":
        raise ValueError(f"{name} must be an array of integers or texts, or one-hot, got {_kind(array)}")
    if array.ndim == 2 and array.shape[1] == 1:  # as keras.datasets gives those of CIFAR-10
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (count,), one label per image, got {array.shape}")
    if array.size and not 0 <= array.min() <= array.max() < 2**31:
        raise ValueError(f"{name} must be labels from 0, got {array.min()} to {array.max()}")
    return array.astype(np.int64)


def _classes(name: str, train: np.ndarray, test: np.ndarray) -> int:
    present = np.unique(train)
    classes = int(present[-1]) + 1
    if classes < 2:
        raise ValueError(f"{name}: y_train must have at least two classes, got only label 0")
    if len(present) < classes:
        gap = int(np.flatnonzero(present != np.arange(len(present)))[0])
        rule = f"must hold every label from 0 to its greatest, {classes - 1}"
        raise ValueError(f"{name}: y_train {rule}, but {gap} is missing")
    if test.max() >= classes:
        raise ValueError(f"{name}: y_test must hold labels that y_train has, 0 to {classes - 1}, got {test.max()}")
    return classes


def _kind(array: Any) -> str:
    return f"dtype {array.dtype}" if isinstance(array, np.ndarray) else f"{type(array).__name__}"
