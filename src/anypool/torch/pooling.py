"""What modules and accelerated functions compute: torch's arguments as poolings, with torch's conventions.

A window without any element gives the identity here, −inf for a max, as in torch; the package's functions refuse it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from anypool import calls, masks
from anypool.adapters.base import Adapter
from anypool.adapters.torch import eager
from anypool.adapters.torch.adapter import ADAPTER, NAMES, is_plain
from anypool.arguments import per_axis, plain
from anypool.cpu import kernels
from anypool.operators import Lp, Max, Min, Operator
from anypool.pooling import Pooling, cleared_with_caches, decide
from anypool.torch.native import ALWAYS, NEVER, Native, takes
from anypool.windows import Adaptive, Global, Sliding, Window

PLAIN = (None, None, "propagate")
"""The arguments of `masks.Settings` where every element counts."""

AXES = {1: (-1,), 2: (-2, -1), 3: (-3, -2, -1)}
"""The pooled axes by their number: the last ones."""


def pool(
    x: Tensor, rank: int, operator: Any, window: Any, return_indices: bool = False, native: Native | None = None
) -> Any:
    """Pool the last `rank` axes; operator and window are such, or the arguments of `Average`, `Sliding` or `Adaptive`.

    `native` is torch's own operator for these arguments, which has what it pools faster, and what means the same only
    by its own rules: tensors without elements, of numbers that we do not pool, and averages of int64.
    """
    if is_plain(x):
        try:
            key = rank, operator, window, return_indices, x.shape, x.stride(), x.dtype
            compiled, is_torchs = _CACHE.get(key) or _cache(x, key, native)
        except (RuntimeError, TypeError, ValueError):  # what is wrong is told below
            compiled, is_torchs = None, NEVER
        needs_grad = x.requires_grad and _grad_enabled()
        if native is not None and is_torchs[needs_grad]:
            return native.run(x, operator, window, return_indices)
        if compiled is not None:
            return eager.run_compiled(x, compiled) if needs_grad or return_indices else compiled.values(x)
    if native is not None and isinstance(x, Tensor) and _is_torchs(x, rank, operator, window):
        return native.run(x, operator, window, return_indices)
    return ADAPTER.call(_pool, x, rank, operator, window, return_indices)


_grad_enabled = torch.is_grad_enabled

Cached = tuple[eager.CompiledPooling | None, tuple[bool, bool]]
"""The kernel, if there is one, and whether torch's own operator computes: in inference, and in training."""
_CACHE: dict[Any, Cached] = {}
_LARGEST_CACHE = 4096


def _cache(x: Tensor, key: tuple[Any, ...], native: Native | None) -> Cached:
    """What there is for tensors like x, cached by all that it depends on."""
    rank, operator, window, return_indices = key[:4]
    if native is not None and x.numel() == 0 and takes(x, rank, operator, window):
        return None, ALWAYS  # some of them it refuses
    pooling = _decided(ADAPTER, x, rank, operator, window, return_indices)
    known: Cached = None, NEVER
    if eager.refusal(pooling) is None and kernels.gradient_refusal(pooling) is None:
        is_small = NEVER if native is None or return_indices else native.is_faster(x, rank, operator, window)
        known = eager.compiled_for(x, pooling), is_small
    if len(_CACHE) >= _LARGEST_CACHE:
        _CACHE.clear()
    _CACHE[key] = known
    return known


cleared_with_caches(_CACHE.clear)


def _is_torchs(x: Tensor, rank: int, operator: Any, window: Any) -> bool:
    """Whether a tensor without a kernel is one for torch's own operator."""
    if x.dtype is torch.int64:
        return isinstance(operator, tuple) and takes(x, rank, operator, window)
    foreign = x.dtype not in NAMES or x.layout is torch._mkldnn  # type: ignore[attr-defined]
    return foreign and takes(x, rank, operator, window)


def _pool(adapter: Adapter, x: Any, rank: int, operator: Any, window: Any, return_indices: bool) -> Any:
    x = _checked(adapter, x)
    if x.is_complex():
        return calls.complex_pool(adapter, x, operator, _window(rank, window), AXES[rank], return_indices)
    return calls.run(adapter, x, _decided(adapter, x, rank, operator, window, return_indices))


def masked_pool(x: Tensor, where: Any, rank: int, operator: Any, window: Any, return_indices: bool = False) -> Any:
    """As `pool`, of the elements that `where` lets count."""
    return ADAPTER.call(_masked_pool, x, where, rank, operator, window, return_indices)


def _masked_pool(
    adapter: Adapter, x: Any, where: Any, rank: int, operator: Any, window: Any, return_indices: bool
) -> Any:
    if where is None:  # a graph of torch.fx, which holds the argument, was called without
        return _pool(adapter, x, rank, operator, window, return_indices)
    if return_indices:
        raise ValueError(masks.NO_INDICES)
    if isinstance(operator, tuple) and len(window) > 1 and not _pads(sliding(rank, *window)):
        operator = (False, *operator[1:])  # there is no padding to count
    x = _checked(adapter, x)
    if x.is_complex():
        masked = {"where": where, "settings": masks.NOTHING_MORE}
        return calls.complex_pool(adapter, x, operator, _window(rank, window), AXES[rank], **masked)
    return calls.run_masked(adapter, x, where, _decided(adapter, x, rank, operator, window, False, False))


def _pads(window: Sliding) -> bool:
    return window.padding != "valid" if isinstance(window.padding, str) else bool(np.any(window.padding))


def pool_any(
    x: Tensor,
    operator: Operator,
    window: Window,
    axes: tuple[int, ...],
    arrays: tuple[Tensor, ...] = (),
    where: Tensor | None = None,
    settings: tuple[Any, ...] = PLAIN,
) -> Tensor:
    """Pool these axes by an operator whose arrays are given beside it; settings are those of `masks.Settings`."""
    if where is None and settings == PLAIN:
        return ADAPTER.call(_pool_any, x, operator, window, axes, arrays)
    return ADAPTER.call(_masked_pool_any, x, where, operator, window, axes, arrays, settings)


def _pool_any(
    adapter: Adapter, x: Any, operator: Operator, window: Window, axes: tuple[int, ...], arrays: tuple[Tensor, ...]
) -> Tensor:
    x = _checked(adapter, x)
    if x.is_complex():
        return calls.complex_pool(adapter, x, operator, window, axes)
    return calls.run(adapter, x, decide(adapter, x, operator, window, axes), arrays)


def _masked_pool_any(
    adapter: Adapter,
    x: Any,
    where: Any,
    operator: Operator,
    window: Window,
    axes: tuple[int, ...],
    arrays: tuple[Tensor, ...],
    settings: tuple[Any, ...],
) -> Tensor:
    if where is None and settings == PLAIN:  # as above
        return _pool_any(adapter, x, operator, window, axes, arrays)
    x, checked = _checked(adapter, x), masks.Settings(*settings)
    if x.is_complex():
        return calls.complex_pool(adapter, x, operator, window, axes, where=where, settings=checked)
    return calls.run_masked(adapter, x, where, decide(adapter, x, operator, window, axes), arrays, checked)


def _checked(adapter: Adapter, x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"input must be a Tensor, got {type(x).__name__}")
    checked: Tensor = adapter.array(x)
    return checked


def _decided(
    adapter: Adapter, x: Tensor, rank: int, operator: Any, window: Any, return_indices: bool, allow_empty: bool = True
) -> Pooling:
    if isinstance(window, tuple):
        window = Adaptive(*window) if len(window) == 1 else _for_axes(rank, *window)
    return decide(adapter, x, operator, window, AXES[rank], return_indices, None, allow_empty)


def _window(rank: int, window: Any) -> Window:
    """The window of torch's arguments, or the one that was given."""
    if isinstance(window, Window):
        return window
    return Adaptive(*window) if len(window) == 1 else sliding(rank, *window)


def sliding(
    rank: int, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Sliding:
    """The window of torch's arguments."""
    return Sliding(*_for_axes(rank, kernel_size, stride, padding, dilation, ceil_mode))


def _for_axes(
    rank: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Any, ...]:
    """torch's arguments as those of `Sliding`: an empty stride means none, an entry alone is for every axis."""
    sizes = (plain(value) for value in (kernel_size, stride, padding, dilation))
    kernel_size, stride, padding, dilation = (
        value[0] if rank > 1 and isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], int) else value
        for value in sizes
    )
    return kernel_size, None if stride == () else stride, padding, dilation, ceil_mode


EVERYTHING = Global()


def norm(norm_type: float) -> Operator:
    """The operator of a norm; where it is infinite, of the magnitudes."""
    return {math.inf: Max(), -math.inf: Min()}.get(norm_type) or Lp(norm_type)


def adaptive(output_size: Any) -> tuple[Any]:
    """The arguments of an adaptive window."""
    return (tuple(output_size) if isinstance(output_size, list) else output_size,)


def lp_pool(
    x: Tensor,
    rank: int,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
    average: Native | None = None,
) -> Tensor:
    """torch's own p-norm pooling: (k·average of xᵖ)^(1/p), without magnitudes and with every window counted as full.

    `average` is torch's own operator, which has averages as in `pool`.
    """
    kernel_size, stride, *_ = _for_axes(rank, kernel_size, stride, 0, 1, ceil_mode)
    window = kernel_size, kernel_size if stride is None else stride, 0, 1, ceil_mode
    if math.isinf(norm_type):
        return pool(x.abs(), rank, norm(norm_type), window)
    mean = pool(x.pow(norm_type), rank, (True, None), window, False, average)
    size = math.prod(kernel_size) if isinstance(kernel_size, tuple) else kernel_size**rank
    return (torch.sign(mean) * torch.relu(torch.abs(mean)) * size).pow(1.0 / norm_type)


_UNPOOL: dict[int, Any] = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}


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
    if isinstance(x, Tensor) and rank < x.dim() <= rank + 2 and is_plain(x) and x.numel() == 0:
        return _UNPOOL[rank](x, indices, kernel_size, stride, padding, output_size)  # some of them it refuses
    if output_size is None:
        return _unpool(x, indices, kernel_size, stride, padding, None, AXES[rank])
    sizes: Any = per_axis("output_size", tuple(output_size)[-rank:], 1)
    if len(output_size) not in (rank, x.dim()):
        raise ValueError(f"output_size must have {rank} or {x.dim()} entries, got {tuple(output_size)}")
    window: Any = sliding(rank, kernel_size, stride, padding)
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
