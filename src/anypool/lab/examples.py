"""A few test images, kept beside results.json so that the report can be made again without the data."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .data import Dataset
from .files import write_whole

CLASSES_SHOWN = 3


@dataclass(frozen=True)
class Examples:
    """The first test images of a few classes, and the range of the images they are of."""

    images: np.ndarray
    """Shape (count, height, width, channels)."""
    range: tuple[float, float]

    @classmethod
    def of(cls, data: Dataset) -> Examples:
        """Those of a dataset."""
        classes = np.unique(data.y_test)[:CLASSES_SHOWN]
        first = [int(np.flatnonzero(data.y_test == label)[0]) for label in classes]
        return cls(data.x_test[first], data.range)

    @classmethod
    def load(cls, path: Path) -> Examples | None:
        """Those in a file that `save` wrote; None where there is none that can be read."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                least, greatest = archive["range"]
                return cls(archive["images"], (float(least), float(greatest)))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def save(self, path: Path) -> None:
        """Write them to an .npz file, whole or not at all."""
        file = io.BytesIO()
        np.savez_compressed(file, images=self.images, range=np.array(self.range))
        write_whole(path, file.getvalue())

    def inverted(self) -> Examples:
        """The same images with dark and light swapped."""
        return replace(self, images=np.float32(sum(self.range)) - self.images)
