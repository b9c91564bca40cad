"""Networks of ours, with the pooling as an argument. The Keras backend is whichever the caller has chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .data import SMALLEST_SIDE
from .poolings import candidate

if TYPE_CHECKING:
    import keras

COURSE_SIDE = 28
"""The side of the images the course network is for; its convolutions pad smaller ones, or little would be left."""


Pooling = str | Callable[..., Any]


def course_network(
    pooling: Pooling = "max", input_shape: Sequence[int] = (28, 28, 1), classes: int = 10
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

    pooling = _layer_maker(pooling)
    height, width, channels = _image_shape(input_shape)
    _check_classes(classes)
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


def vgg_small(
    pooling: Pooling = "max", input_shape: Sequence[int] = (28, 28, 1), classes: int = 10
) -> keras.Sequential:
    """Twice two convolutions of 3×3 and a pooling, with 32 and 64 filters, then dense 128 and dense, after VGG.

    Simonyan and Zisserman 2015, arXiv 1409.1556. The arguments are those of `course_network`.

    >>> [type(layer).__name__ for layer in vgg_small().layers][:3]
    ['Conv2D', 'Conv2D', 'MaxPooling2D']
    """
    import keras

    pooling, shape = _layer_maker(pooling), _image_shape(input_shape)
    _check_classes(classes)
    layers: list[keras.Layer] = [keras.layers.Input(shape)]
    for filters in (32, 64):
        layers += [keras.layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(2)]
        layers.append(pooling(pool_size=2, strides=2))
    layers += [keras.layers.Flatten(), keras.layers.Dense(128, activation="relu")]
    layers.append(keras.layers.Dense(classes, activation="softmax"))
    return keras.Sequential(layers, name="vgg_small")


def all_conv(
    pooling: Pooling = "strided", input_shape: Sequence[int] = (28, 28, 1), classes: int = 10
) -> keras.Sequential:
    """Convolutions alone, a pooling after every second, and the average of each class's map.

    With the pooling `strided` it is the all-convolutional network of Springenberg et al. 2015, arXiv 1412.6806, with 32
    and 64 filters. The arguments are those of `course_network`.

    >>> all_conv("strided").count_params() > all_conv("max").count_params()
    True
    """
    import keras

    pooling, shape = _layer_maker(pooling), _image_shape(input_shape)
    _check_classes(classes)
    layers: list[keras.Layer] = [keras.layers.Input(shape)]
    for filters in (32, 64):
        layers += [keras.layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(2)]
        layers.append(pooling(pool_size=2, strides=2))
    layers += [keras.layers.Conv2D(64, 3, padding="same", activation="relu"), keras.layers.Conv2D(classes, 1)]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Softmax()]
    return keras.Sequential(layers, name="all_conv")


def resnet_small(pooling: Pooling = "max", input_shape: Sequence[int] = (28, 28, 1), classes: int = 10) -> keras.Model:
    """A convolution, then residual blocks with 16, 32 and 64 filters, a pooling after the first two, after ResNet.

    He et al. 2016, arXiv 1512.03385, with batch normalisation, and poolings in place of strides. The arguments are
    those of `course_network`.

    >>> resnet_small("average").output_shape
    (None, 10)
    """
    import keras

    pooling, shape = _layer_maker(pooling), _image_shape(input_shape)
    _check_classes(classes)

    def convolution(x: Any, filters: int, size: int) -> Any:
        return keras.layers.BatchNormalization()(keras.layers.Conv2D(filters, size, padding="same", use_bias=False)(x))

    inputs = keras.layers.Input(shape)
    x = keras.layers.ReLU()(convolution(inputs, 16, 3))
    for filters in (16, 32, 64):
        residual = convolution(keras.layers.ReLU()(convolution(x, filters, 3)), filters, 3)
        shortcut = x if x.shape[-1] == filters else convolution(x, filters, 1)
        x = keras.layers.ReLU()(keras.layers.Add()([shortcut, residual]))
        if filters < 64:
            x = pooling(pool_size=2, strides=2)(x)
    outputs = keras.layers.Dense(classes, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, outputs, name="resnet_small")


NETWORKS: dict[str, Callable[[Pooling, Sequence[int], int], Any]] = {
    "course": course_network,
    "vgg-small": vgg_small,
    "resnet-small": resnet_small,
    "all-conv": all_conv,
}
"""The networks of ours, by what users call them."""


def _layer_maker(pooling: Pooling) -> Callable[..., Any]:
    """What makes the pooling layers, called with pool_size and strides."""
    if isinstance(pooling, str):
        return partial(candidate(pooling).keras_layer, "sliding")
    if not callable(pooling):
        raise TypeError(f"pooling must be a name or make a layer when called, got {pooling!r}")
    return pooling


def _check_classes(classes: int) -> None:
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")


def _convolution_padding(height: int, width: int) -> str:
    return "same" if min(height, width) < COURSE_SIDE else "valid"


def _image_shape(input_shape: Sequence[int]) -> tuple[int, int, int]:
    if len(input_shape) != 3 or min(input_shape[:2]) < SMALLEST_SIDE or input_shape[2] < 1:
        rule = f"(height, width, channels) with sides of at least {SMALLEST_SIDE}"
        raise ValueError(f"input_shape must be {rule}, got {tuple(input_shape)}")
    height, width, channels = input_shape
    return height, width, channels
