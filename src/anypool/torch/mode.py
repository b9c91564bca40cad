"""torch's pooling functions caught where a model calls them, and computed by anypool."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from anypool.torch import native as torchs
from anypool.torch import pooling
from anypool.torch.native import Native, takes

_NATIVE = torch._C._nn


class accelerated(TorchFunctionMode):
    """Within `with accelerated():` anypool computes what this thread asks of torch's pooling functions on CPU tensors.

    For models that call `torch.nn.functional.max_pool2d` and the like: nothing is patched, so that other threads, and
    this one after the block, see torch's own. Modules of `torch.nn` are caught too, as they call these functions.
    What anypool does not pool (quantized and sparse tensors, integers, other devices) and what torch refuses go to
    torch. Every function of torch's, pooling or not, takes one to two microseconds longer within the block: for models
    of many small operators `accelerate` is the faster way.

    >>> with accelerated():
    ...     torch.nn.functional.max_pool2d(torch.ones(1, 1, 4, 4), 2).shape
    torch.Size([1, 1, 2, 2])
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        ours = _FUNCTIONS.get(func)
        if ours is None or not _served(args[0] if args else kwargs.get("input")):
            return func(*args, **kwargs)
        try:
            result = ours(*args, **kwargs)
        except (TypeError, ValueError):  # what anypool refuses is torch's to compute, or to refuse in its own words
            result = NotImplemented
        return func(*args, **kwargs) if result is NotImplemented else result


def _served(x: Any) -> bool:
    plain = isinstance(x, Tensor) and x.device.type == "cpu" and x.layout is torch.strided
    return plain and x.dtype.is_floating_point and not x.is_nested


def _pool(x: Tensor, rank: int, operator: Any, window: Any, with_indices: bool, native: Native | None) -> Any:
    """The pooling where torch takes such arguments, in which anypool takes more; else `NotImplemented`."""
    if not takes(x, rank, operator, window):
        return NotImplemented
    return pooling.pool(x, rank, operator, window, with_indices, native)


def _window(kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any) -> tuple[Any, ...]:
    """The arguments of a window, as a module holds them."""
    stride = kernel_size if stride is None or stride in ((), []) else stride
    sizes = (tuple(value) if isinstance(value, list) else value for value in (kernel_size, stride, padding, dilation))
    return (*sizes, ceil_mode)


def _max(rank: int, with_indices: bool, native: Native | None = None) -> Callable[..., Any]:
    def pool(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        window = _window(kernel_size, stride, padding, dilation, ceil_mode)
        return _pool(input, rank, "max", window, with_indices, native)

    return pool


def _average(rank: int, native: Native) -> Callable[..., Any]:
    def pool(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Any:
        average = (count_include_pad, divisor_override)
        return _pool(input, rank, average, _window(kernel_size, stride, padding, 1, ceil_mode), False, native)

    return pool


def _norm(rank: int, native: Native) -> Callable[..., Any]:
    def pool(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
        window = _window(kernel_size, stride, 0, 1, ceil_mode)
        entries = len(window[0]) if isinstance(window[0], tuple) else None  # torch's norms take fewer forms
        if entries not in (None, rank if rank > 1 else None) or not takes(input, rank, (True, None), window):
            return NotImplemented
        return pooling.lp_pool(input, rank, norm_type, window[0], window[1], ceil_mode, native)

    return pool


def _adaptive_max(rank: int, with_indices: bool, native: Native | None = None) -> Callable[..., Any]:
    def pool(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        return _pool(input, rank, "max", pooling.adaptive(output_size), with_indices, native)

    return pool


def _adaptive_average(rank: int, native: Native) -> Callable[..., Any]:
    def pool(input: Tensor, output_size: Any) -> Any:
        return _pool(input, rank, "average", pooling.adaptive(output_size), False, native)

    return pool


_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    F.max_pool1d: _max(1, False, torchs.MAX_1D),
    F.max_pool2d: _max(2, False, torchs.MAX_2D),
    F.max_pool3d: _max(3, False, torchs.MAX_3D),
    torch.max_pool1d: _max(1, False, torchs.MAX_1D),
    torch.max_pool2d: _max(2, False, torchs.MAX_2D),
    torch.max_pool3d: _max(3, False, torchs.MAX_3D),
    F.max_pool1d_with_indices: _max(1, True, torchs.MAX_1D),
    F.max_pool2d_with_indices: _max(2, True, torchs.MAX_2D),
    F.max_pool3d_with_indices: _max(3, True, torchs.MAX_3D),
    torch.max_pool1d_with_indices: _max(1, True, torchs.MAX_1D),
    _NATIVE.max_pool2d_with_indices: _max(2, True, torchs.MAX_2D),
    _NATIVE.max_pool3d_with_indices: _max(3, True, torchs.MAX_3D),
    F.avg_pool1d: _average(1, torchs.AVERAGE_1D),
    F.avg_pool2d: _average(2, torchs.AVERAGE_2D),
    F.avg_pool3d: _average(3, torchs.AVERAGE_3D),
    F.lp_pool1d: _norm(1, torchs.AVERAGE_1D),
    F.lp_pool2d: _norm(2, torchs.AVERAGE_2D),
    F.lp_pool3d: _norm(3, torchs.AVERAGE_3D),
    F.adaptive_max_pool1d: _adaptive_max(1, False, torchs.ADAPTIVE_MAX_1D),
    F.adaptive_max_pool2d: _adaptive_max(2, False, torchs.ADAPTIVE_MAX_2D),
    F.adaptive_max_pool3d: _adaptive_max(3, False, torchs.ADAPTIVE_MAX_3D),
    F.adaptive_max_pool1d_with_indices: _adaptive_max(1, True, torchs.MAX_1D),
    F.adaptive_max_pool2d_with_indices: _adaptive_max(2, True, torchs.MAX_2D),
    F.adaptive_max_pool3d_with_indices: _adaptive_max(3, True, torchs.MAX_3D),
    torch.adaptive_max_pool1d: _adaptive_max(1, True, torchs.MAX_1D),
    _NATIVE.adaptive_max_pool2d: _adaptive_max(2, True, torchs.MAX_2D),
    _NATIVE.adaptive_max_pool3d: _adaptive_max(3, True, torchs.MAX_3D),
    torch.adaptive_avg_pool1d: _adaptive_average(1, torchs.ADAPTIVE_AVERAGE_1D),
    F.adaptive_avg_pool2d: _adaptive_average(2, torchs.ADAPTIVE_AVERAGE_2D),
    F.adaptive_avg_pool3d: _adaptive_average(3, torchs.ADAPTIVE_AVERAGE_3D),
    _NATIVE.adaptive_avg_pool2d: _adaptive_average(2, torchs.ADAPTIVE_AVERAGE_2D),
    _NATIVE.adaptive_avg_pool3d: _adaptive_average(3, torchs.ADAPTIVE_AVERAGE_3D),
}
"""Everything that torch's pooling functions and modules end in, and what computes it here."""
