"""torch's own operators: what they take, and where they are faster than a call of ours, on few elements and small
channels-last images.

Deciding, and autograd in Python, then take longer than pooling. How few is measured on two cores (docs/torch.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from marshal import dumps
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


NEVER, ALWAYS = (False, False), (True, True)


@dataclass(frozen=True)
class Native:
    """An operator of torch that takes a tensor, the arguments of an operator, and of a window."""

    call: Callable[[Tensor, Any, Any], Tensor]
    with_indices: Callable[[Tensor, Any, Any], tuple[Tensor, Tensor]] | None = None
    limit: SizeLimit = SizeLimit()
    whole: SizeLimit | None = None
    """As `limit`, where all of an image goes into one output."""

    def run(self, x: Tensor, operator: Any, window: Any, return_indices: bool) -> Any:
        """The values, or (values, indices)."""
        call = self.with_indices if return_indices and self.with_indices is not None else self.call
        return call(x, operator, window)

    def is_faster(self, x: Tensor, rank: int, operator: Any, window: Any) -> tuple[bool, bool]:
        """Whether it means the same and is faster: in inference, and in training."""
        if x.dtype not in (torch.float32, torch.float64) or not takes(x, rank, operator, window):
            return NEVER
        if rank == 3 and not x.is_contiguous():  # of which torch's own take only some
            return NEVER
        if len(window) == 1:
            limit = self.whole if self.whole and window[0] in (1, (1,) * rank) else self.limit
            return limit.is_below(x, 1.0)
        return self.limit.is_below(x, _overlap(rank, *window))


def takes(x: Tensor, rank: int, operator: Any, window: Any) -> bool:
    """Whether torch's own operators take such tensors with these settings, and mean by them what we do.

    They take one or two axes before the pooled ones, plain integers and booleans, padding up to half the kernel, and
    dilation for a max alone.
    """
    if not rank < x.dim() <= rank + 2 or not _takes_settings(rank, operator, window):
        return False
    return rank < 3 or len(window) == 1 or operator == "max" or _takes_volumes(x, window[0])


def _takes_settings(rank: int, operator: Any, window: Any) -> bool:
    if torch.compiler.is_compiling():
        return _are_torchs(rank, operator, window)
    try:
        key = dumps((rank, operator, window), 2)  # unlike a tuple's hash it tells 2 from 2.0
    except ValueError:  # these are no plain settings
        return False
    if key not in _TAKEN:
        if len(_TAKEN) >= _MOST_TAKEN:
            _TAKEN.clear()
        _TAKEN[key] = _are_torchs(rank, operator, window)
    return _TAKEN[key]


_TAKEN: dict[bytes, bool] = {}
_MOST_TAKEN = 4096


def _are_torchs(rank: int, operator: Any, window: Any) -> bool:
    if len(window) == 1:
        (sizes,) = window
        if not isinstance(sizes, tuple):
            return type(sizes) is int
        return len(sizes) == rank and all(type(n) is int or (n is None and rank > 1) for n in sizes)
    if type(window[-1]) is not bool or (isinstance(operator, tuple) and not _takes_average(rank, *operator)):
        return False
    kernel_size, stride, padding, dilation, _ = window
    each = [
        _per_axis(value, rank) for value in (kernel_size, kernel_size if stride == () else stride, padding, dilation)
    ]
    if not all(len(entries) == rank and all(type(n) is int for n in entries) for entries in each):
        return False
    kernel, steps, pads, gaps = each
    half = all(0 <= 2 * pad <= size for pad, size in zip(pads, kernel, strict=True))
    if min(kernel) <= 0 or min(steps) <= 0 or not half:
        return False
    return min(gaps) > 0 if operator == "max" else set(gaps) == {1}


def _takes_volumes(x: Tensor, kernel_size: Any) -> bool:
    """Whether torch's average over three axes does: not of half precision, nor of axes shorter than the window."""
    fits = all(size <= length for size, length in zip(_per_axis(kernel_size, 3), x.shape[-3:], strict=True))
    return fits and x.dtype not in (torch.float16, torch.bfloat16)


def _takes_average(rank: int, count_include_pad: Any, divisor_override: Any) -> bool:
    divisors = divisor_override is None or (rank > 1 and type(divisor_override) is int and divisor_override != 0)
    return type(count_include_pad) is bool and divisors


def _per_axis(value: Any, rank: int) -> tuple[Any, ...]:
    """An entry per axis: an integer, or an entry alone, is for every one."""
    return (value if len(value) > 1 else value * rank) if isinstance(value, tuple) else (value,) * rank


def _overlap(rank: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> float:
    """In how many windows an element lies, about; infinite where windows are dilated."""
    sizes, steps, gaps = (_per_axis(value, rank) for value in (kernel_size, stride, dilation))
    return math.prod(sizes) / math.prod(steps) if set(gaps) == {1} else math.inf


def _windowed(function: Callable[..., Any]) -> Callable[[Tensor, Any, Any], Any]:
    """Of an operator that takes a tensor and the arguments of a window: max pooling, and all that is adaptive."""
    return lambda x, operator, window: function(x, *window)


def _average(function: Callable[..., Tensor], settings: int = 2) -> Callable[[Tensor, Any, Any], Tensor]:
    """Of an average that takes so many of the arguments of `Average`."""

    def call(x: Tensor, operator: Any, window: Any) -> Tensor:
        kernel_size, stride, padding, _, ceil_mode = window
        return function(x, kernel_size, stride, padding, ceil_mode, *operator[:settings])

    return call


MAX_1D = Native(_windowed(torch.max_pool1d), _windowed(F.max_pool1d_with_indices))
MAX_2D = Native(
    _windowed(torch.max_pool2d),
    _windowed(F.max_pool2d_with_indices),
    SizeLimit(rows=(0, 2**14), channels_last=(0, 2**16)),
)
MAX_3D = Native(_windowed(torch.max_pool3d), _windowed(F.max_pool3d_with_indices))
AVERAGE_1D = Native(_average(torch.avg_pool1d, settings=1))
AVERAGE_2D = Native(_average(F.avg_pool2d), limit=SizeLimit(rows=(0, 2**14), channels_last=(0, 2**18)))
AVERAGE_3D = Native(_average(F.avg_pool3d))
ADAPTIVE_MAX_1D = Native(_windowed(F.adaptive_max_pool1d), _windowed(F.adaptive_max_pool1d_with_indices))
ADAPTIVE_MAX_2D = Native(
    _windowed(F.adaptive_max_pool2d),
    _windowed(F.adaptive_max_pool2d_with_indices),
    SizeLimit(rows=(0, 2**15), channels_last=(0, 2**17)),
)
ADAPTIVE_MAX_3D = Native(_windowed(F.adaptive_max_pool3d), _windowed(F.adaptive_max_pool3d_with_indices))
ADAPTIVE_AVERAGE_1D = Native(_windowed(F.adaptive_avg_pool1d))
ADAPTIVE_AVERAGE_2D = Native(
    _windowed(F.adaptive_avg_pool2d),
    limit=SizeLimit(channels_last=(2**17, 2**17)),
    whole=SizeLimit(rows=(0, 2**17), channels_last=(0, 2**11)),
)
ADAPTIVE_AVERAGE_3D = Native(_windowed(F.adaptive_avg_pool3d))
