"""What modules and accelerated functions compute: torch's arguments as poolings, with torch's conventions.

A window without any element gives the identity here, −inf for a max, as in torch; the package's functions refuse it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from anypool.arrays import Adapter
from anypool.arrays.torch import ADAPTER
from anypool.functional import decide, max_unpool, run
from anypool.operators import Average, Lp, Max, Min, Operator
from anypool.windows import Adaptive, Global, Sliding, per_axis

AXES = {1: (-1,), 2: (-2, -1), 3: (-3, -2, -1)}
"""The pooled axes by their number: the last ones."""


def pool(x: Tensor, rank: int, operator: Any, window: Any, return_indices: bool = False) -> Any:
    """Pool the last `rank` axes; operator and window are such, or the arguments of `Average` and `Sliding`."""
    return ADAPTER.call(_pool, x, rank, operator, window, return_indices)


def _pool(adapter: Adapter, x: Any, rank: int, operator: Any, window: Any, return_indices: bool) -> Any:
    if not isinstance(x, Tensor):
        raise TypeError(f"input must be a Tensor, got {type(x).__name__}")
    x = adapter.array(x)
    if isinstance(window, tuple):
        window = (window[0], _stride(window[1]), *window[2:])
    pooling = decide(adapter, x, operator, window, AXES[rank], return_indices, None, True)
    return run(adapter, x, pooling)


def sliding(
    kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Sliding:
    """The window of torch's arguments."""
    return Sliding(kernel_size, _stride(stride), padding, dilation, ceil_mode)


def _stride(stride: Any) -> Any:
    """An empty stride means none."""
    return None if stride in ((), []) else stride


EVERYTHING = Global()


def norm(norm_type: float) -> Operator:
    """The operator of a norm; where it is infinite, of the magnitudes."""
    return {math.inf: Max(), -math.inf: Min()}.get(norm_type) or Lp(norm_type)


def adaptive(output_size: Any) -> Adaptive:
    return Adaptive(tuple(output_size) if isinstance(output_size, list) else output_size)


TINY = 2048
"""Up to so many elements torch's own operators are faster, because deciding takes longer than pooling."""
_FLOATS = (torch.float32, torch.float64)
_compiling, _transforming = torch.compiler.is_compiling, torch._C._are_functorch_transforms_active


def is_tiny(x: Tensor, rank: int) -> bool:
    """Whether x is one of those that torch's own operators serve faster."""
    return _is_plain(x, TINY) and x.dtype in _FLOATS and rank < x.dim() <= rank + 2


def _is_plain(x: Tensor, most: int) -> bool:
    """Whether x is a dense tensor of up to so many elements on the CPU, and nobody traces or transforms the call."""
    if _compiling() or type(x) is not Tensor or not 0 < x.numel() <= most:
        return False
    return x.is_cpu and x.layout is torch.strided and not _transforming()


FEW_CHANNELS = 32
"""Channels-last images of fewer are the kernels' whatever their size."""


def is_few(x: Tensor, reads: int, kernel_size: Any, stride: Any) -> bool:
    """Whether x is of those small channels-last images whose windows hold up to `reads` elements in all.

    There torch's own two-dimensional operators are faster by what a call of ours costs. With a gradient to come they
    would save eight bytes per output or the whole input, so that then the kernels stay.
    """
    if not _is_plain(x, reads) or x.dtype is not torch.float32 or x.dim() != 4 or x.shape[1] < FEW_CHANNELS:
        return False
    if x.requires_grad and torch.is_grad_enabled():
        return False
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return False
    return x.numel() * _reads_per_element(kernel_size, stride) <= reads


@lru_cache(maxsize=1024)
def _reads_per_element(kernel_size: Any, stride: Any) -> float:
    """How many windows an element lies in, about; TypeError for lists, which the window's checks know."""
    areas = [math.prod(size) if isinstance(size, tuple) else size**2 for size in (kernel_size, stride)]
    return areas[0] / areas[1]


@lru_cache(maxsize=1024)
def is_torchs(kernel_size: Any, padding: Any, dilation: Any) -> bool:
    """Whether torch's own operators take this window: integers only, padding up to half the kernel, no dilation."""
    sizes, pads = (value if isinstance(value, tuple) else (value,) for value in (kernel_size, padding))
    if dilation not in (1, (1,) * len(sizes)) or not all(isinstance(pad, int) for pad in pads):
        return False
    return 2 * max(pads) <= min(sizes)


def lp_pool(
    x: Tensor, rank: int, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """torch's own p-norm pooling: (k·average of xᵖ)^(1/p), without magnitudes and with every window counted as full."""
    if math.isinf(norm_type):
        return pool(x.abs(), rank, norm(norm_type), (kernel_size, stride, 0, 1, ceil_mode))
    mean = pool(x.pow(norm_type), rank, Average(), (kernel_size, stride, 0, 1, ceil_mode))
    size = math.prod(kernel_size) if isinstance(kernel_size, Sequence) else kernel_size**rank
    return (torch.sign(mean) * torch.relu(torch.abs(mean)) * size).pow(1.0 / norm_type)


def unpool(
    x: Tensor,
    indices: Tensor,
    rank: int,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Sequence[int] | None,
) -> Tensor:
    """Pooled values back in their places; `output_size` is near the default, as in torch, and may hold all axes."""
    if output_size is None:
        return max_unpool(x, indices, kernel_size, stride, padding, axes=AXES[rank])
    sizes: Any = per_axis("output_size", tuple(output_size)[-rank:], 1)
    if len(output_size) not in (rank, x.dim()):
        raise ValueError(f"output_size must have {rank} or {x.dim()} entries, got {tuple(output_size)}")
    window: Any = sliding(kernel_size, stride, padding)
    usual = window.unpooled_shape(x.shape[-rank:])
    strides = window.stride if isinstance(window.stride, tuple) else (window.stride,) * rank
    for size, near, step in zip(sizes, usual, strides, strict=True):
        if not near - step < size < near + step:
            raise ValueError(
                f"output_size must be within one stride of {usual}, what this window gives, got {tuple(output_size)}"
            )
    return max_unpool(x, indices, kernel_size, stride, padding, sizes, axes=AXES[rank])
