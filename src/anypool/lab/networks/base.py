"""What the lab asks of a network, whichever framework computes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from ..data import Dataset
from ..runs import PoolingLayer

if TYPE_CHECKING:
    from ..poolings import Candidate
    from .steps.base import Step

BATCH_SIZE = 32
PREDICTED_AT_ONCE = 128
"""Every batch is as large, so that a network is compiled once."""

RECALIBRATED_ON = 2048
"""Images, at most, that new statistics of batch normalisation are taken from."""

ShouldStop = Callable[[], bool]
Kind = Literal["sliding", "global", "adaptive", "strided"]
"""What pools at a site; `strided` is a convolution with a stride, which pools where it leaves outputs out."""
WHERE: dict[str, tuple[Kind, ...]] = {
    "all": ("sliding", "global", "adaptive", "strided"),
    "sliding": ("sliding",),
    "global": ("global", "adaptive"),
    "strided": ("strided",),
}
"""Which pooling layers are swapped, by what a user calls them."""

GREATEST_STRIDE = 4
"""Of a convolution that counts as a pooling: those of greater strides cut images into patches."""


@dataclass(frozen=True)
class Site:
    """A pooling layer of a network: where it is, what it is, and the settings that another of its kind would take."""

    name: str
    kind: Kind
    settings: dict[str, Any]
    """Those of a strided convolution are of the pooling that its stride is: windows as large as the stride."""


@dataclass
class History:
    """What training looked like, an entry per epoch."""

    curve: list[float] = field(default_factory=list)
    """Accuracy on the test images."""
    epoch_seconds: list[float] = field(default_factory=list)
    """Training alone, without that evaluation."""


class Diverged(ArithmeticError):
    """The loss is no finite number any more."""


class Network(Protocol):
    """A network from images of shape (count, height, width, channels) to one output per class."""

    model: Any
    """The framework's own object."""

    libraries: tuple[str, ...]
    """What computes it, for the record of versions."""

    @property
    def backend(self) -> str:
        """What computes it, in a word."""

    @property
    def parameters(self) -> int:
        """How many numbers training changes, or could."""

    @property
    def has_batch_norm(self) -> bool:
        """Whether it holds statistics that a swapped pooling makes stale."""

    def sites(self) -> list[Site]:
        """Its pooling layers, in order."""

    def copied(self) -> Network:
        """A copy; nothing is shared."""

    @property
    def suffix(self) -> str:
        """How a file is called that `save` writes."""

    def save(self, path: Path) -> None:
        """Write the model to a file, or its weights where they alone can be had back from one."""

    def load_weights(self, path: Path) -> None:
        """Take the weights in a file."""

    def digest(self) -> str:
        """A fingerprint of its weights."""

    def swapped(self, choices: Sequence[tuple[Site, Candidate]]) -> Network:
        """A copy in which each candidate pools at its site; weights are copied, and nothing is shared.

        A strided convolution is made with stride 1, and the candidate pools what it gives.
        """

    def replaced(self, layers: Mapping[str, Any]) -> Network:
        """A copy in which these layers of its framework pool at the sites of these names."""

    def resized(self, site: Site, size: int, stride: int) -> Site:
        """The site with another window; one that overlaps is padded `same`."""

    def predict(self, images: np.ndarray, should_stop: ShouldStop) -> np.ndarray:
        """Its outputs in inference: shape (count, classes). Raises `Stopped` between batches."""

    def recalibrate(self, images: np.ndarray, should_stop: ShouldStop) -> None:
        """Take the statistics of batch normalisation anew, as means over these images; nothing else changes."""

    def fit(
        self,
        data: Dataset,
        epochs: int,
        learning_rate: float,
        seed: int,
        on_epoch: Callable[[int, float], None],
        should_stop: ShouldStop,
    ) -> History:
        """Train it with Adam. Raises `Stopped` between batches, and `Diverged`."""

    def layers(self) -> list[PoolingLayer]:
        """What each of its pooling layers does to an image; empty where the framework does not say."""

    def cost(self, images: np.ndarray) -> dict[str, float]:
        """Multiply-adds and activation bytes per image."""

    def pooled_maps(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """What enters and what leaves the first sliding pooling layer for one image, shapes (height, width, channels).

        None where there is no such layer, or the framework does not say.
        """

    def training_step(self, images: np.ndarray) -> Step | None:
        """A step of training on these images, without its optimiser; None where nothing is trainable.

        It runs on a copy where running it would change the network.
        """


def is_there(site: Site, candidate: Candidate) -> bool:
    """Whether a candidate pools at a site already, as `strided` does at a strided convolution."""
    return site.kind == "strided" and candidate.operator is None


def are_probabilities(outputs: np.ndarray) -> bool:
    """Whether outputs are shares that sum to one, as after a softmax, and not logits."""
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3))


def probabilities(outputs: np.ndarray) -> np.ndarray:
    """Outputs as probabilities: themselves, or their softmax where they are logits."""
    if are_probabilities(outputs):
        return outputs
    shifted = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def accuracy_of(outputs: np.ndarray, labels: np.ndarray) -> float:
    """The share of outputs whose greatest entry is at the label.

    >>> accuracy_of(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    return float(np.mean(outputs.argmax(axis=-1) == labels))


def check_outputs(outputs: np.ndarray, count: int, classes: int) -> None:
    """Refuse outputs that are not one finite number per class and image."""
    if outputs.ndim != 2 or len(outputs) != count or outputs.shape[1] < classes:
        rule = f"(count, classes) with one output for each of {classes} classes"
        raise ValueError(f"model must give outputs of shape {rule}, got {outputs.shape} for {count} images")


def digest_of(arrays: Iterable[np.ndarray]) -> str:
    """A fingerprint of arrays: their shapes, dtypes and values, in their order."""
    fingerprint = hashlib.sha256()
    for array in arrays:
        fingerprint.update(f"{array.dtype}{array.shape}".encode())
        fingerprint.update(np.ascontiguousarray(array).tobytes())
    return fingerprint.hexdigest()


def spread_over(images: np.ndarray, most: int) -> np.ndarray:
    """At most so many images, evenly spaced, so that sorted classes are all there."""
    if len(images) <= most:
        return images
    return images[np.linspace(0, len(images) - 1, most).astype(int)]
