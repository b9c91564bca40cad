"""What modules and accelerated functions compute: torch's arguments as poolings, with torch's conventions.

A window without any element gives the identity here, −inf for a max, as in torch; the package's functions refuse it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anypool import calls
from anypool.adapters.base import Adapter
from anypool.adapters.torch import eager
from anypool.adapters.torch.adapter import ADAPTER, is_plain
from anypool.arguments import per_axis
from anypool.operators import Average, Lp, Max, Min, Operator
from anypool.pooling import Pooling, cleared_with_caches, decide
from anypool.torch.native import NEVER, Native
from anypool.windows import Adaptive, Global, Sliding, Window

AXES = {1: (-1,), 2: (-2, -1), 3: (-3, -2, -1)}
"""The pooled axes by their number: the last ones."""


def pool(
    x: Tensor, rank: int, operator: Any, window: Any, return_indices: bool = False, native: Native | None = None
) -> Any:
    """Pool the last `rank` axes; operator and window are such, or the arguments of `Average`, `Sliding` or `Adaptive`.

    `native` is torch's own operator for these arguments, which has what it pools faster.
    """
    if is_plain(x):
        key = rank, operator, window, return_indices, x.shape, x.stride(), x.dtype
        try:
            compiled, is_small = _CACHE.get(key) or _cache(x, key, native)
        except (RuntimeError, TypeError, ValueError):  # what is wrong is told below
            compiled = None
        if compiled is not None:
            needs_grad = x.requires_grad and _grad_enabled()
            if native is not None and is_small[needs_grad]:
                return native.call(x, operator, window)
            return eager.run_compiled(x, compiled) if needs_grad or return_indices else compiled.values(x)
    return ADAPTER.call(_pool, x, rank, operator, window, return_indices)


_grad_enabled = torch.is_grad_enabled

Cached = tuple[eager.CompiledPooling | None, tuple[bool, bool]]
"""The kernel, if there is one, and whether torch's own operator is faster: in inference, and in training."""
_CACHE: dict[Any, Cached] = {}
_LARGEST_CACHE = 4096


def _cache(x: Tensor, key: tuple[Any, ...], native: Native | None) -> Cached:
    """What there is for tensors like x, cached by all that it depends on."""
    rank, operator, window, return_indices = key[:4]
    pooling = _decided(ADAPTER, x, rank, operator, window, return_indices)
    known: Cached = None, NEVER
    if eager.refusal(pooling) is None:
        is_small = NEVER if native is None or return_indices else native.is_faster(x, rank, window)
        known = eager.compiled_for(x, pooling), is_small
    if len(_CACHE) >= _LARGEST_CACHE:
        _CACHE.clear()
    _CACHE[key] = known
    return known


cleared_with_caches(_CACHE.clear)


def _pool(adapter: Adapter, x: Any, rank: int, operator: Any, window: Any, return_indices: bool) -> Any:
    if not isinstance(x, Tensor):
        raise TypeError(f"input must be a Tensor, got {type(x).__name__}")
    x = adapter.array(x)
    return calls.run(adapter, x, _decided(adapter, x, rank, operator, window, return_indices))


def pool_any(
    x: Tensor, operator: Operator, window: Window, axes: tuple[int, ...], arrays: tuple[Tensor, ...] = ()
) -> Tensor:
    """Pool these axes by an operator whose arrays are given beside it."""
    return ADAPTER.call(_pool_any, x, operator, window, axes, arrays)


def _pool_any(
    adapter: Adapter, x: Any, operator: Operator, window: Window, axes: tuple[int, ...], arrays: tuple[Tensor, ...]
) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"input must be a Tensor, got {type(x).__name__}")
    x = adapter.array(x)
    return calls.run(adapter, x, decide(adapter, x, operator, window, axes), arrays)


def _decided(adapter: Adapter, x: Tensor, rank: int, operator: Any, window: Any, return_indices: bool) -> Pooling:
    if isinstance(window, tuple):
        window = Adaptive(*window) if len(window) == 1 else (window[0], _stride(window[1]), *window[2:])
    return decide(adapter, x, operator, window, AXES[rank], return_indices, None, True)


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


def adaptive(output_size: Any) -> tuple[Any]:
    """The arguments of an adaptive window."""
    return (tuple(output_size) if isinstance(output_size, list) else output_size,)


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
        return _unpool(x, indices, kernel_size, stride, padding, None, AXES[rank])
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
    return _unpool(x, indices, kernel_size, stride, padding, sizes, AXES[rank])


def _unpool(x: Tensor, indices: Tensor, *arguments: Any) -> Tensor:
    return ADAPTER.call(calls.max_unpool, x, indices, *arguments)
