"""Modules for poolings of several regions at once, without parameters: pyramids, regional maxima, boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anypool.arguments import as_flag, as_integer, as_number, per_axis
from anypool.boxes import both_sizes, roi_align, roi_pool
from anypool.operators import Operator, operator_for
from anypool.regions import pyramid_pool, rmac, spatial_pyramid


class SpatialPyramid(torch.nn.Module):
    """Spatial pyramid pooling of the last two axes: (N, C, H, W) to (N, C, Σ level²), whatever H and W.

    Args:
        operator: what to keep of a window, or its name. levels: windows along each axis, level by level.

    Source: He et al. 2014, arXiv 1406.4729. See `anypool.spatial_pyramid`.

    >>> SpatialPyramid(levels=(1, 2))(torch.ones(1, 3, 9, 7)).shape
    torch.Size([1, 3, 5])
    """

    def __init__(self, operator: Operator | str = "max", levels: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        self.operator, self.levels = operator_for(operator), per_axis("levels", levels, 1)

    def forward(self, input: Tensor, where: Tensor | None = None) -> Tensor:
        result: Tensor = spatial_pyramid(input, self.operator, self.levels, where=where)
        return result

    def extra_repr(self) -> str:
        return f"{self.operator}, levels={self.levels}"


class PyramidPooling(torch.nn.Module):
    """The pyramid pooling of PSPNet without its convolutions: (N, C, H, W) to (N, C·(1 + levels), H, W).

    Args:
        levels: windows along each axis, level by level. operator: what to keep of a window, or its name.
        align_corners: as in `anypool.pyramid_pool`.

    Source: Zhao et al. 2017, arXiv 1612.01105. See `anypool.pyramid_pool`.

    >>> PyramidPooling()(torch.ones(1, 3, 9, 7)).shape
    torch.Size([1, 15, 9, 7])
    """

    def __init__(
        self,
        levels: Sequence[int] = (1, 2, 3, 6),
        operator: Operator | str = "average",
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        self.levels, self.operator = per_axis("levels", levels, 1), operator_for(operator)
        self.align_corners = as_flag("align_corners", align_corners)

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = pyramid_pool(input, self.levels, self.operator, align_corners=self.align_corners)
        return result

    def extra_repr(self) -> str:
        return f"levels={self.levels}, {self.operator}, align_corners={self.align_corners}"


class RMAC(torch.nn.Module):
    """Regional maximum activations: (N, C, H, W) to vectors (N, C) of length 1.

    Args:
        levels: how many sizes of regions. operator: what to keep of a region, or its name.
        eps: the least norm that a vector is divided by.

    Source: Tolias, Sicre, Jégou 2016, arXiv 1511.05879. See `anypool.rmac`.

    >>> RMAC()(torch.ones(1, 4, 9, 7))
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]])
    """

    def __init__(self, levels: int = 3, operator: Operator | str = "max", eps: float = 1e-6) -> None:
        super().__init__()
        self.levels, self.operator = as_integer("levels", levels, 1), operator_for(operator)
        self.eps = as_number("eps", eps)

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = rmac(input, self.levels, self.operator, eps=self.eps)
        return result

    def extra_repr(self) -> str:
        return f"levels={self.levels}, {self.operator}, eps={self.eps}"


class RegionPool(torch.nn.Module):
    """The greatest elements of the bins of every box; arguments are those of `torchvision.ops.RoIPool`.

    Source: Girshick 2015, arXiv 1504.08083. See `anypool.roi_pool`.

    >>> RegionPool(2)(torch.ones(1, 3, 8, 8), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]).shape
    torch.Size([1, 3, 2, 2])
    """

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float = 1.0) -> None:
        super().__init__()
        self.output_size = both_sizes(output_size)
        self.spatial_scale = as_number("spatial_scale", spatial_scale)

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        result: Tensor = roi_pool(input, rois, self.output_size, self.spatial_scale)
        return result

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, spatial_scale={self.spatial_scale}"


class RegionAlign(torch.nn.Module):
    """The averages of the bins of every box by bilinear interpolation; arguments are those of
    `torchvision.ops.RoIAlign`.

    Source: He et al. 2017, arXiv 1703.06870. See `anypool.roi_align`.

    >>> RegionAlign(2, 1.0, 2)(torch.ones(1, 3, 8, 8), torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])).shape
    torch.Size([1, 3, 2, 2])
    """

    def __init__(
        self,
        output_size: int | Sequence[int],
        spatial_scale: float = 1.0,
        sampling_ratio: int = -1,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.output_size = both_sizes(output_size)
        self.spatial_scale = as_number("spatial_scale", spatial_scale)
        self.sampling_ratio = as_integer("sampling_ratio", sampling_ratio, -1)
        self.aligned = as_flag("aligned", aligned)

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        sampling = self.sampling_ratio, self.aligned
        result: Tensor = roi_align(input, rois, self.output_size, self.spatial_scale, *sampling)
        return result

    def extra_repr(self) -> str:
        scale = f"output_size={self.output_size}, spatial_scale={self.spatial_scale}"
        return f"{scale}, sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"
