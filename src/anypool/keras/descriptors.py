"""Layers for descriptors, which hold what is learned of them: attention, covariances, residuals to centres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from anypool.arguments import as_flag, as_integer, as_number
from anypool.descriptors import attention_pool, covariance_pool, gated_attention_pool, net_vlad
from anypool.keras import masks
from anypool.keras.bases import Shape, channels_of, loadable


class Descriptor(keras.layers.Layer):
    """What the layers share: all axes but the batch and the channels are pooled, and a mask, which says what of them
    counts, ends here.

    Args:
        data_format: "channels_last" (batch, …, channels) or "channels_first" (batch, channels, …); default: Keras's.
    """

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = channels_of(data_format)
        self.input_spec = keras.layers.InputSpec(min_ndim=3)
        self.supports_masking = True

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: the mask ends here."""
        return None

    def _channels(self, shape: Sequence[int | None]) -> int:
        number = shape[-1 if self.data_format == "channels_last" else 1]
        if number is None:
            raise ValueError(f"{type(self).__name__} needs a known number of channels, got input_shape {tuple(shape)}")
        return number

    def _where(self, inputs: Any, mask: Any) -> dict[str, Any]:
        """The arguments of a descriptor that say what is pooled."""
        ndim = len(inputs.shape)
        channels = ndim - 1 if self.data_format == "channels_last" else 1
        axes = tuple(axis for axis in range(1, ndim) if axis != channels)
        where = None if mask is None else masks.over_elements(mask, inputs, channels - ndim)
        return {"axes": axes, "channel_axis": channels, "where": where}

    def _weight(self, name: str, shape: tuple[int, ...], initializer: Any) -> Any:
        return self.add_weight(shape=shape, initializer=initializer, name=name)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


@loadable
class AttentionPooling(Descriptor):
    """The average of vectors weighted by how well they answer a learned query: (batch, …, C) to (batch, C).

    Args:
        num_heads: how many queries, each for its part of the channels.
        data_format: "channels_last" (batch, …, channels) or "channels_first" (batch, channels, …); default: Keras's.

    The query starts at 0, which is the average. Source: Ilse et al. 2018, arXiv 1802.04712. See
    `anypool.attention_pool`.
    """

    def __init__(self, num_heads: int = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.num_heads = as_integer("num_heads", num_heads, 1)

    def build(self, input_shape: Sequence[int | None]) -> None:
        channels = self._channels(input_shape)
        if channels % self.num_heads:
            raise ValueError(f"the channels must be a multiple of num_heads, got {channels} and {self.num_heads}")
        self.query = self._weight("query", (self.num_heads, channels // self.num_heads), "zeros")
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return attention_pool(inputs, keras.ops.convert_to_tensor(self.query), **self._where(inputs, mask))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        return input_shape[0], self._channels(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_heads": self.num_heads}


@loadable
class GatedAttentionPooling(Descriptor):
    """The average of vectors weighted by a small gated network that is learned: (batch, …, C) to (batch, C).

    Args:
        hidden_units: the width of the network.
        data_format: "channels_last" (batch, …, channels) or "channels_first" (batch, channels, …); default: Keras's.

    Source: Ilse et al. 2018, arXiv 1802.04712. See `anypool.gated_attention_pool`.
    """

    def __init__(self, hidden_units: int = 128, data_format: str | None = None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.hidden_units = as_integer("hidden_units", hidden_units, 1)

    def build(self, input_shape: Sequence[int | None]) -> None:
        shape, bound = (self._channels(input_shape), self.hidden_units), 1 / math.sqrt(self.hidden_units)
        self.value, self.gate = (self._weight(name, shape, "glorot_uniform") for name in ("value", "gate"))
        self.score = self._weight("score", shape[1:], keras.initializers.RandomUniform(-bound, bound))
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        learned = map(keras.ops.convert_to_tensor, (self.value, self.gate, self.score))
        return gated_attention_pool(inputs, *learned, **self._where(inputs, mask))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        return input_shape[0], self._channels(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden_units": self.hidden_units}


@loadable
class CovariancePooling(Descriptor):
    """The matrix square root of the covariances of the channels (iSQRT-COV): (batch, …, C) to (batch, C(C + 1)/2).

    Args:
        iterations: of Newton and Schulz; 0 gives the covariances themselves.
        triangle: whether to give the upper triangle alone; otherwise (batch, C, C).
        data_format: "channels_last" (batch, …, channels) or "channels_first" (batch, channels, …); default: Keras's.

    Source: Li et al. 2018, arXiv 1712.01034. See `anypool.covariance_pool`.
    """

    def __init__(
        self, iterations: int = 5, triangle: bool = True, data_format: str | None = None, **options: Any
    ) -> None:
        super().__init__(data_format, **options)
        self.iterations, self.triangle = as_integer("iterations", iterations, 0), as_flag("triangle", triangle)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return covariance_pool(inputs, self.iterations, triangle=self.triangle, **self._where(inputs, mask))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        channels = self._channels(input_shape)
        return (
            (input_shape[0], channels * (channels + 1) // 2) if self.triangle else (input_shape[0], channels, channels)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "iterations": self.iterations, "triangle": self.triangle}


@loadable
class NetVLAD(Descriptor):
    """The residuals of vectors to learned centres: (batch, …, C) to (batch, K·C).

    Args:
        num_clusters: the centres K.
        alpha: how sharp the assignment to centres starts.
        normalize_input: whether vectors are brought to length 1 before.
        data_format: "channels_last" (batch, …, channels) or "channels_first" (batch, channels, …); default: Keras's.

    `start_from` takes centres that k-means found. Source: Arandjelović et al. 2016, arXiv 1511.07247. See
    `anypool.net_vlad`.
    """

    def __init__(
        self,
        num_clusters: int = 64,
        alpha: float = 100.0,
        normalize_input: bool = True,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(data_format, **options)
        self.num_clusters, self.alpha = as_integer("num_clusters", num_clusters, 1), as_number("alpha", alpha)
        self.normalize_input = as_flag("normalize_input", normalize_input)

    def build(self, input_shape: Sequence[int | None]) -> None:
        channels = self._channels(input_shape)
        self.centers = self._weight("centers", (self.num_clusters, channels), "random_normal")
        self.kernel = self._weight("kernel", (channels, self.num_clusters), "zeros")
        self.bias = self._weight("bias", (self.num_clusters,), "zeros")
        self.built = True
        directions = keras.ops.convert_to_numpy(self.centers)
        self.start_from(directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12))

    def start_from(self, centers: Any) -> None:
        """Take these centres (K, C), and assign by distance to them."""
        given = np.asarray(centers, np.float32)
        if given.shape != tuple(self.centers.shape):
            raise ValueError(f"centers must have shape {tuple(self.centers.shape)}, got {given.shape}")
        self.centers.assign(given)
        self.kernel.assign(2 * self.alpha * given.T)
        self.bias.assign(-self.alpha * (given**2).sum(1))

    def call(self, inputs: Any, mask: Any = None) -> Any:
        learned = map(keras.ops.convert_to_tensor, (self.centers, self.kernel, self.bias))
        return net_vlad(inputs, *learned, normalize_input=self.normalize_input, **self._where(inputs, mask))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        return input_shape[0], self.num_clusters * self._channels(input_shape)

    def get_config(self) -> dict[str, Any]:
        own = {"num_clusters": self.num_clusters, "alpha": self.alpha, "normalize_input": self.normalize_input}
        return {**super().get_config(), **own}
