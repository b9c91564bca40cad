"""Layers for poolings of several regions at once, without weights: pyramids, regional maxima, boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from anypool.arguments import as_flag, as_integer, as_number, per_axis
from anypool.boxes import both_sizes, roi_align, roi_pool
from anypool.keras.bases import Shape, channels_of, loadable
from anypool.operators import Operator, operator_for
from anypool.regions import pyramid_pool, rmac, spatial_pyramid
from anypool.saving import from_config, to_config


class Regions(keras.layers.Layer):
    """What the layers share: images (batch, H, W, channels) or (batch, channels, H, W).

    Args:
        data_format: "channels_last" or "channels_first"; default: Keras's.
    """

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = channels_of(data_format)
        self.axes = (1, 2) if self.data_format == "channels_last" else (2, 3)
        self.channel_axis = 3 if self.data_format == "channels_last" else 1

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class OfOperator(Regions):
    """Those that keep of every region what an operator says."""

    def __init__(self, operator: Any, levels: Any, data_format: str | None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.operator: Operator = operator_for(from_config(operator) if isinstance(operator, dict) else operator)
        self.levels = levels
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "operator": to_config(self.operator), "levels": self.levels}


@loadable
class SpatialPyramid(OfOperator):
    """Spatial pyramid pooling: (batch, H, W, channels) to (batch, Σ level², channels), whatever H and W.

    Args:
        operator: what to keep of a window, or its name. levels: windows along each axis, level by level.
        data_format: "channels_last" or "channels_first"; default: Keras's.

    Source: He et al. 2014, arXiv 1406.4729. See `anypool.spatial_pyramid`.
    """

    def __init__(
        self,
        operator: Operator | str | dict[str, Any] = "max",
        levels: Sequence[int] = (1, 2, 4),
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(operator, tuple(per_axis("levels", levels, 1)), data_format, **options)

    def call(self, inputs: Any) -> Any:
        return spatial_pyramid(inputs, self.operator, self.levels, self.axes)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        bins, channels = sum(level**2 for level in self.levels), input_shape[self.channel_axis]
        return (input_shape[0], *((bins, channels) if self.channel_axis == 3 else (channels, bins)))


@loadable
class PyramidPooling(OfOperator):
    """The pyramid pooling of PSPNet without its convolutions: images with (1 + levels) times the channels.

    Args:
        levels: windows along each axis, level by level. operator: what to keep of a window, or its name.
        align_corners: as in `anypool.pyramid_pool`.
        data_format: "channels_last" or "channels_first"; default: Keras's.

    Source: Zhao et al. 2017, arXiv 1612.01105. See `anypool.pyramid_pool`.
    """

    def __init__(
        self,
        levels: Sequence[int] = (1, 2, 3, 6),
        operator: Operator | str | dict[str, Any] = "average",
        align_corners: bool = True,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(operator, tuple(per_axis("levels", levels, 1)), data_format, **options)
        self.align_corners = as_flag("align_corners", align_corners)

    def call(self, inputs: Any) -> Any:
        channels: dict[str, Any] = {"channel_axis": self.channel_axis, "align_corners": self.align_corners}
        return pyramid_pool(inputs, self.levels, self.operator, self.axes, **channels)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        shape, axis = list(input_shape), self.channel_axis
        number = shape[axis]
        shape[axis] = None if number is None else number * (1 + len(self.levels))
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "align_corners": self.align_corners}


@loadable
class RMAC(OfOperator):
    """Regional maximum activations: images to vectors (batch, channels) of length 1.

    Args:
        levels: how many sizes of regions. operator: what to keep of a region, or its name.
        eps: the least norm that a vector is divided by.
        data_format: "channels_last" or "channels_first"; default: Keras's.

    Images must have a known size. Source: Tolias, Sicre, Jégou 2016, arXiv 1511.05879. See `anypool.rmac`.
    """

    def __init__(
        self,
        levels: int = 3,
        operator: Operator | str | dict[str, Any] = "max",
        eps: float = 1e-6,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(operator, as_integer("levels", levels, 1), data_format, **options)
        self.eps = as_number("eps", eps)

    def call(self, inputs: Any) -> Any:
        return rmac(inputs, self.levels, self.operator, self.axes, channel_axis=self.channel_axis, eps=self.eps)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        return input_shape[0], input_shape[self.channel_axis]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "eps": self.eps}


@loadable
class RegionPooling(Regions):
    """The greatest elements of the bins of every box: called with a pair, images and boxes (K, 5).

    Args:
        output_size: bins along both axes, an int or (rows, columns). spatial_scale: elements of the map per unit of the
            boxes. data_format: "channels_last" or "channels_first"; default: Keras's.

    Source: Girshick 2015, arXiv 1504.08083. See `anypool.roi_pool`.
    """

    def __init__(
        self,
        output_size: int | Sequence[int],
        spatial_scale: float = 1.0,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(data_format, **options)
        self.output_size, self.spatial_scale = both_sizes(output_size), as_number("spatial_scale", spatial_scale)

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, Sequence) or len(inputs) != 2:
            raise TypeError(f"inputs must be a pair of images and boxes, got {type(inputs).__name__}")
        images, boxes = inputs
        if self.channel_axis == 1:
            return self._pool(images, boxes)
        return keras.ops.transpose(self._pool(keras.ops.transpose(images, (0, 3, 1, 2)), boxes), (0, 2, 3, 1))

    def _pool(self, images: Any, boxes: Any) -> Any:
        return roi_pool(images, boxes, self.output_size, self.spatial_scale)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        images, boxes = input_shape
        channels = images[self.channel_axis]
        own = (*self.output_size, channels) if self.channel_axis == 3 else (channels, *self.output_size)
        return (boxes[0], *own)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_size": self.output_size, "spatial_scale": self.spatial_scale}


@loadable
class RegionAlign(RegionPooling):
    """The averages of the bins of every box by bilinear interpolation: called with a pair, images and boxes (K, 5).

    Args:
        output_size, spatial_scale, data_format: as in RegionPooling. sampling_ratio, aligned: as in
            `anypool.roi_align`; a compiled program needs a sampling ratio.

    Source: He et al. 2017, arXiv 1703.06870. See `anypool.roi_align`.
    """

    def __init__(
        self,
        output_size: int | Sequence[int],
        spatial_scale: float = 1.0,
        sampling_ratio: int = -1,
        aligned: bool = False,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(output_size, spatial_scale, data_format, **options)
        self.sampling_ratio = as_integer("sampling_ratio", sampling_ratio, -1)
        self.aligned = as_flag("aligned", aligned)

    def _pool(self, images: Any, boxes: Any) -> Any:
        return roi_align(images, boxes, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sampling_ratio": self.sampling_ratio, "aligned": self.aligned}
