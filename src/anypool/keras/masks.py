"""Keras's masks as `anypool.pool` takes them: which elements count, and which outputs do."""

from __future__ import annotations

from typing import Any

import keras

from anypool.functional import pool
from anypool.operators import Sum
from anypool.windows import Window


def over_elements(mask: Any, inputs: Any, channel_axis: int) -> Any:
    """A mask (batch, …), of the inputs' axes without the channels or of the first of them, so that it broadcasts."""
    ndim = len(inputs.shape)
    missing = ndim - 1 - len(mask.shape)
    if missing < 0 or not len(mask.shape):
        raise ValueError(
            f"mask must have the axes of inputs without the channels, or the first of them: inputs have shape "
            f"{tuple(inputs.shape)}, mask {tuple(mask.shape)}"
        )
    where = keras.ops.cast(mask, "bool")
    for _ in range(missing):
        where = keras.ops.expand_dims(where, -1)
    return keras.ops.expand_dims(where, ndim + channel_axis)


def over_outputs(where: Any, inputs: Any, window: Window, axes: tuple[int, ...], channel_axis: int, least: int) -> Any:
    """Which windows hold at least so many elements that count, with length 1 along the channels if these are not
    pooled."""
    of_all = inputs if channel_axis in axes else keras.ops.take(inputs, [0], axis=channel_axis)
    full = keras.ops.logical_and(where, keras.ops.ones_like(of_all, dtype="bool"))
    return pool(keras.ops.cast(full, "float32"), Sum(), window, axes) >= least
