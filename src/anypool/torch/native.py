"""Where torch's own operator is faster than a call of ours: on few elements, and small channels-last images.

Deciding, and autograd in Python, then take longer than pooling. How few is measured on two cores (docs/torch.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

CHANNELS = 32
"""Channels-last images of fewer channels count as if they were row-major."""


@dataclass(frozen=True)
class SizeLimit:
    """Up to how many elements, of all windows together: in inference, and in training."""

    rows: tuple[float, float] = (0, 2**11)
    """Of tensors in row-major order, or in any other but the next."""
    channels_last: tuple[float, float] | None = None
    """Of channels-last images."""

    def is_below(self, x: Tensor, overlap: float) -> tuple[bool, bool]:
        """Whether x, whose elements lie in so many windows each, has so few, in either case."""
        limits, images = self.rows, x.dim() == 4 and not x.is_contiguous()
        if self.channels_last and images and x.shape[1] >= CHANNELS:
            limits = self.channels_last if x.is_contiguous(memory_format=torch.channels_last) else limits
        inference, training = (0 < x.numel() * overlap <= limit for limit in limits)
        return inference, training


NEVER = (False, False)


@dataclass(frozen=True)
class Native:
    """An operator of torch that takes a tensor, the arguments of an operator, and of a window."""

    call: Callable[[Tensor, Any, Any], Tensor]
    limit: SizeLimit = SizeLimit()
    whole: SizeLimit | None = None
    """As `limit`, where all of an image goes into one output."""

    def is_faster(self, x: Tensor, rank: int, window: Any) -> tuple[bool, bool]:
        """Whether it means the same and is faster: in inference, and in training."""
        if x.dtype not in (torch.float32, torch.float64) or not rank < x.dim() <= rank + 2:
            return NEVER
        if rank == 3 and not x.is_contiguous():  # of which torch's own take only some
            return NEVER
        if len(window) == 1:
            limit = self.whole if self.whole and window[0] in (1, (1,) * rank) else self.limit
            return limit.is_below(x, 1.0)
        return self.limit.is_below(x, _overlap(rank, *window))


def _overlap(rank: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> float:
    """In how many windows an element lies, about; infinite where torch's own operators do not take these windows.

    They take integers, padding up to half the kernel and no dilation.
    """
    sizes, steps, pads, gaps = (
        value if isinstance(value, tuple) else (value,) * rank for value in (kernel_size, stride, padding, dilation)
    )
    if not all(isinstance(value, int) for value in (*sizes, *steps, *pads, *gaps)) or set(gaps) != {1}:
        return math.inf
    if any(2 * pad > size for pad, size in zip(pads, sizes, strict=True)):
        return math.inf
    return math.prod(sizes) / math.prod(steps)


def _windowed(function: Callable[..., Tensor]) -> Callable[[Tensor, Any, Any], Tensor]:
    """Of an operator that takes a tensor and the arguments of a window: max pooling, and all that is adaptive."""
    return lambda x, operator, window: function(x, *window)


def _average(function: Callable[..., Tensor], settings: int = 2) -> Callable[[Tensor, Any, Any], Tensor]:
    """Of an average that takes so many of the arguments of `Average`."""

    def call(x: Tensor, operator: Any, window: Any) -> Tensor:
        kernel_size, stride, padding, _, ceil_mode = window
        return function(x, kernel_size, stride, padding, ceil_mode, *operator[:settings])

    return call


MAX_1D = Native(_windowed(torch.max_pool1d))
MAX_2D = Native(_windowed(torch.max_pool2d), SizeLimit(rows=(0, 2**14), channels_last=(0, 2**16)))
MAX_3D = Native(_windowed(torch.max_pool3d))
AVERAGE_1D = Native(_average(torch.avg_pool1d, settings=1))
AVERAGE_2D = Native(_average(F.avg_pool2d), SizeLimit(rows=(0, 2**14), channels_last=(0, 2**18)))
AVERAGE_3D = Native(_average(F.avg_pool3d))
ADAPTIVE_MAX_1D = Native(_windowed(F.adaptive_max_pool1d))
ADAPTIVE_MAX_2D = Native(_windowed(F.adaptive_max_pool2d), SizeLimit(rows=(0, 2**15), channels_last=(0, 2**17)))
ADAPTIVE_MAX_3D = Native(_windowed(F.adaptive_max_pool3d))
ADAPTIVE_AVERAGE_1D = Native(_windowed(F.adaptive_avg_pool1d))
ADAPTIVE_AVERAGE_2D = Native(
    _windowed(F.adaptive_avg_pool2d),
    SizeLimit(channels_last=(2**17, 2**17)),
    whole=SizeLimit(rows=(0, 2**17), channels_last=(0, 2**11)),
)
ADAPTIVE_AVERAGE_3D = Native(_windowed(F.adaptive_avg_pool3d))
