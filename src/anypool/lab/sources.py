"""Images from folders and from the data sets of frameworks, as plain arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .pictures import read_image

SUFFIXES = (".png", ".jpg", ".jpeg")
EVERY = 5
"""Of each class every fifth image is for testing where a folder is not divided: the 4th, 9th, 14th, …"""


def arrays_in_folder(folder: Path) -> tuple[dict[str, np.ndarray], str]:
    """The images in a folder with a subfolder per class, and how they are divided, in words.

    The folder holds `train` and `test`, each with the classes, or the classes themselves; then of each class, in the
    order of file names, the 4th, 9th, 14th, … image is for testing. Labels are the names of the subfolders.

    Raises:
        ValueError: there are no images, they differ in size, or one cannot be read.
    """
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        parts = {part: _files(folder / part) for part in ("train", "test")}
        split = "the division into train and test that the folder gives"
    else:
        everything = _files(folder)
        parts = {"train": {}, "test": {}}
        for name, paths in everything.items():
            parts["test"][name] = paths[EVERY - 2 :: EVERY]
            parts["train"][name] = [path for place, path in enumerate(paths) if place % EVERY != EVERY - 2]
        split = "of each class, in the order of file names, the 4th, 9th, 14th, … image is for testing"
    arrays = {}
    for part, classes in parts.items():
        pairs = [(path, name) for name, paths in classes.items() for path in paths]
        if not pairs:
            rule = "a subfolder per class with PNG or JPEG images, or train and test with such subfolders"
            raise ValueError(f"data must hold {rule}, got {str(folder)!r}, which has none for the part {part!r}")
        arrays[f"x_{part}"] = _images([path for path, _ in pairs])
        arrays[f"y_{part}"] = np.array([name for _, name in pairs])
    return _alike(arrays), split


def _files(folder: Path) -> dict[str, list[Path]]:
    """The images of every class in a folder, in the order of their names."""
    found = {}
    for sub in sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        found[sub.name] = sorted(path for path in sub.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    return found


def _images(paths: list[Path]) -> np.ndarray:
    images: list[np.ndarray] = []
    for path in paths:
        image = read_image(path)
        if images and image.shape[:2] != images[0].shape[:2]:
            sizes = [" × ".join(map(str, one.shape[:2])) for one in (images[0], image)]
            said = f"{str(paths[0])!r} has {sizes[0]} pixels and {str(path)!r} {sizes[1]}"
            raise ValueError(f"data must hold images of one size, but {said}")
        images.append(image)
    colour = any(image.ndim == 3 for image in images)
    return np.stack([_coloured(image) if colour else image for image in images])


def _alike(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parts with as many channels."""
    if arrays["x_train"].ndim != arrays["x_test"].ndim:
        for key in ("x_train", "x_test"):
            if arrays[key].ndim == 3:
                arrays[key] = _coloured(arrays[key])
    return arrays


def _coloured(image: np.ndarray) -> np.ndarray:
    """A grey image as red, green and blue; transparency is left out."""
    return np.stack([image] * 3, axis=-1) if image.shape[-1] not in (3, 4) or image.ndim == 2 else image[..., :3]


# ---------------------------------------------------------------------------------------------------------------------
# The data sets of frameworks


def arrays_in_dataset(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of a data set: a tf.data or Keras one, a torch one or its DataLoader, or any iterable.

    It gives pairs of images and labels, one by one or in batches. torch tensors are channels first, and are turned.

    Raises:
        TypeError: it cannot be iterated over, or gives no pairs. ValueError: it gives nothing, or images of several
            shapes.
    """
    images, labels = [], []
    for pair in _pairs(dataset):
        if not isinstance(pair, tuple | list) or len(pair) < 2:
            raise TypeError(f"data must give pairs of images and labels, got {type(pair).__name__}")
        image, label = _array(pair[0]), np.asarray(pair[1])
        single = label.ndim == 0
        images.append(image[None] if single else image)
        labels.append(label[None] if single else label)
    if not images:
        raise ValueError("data must give at least one image, got none")
    shapes = {image.shape[1:] for image in images}
    if len(shapes) > 1:
        raise ValueError(f"data must give images of one shape, got {', '.join(map(str, sorted(shapes)))}")
    return np.concatenate(images), np.concatenate(labels)


def _pairs(dataset: Any) -> Iterator[Any]:
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):  # a torch data set or a Keras PyDataset
        return (dataset[place] for place in range(len(dataset)))
    if isinstance(dataset, Iterable):
        return iter(dataset)
    raise TypeError(f"data must be a data set that gives pairs of images and labels, got {type(dataset).__name__}")


def _array(images: Any) -> np.ndarray:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(images, torch.Tensor):
        return np.asarray(images)
    array = images.detach().cpu().numpy()
    return np.moveaxis(array, -3, -1) if array.ndim >= 3 else array
