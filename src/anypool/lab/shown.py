"""What a network did to a few images, kept for pictures: its first pooling's feature maps, and its worst flips."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .data import Dataset
from .files import write_whole
from .measures.shifts import shifted
from .networks.base import PREDICTED_AT_ONCE, Network, probabilities, spread_over
from .runs import RunKey

FOLDER = "shown"
CHANNELS = 4
"""Of a feature map, those that vary most."""
FLIPS = 3
COMPASS = np.array([(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx])
MOVED = PREDICTED_AT_ONCE // len(COMPASS)
"""Images that are moved, for a single batch of predictions."""


@dataclass(frozen=True)
class Shown:
    """Pictures of one run."""

    key: RunKey
    before: np.ndarray
    """Feature maps that enter the first pooling layer, shape (height, width, channels); empty where nobody knows."""
    after: np.ndarray
    """Those that leave it, of the same channels."""
    still: np.ndarray
    """Images that flip, shape (count, height, width, channels)."""
    moved: np.ndarray
    """The same images, moved."""
    classes: np.ndarray
    """Of each, what it is told to be before and after: shape (count, 2)."""
    confidence: np.ndarray
    """The probabilities of these classes: shape (count, 2)."""

    def save(self, folder: Path) -> None:
        """Keep them in a file of a directory, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        file = io.BytesIO()
        arrays = {name: value for name, value in vars(self).items() if name != "key"}
        np.savez_compressed(file, key=np.array(json.dumps(self.key)), **arrays)
        folder.mkdir(exist_ok=True)
        write_whole(folder / f"{hashlib.sha256(json.dumps(self.key).encode()).hexdigest()[:16]}.npz", file.getvalue())

    @classmethod
    def load_all(cls, folder: Path, keys: Sequence[RunKey]) -> list[Shown]:
        """Those of these runs that a directory holds and that can be read."""
        found = [one for path in sorted(folder.glob("*.npz")) if (one := cls._load(path)) is not None]
        by_key = {one.key: one for one in found}
        return [by_key[key] for key in keys if key in by_key]

    @classmethod
    def _load(cls, path: Path) -> Shown | None:
        try:
            with np.load(path, allow_pickle=False) as archive:
                key = RunKey(*json.loads(str(archive["key"])))
                return cls(key, **{name: archive[name] for name in archive.files if name != "key"})
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None


def look(key: RunKey, network: Network, data: Dataset, max_shift: int, should_stop: Callable[[], bool]) -> Shown:
    """What there is to show of a network: maps of the first test image, and flips of some test images."""
    maps = network.pooled_maps(data.x_test[:1])
    before, after = maps or (np.zeros((1, 1, 0), np.float32),) * 2
    channels = np.sort(np.argsort(-before.std(axis=(0, 1)), kind="stable")[:CHANNELS])

    def told(images: np.ndarray) -> np.ndarray:
        return probabilities(network.predict(images, should_stop))

    flips = worst_flips(told, spread_over(data.x_test, MOVED), spread_over(data.y_test, MOVED), max_shift)
    return Shown(key, before[..., channels], after[..., channels], *flips)


def worst_flips(
    told: Callable[[np.ndarray], np.ndarray], images: np.ndarray, labels: np.ndarray, max_shift: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The images told right that another class takes when they move, by how much probability the right class loses.

    Each is moved by `max_shift` pixels in eight directions, and is there once, with its worst.

    Args:
        told: images to probabilities of their classes.

    Returns:
        The images, the moved images, their classes (before, after) and the probabilities of these, worst first.
    """
    count = len(images)
    still = told(images)
    repeated = np.repeat(images, len(COMPASS), axis=0)
    moved_images = shifted(repeated, np.tile(COMPASS * max_shift, (count, 1)))
    moved = told(moved_images).reshape(count, len(COMPASS), -1)
    kept = moved[np.arange(count), :, labels]
    flipped = (still.argmax(axis=-1) == labels)[:, None] & (moved.argmax(axis=-1) != labels[:, None])
    lost = np.where(flipped, still[np.arange(count), labels][:, None] - kept, -np.inf)
    worst = lost.argmax(axis=1)
    ranked = np.argsort(-lost.max(axis=1), kind="stable")[:FLIPS]
    chosen = ranked[np.isfinite(lost.max(axis=1)[ranked])]
    directions = worst[chosen]
    after = moved[chosen, directions]
    classes = np.stack([labels[chosen], after.argmax(axis=-1)], axis=1)
    confidence = np.stack([still[chosen, labels[chosen]], after.max(axis=-1)], axis=1)
    places = chosen * len(COMPASS) + directions
    return images[chosen], moved_images[places], classes, confidence
