"""The course network, with the pooling as an argument. The Keras backend is whichever the caller has chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .data import SMALLEST_SIDE
from .poolings import candidate

if TYPE_CHECKING:
    import keras

COURSE_SIDE = 28
"""The side of the images the course network is for; its convolutions pad smaller ones, or little would be left."""


def course_network(
    pooling: str | Callable[..., Any] = "max", input_shape: Sequence[int] = (28, 28, 1), classes: int = 10
) -> keras.Sequential:
    """Conv 3×3, pool, conv 3×3, pool, dense 128, dense: a small network for images, not yet compiled.

    The convolutions have 32 filters and relu, and pad "same" where a side is under 28. The pooling layers have windows
    of 2×2 and stride 2. On 28×28×1 with 10 classes: 113,386 parameters.

    Args:
        pooling: a name that `anypool.lab.poolings.candidate` knows, or what makes a layer when called with pool_size
            and strides, such as a class of anypool.keras.
        input_shape: height, width and channels of an image.
        classes: how many there are to tell apart.

    Raises:
        TypeError: pooling is neither. ValueError: the name is unknown, an image is under 4×4, or classes is below 2.

    >>> course_network("min").count_params()
    113386
    """
    import keras

    if isinstance(pooling, str):
        pooling = candidate(pooling).layer
    if not callable(pooling):
        raise TypeError(f"pooling must be a name or make a layer when called, got {pooling!r}")
    height, width, channels = _image_shape(input_shape)
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")
    padding = _convolution_padding(height, width)
    return keras.Sequential(
        [
            keras.layers.Input((height, width, channels)),
            keras.layers.Conv2D(32, 3, padding=padding, activation="relu"),
            pooling(pool_size=2, strides=2),
            keras.layers.Conv2D(32, 3, padding=padding, activation="relu"),
            pooling(pool_size=2, strides=2),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ],
        name="course_network",
    )


def parameters_without_pooling(input_shape: Sequence[int] = (28, 28, 1), classes: int = 10) -> int:
    """How many parameters the course network would have without its pooling layers: arithmetic, nothing is built.

    >>> parameters_without_pooling((28, 28, 1), 10)
    2370282
    """
    height, width, channels = _image_shape(input_shape)
    lost = 4 if _convolution_padding(height, width) == "valid" else 0
    flat = (height - lost) * (width - lost) * 32
    return (9 * channels + 1) * 32 + (9 * 32 + 1) * 32 + (flat + 1) * 128 + (128 + 1) * classes


def _convolution_padding(height: int, width: int) -> str:
    return "same" if min(height, width) < COURSE_SIDE else "valid"


def _image_shape(input_shape: Sequence[int]) -> tuple[int, int, int]:
    if len(input_shape) != 3 or min(input_shape[:2]) < SMALLEST_SIDE or input_shape[2] < 1:
        rule = f"(height, width, channels) with sides of at least {SMALLEST_SIDE}"
        raise ValueError(f"input_shape must be {rule}, got {tuple(input_shape)}")
    height, width, channels = input_shape
    return height, width, channels
