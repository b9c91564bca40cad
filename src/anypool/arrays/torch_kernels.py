"""The compiled kernels on torch's CPU tensors, differentiable: values, winners, and gradients of any order.

A max or min saves for its gradient the offset of the winner within its window, one byte per output where windows have
up to 256 elements; a sum or an average saves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from anypool import kernels
from anypool.definition import Pooling
from anypool.operators import FLOATS
from anypool.windows import SlidingAxis, is_known

CPU = torch.device("cpu")

# ---------------------------------------------------------------------------------------------------------------------
# Runs of a kernel


def refusal(pooling: Pooling) -> str | None:
    """Why the kernels cannot run this pooling; lengths may be symbols, as in a traced program."""
    if "refusal" in vars(pooling) or (all(map(is_known, pooling.shape)) and all(map(is_known, pooling.output_shape))):
        return kernels.refusal(pooling)
    anyhow = replace(pooling, shape=(1,) * len(pooling.shape), plan=(SlidingAxis(1, 1, 1),) * len(pooling.plan))
    return kernels.refusal(anyhow)


Order = tuple[int, ...] | None
"""The axes of a tensor as they lie in memory, outermost first; None where that is row-major."""


def order(x: Tensor) -> Order:
    if x.is_contiguous():
        return None
    steps = x.stride()
    try:
        return _remembered(steps)
    except TypeError:  # symbols, which cannot be hashed
        return _descending(steps)


def _descending(steps: Sequence[Any]) -> tuple[int, ...]:
    return tuple(sorted(range(len(steps)), key=lambda axis: -steps[axis]))


_remembered = lru_cache(maxsize=1024)(_descending)


def places(layout: Sequence[int]) -> list[int]:
    """Where each axis went: the permutation that undoes `layout`."""
    return sorted(range(len(layout)), key=layout.__getitem__)


def empty(layout: Order, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor in this memory order, its elements whatever they are; a large one in the memory of an earlier output."""
    steps = strides(layout, shape)
    size = math.prod(shape) * dtype.itemsize
    if size < kernels.LARGE:
        return torch.empty_strided(shape, steps, dtype=dtype, device=CPU)
    storage = torch.from_numpy(kernels.large_bytes(size)).untyped_storage()
    return torch.empty(0, dtype=dtype, device=CPU).set_(storage, 0, shape, steps)  # no view, as as_strided's would be


@lru_cache(maxsize=4096)
def strides(layout: Order, shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a tensor of this shape, dense in this memory order."""
    found, step = [0] * len(shape), 1
    for axis in reversed(range(len(shape)) if layout is None else layout):
        found[axis], step = step, step * max(shape[axis], 1)
    return tuple(found)


def array(x: Tensor) -> Any:
    """x as the kernels read it: NumPy's view, which takes a third of the time of DLPack; NumPy has no bfloat16."""
    x = x.detach() if x.requires_grad else x
    return x if x.dtype is torch.bfloat16 else x.numpy()


def values(x: Tensor, pooling: Pooling, out: Tensor | None = None) -> Tensor:
    if out is None:
        out = empty(order(x), pooling.output_shape, getattr(torch, pooling.result))
    kernels.forward(array(x), pooling, array(out))
    return out


def selection(x: Tensor, pooling: Pooling) -> tuple[Tensor, Tensor]:
    """The values of a max or min, and the offsets of the winners in their windows."""
    layout = order(x)
    found = empty(layout, pooling.output_shape, x.dtype)
    offsets = empty(layout, pooling.output_shape, offset_dtype(pooling))
    kernels.forward_with_offsets(array(x), pooling, array(found), array(offsets))
    return found, offsets


def offset_dtype(pooling: Pooling) -> torch.dtype:
    elements = math.prod(plan.width for plan in pooling.plan)
    return torch.uint8 if elements <= 2**8 else torch.uint16 if elements <= 2**16 else torch.uint32


def indices(offsets: Tensor, pooling: Pooling) -> Tensor:
    """Flat positions of the winners within the pooled axes."""
    result = empty(order(offsets), pooling.output_shape, torch.int64)
    kernels.indices(array(offsets), pooling, array(result))
    return result


def gathered(x: Tensor, positions: Tensor, pooling: Pooling) -> Tensor:
    """The elements of x at flat positions within the pooled axes."""
    last = tuple(range(-len(pooling.axes), 0))
    numbers = torch.movedim(positions, pooling.axes, last)
    elements = torch.movedim(x, pooling.axes, last).flatten(-len(last))
    taken = torch.gather(elements, -1, numbers.flatten(-len(last)))
    return torch.movedim(taken.reshape(numbers.shape), last, pooling.axes)


def gradient(grad: Tensor, offsets: Tensor | None, pooling: Pooling, layout: Order) -> Tensor:
    """The gradient of x, laid out as x was, from that of the values."""
    result = empty(layout, pooling.shape, getattr(torch, pooling.dtype))
    kernels.backward(array(grad.resolve_neg()), pooling, None if offsets is None else array(offsets), array(result))
    return result


# ---------------------------------------------------------------------------------------------------------------------
# Differentiable, at once


def run(x: Tensor, pooling: Pooling) -> Any:
    """The values, or (values, indices)."""
    learns = x.requires_grad and torch.is_grad_enabled() and pooling.result in FLOATS
    if not pooling.operator.selects:
        return _Linear.apply(x, pooling) if learns else values(x, pooling)
    if learns:
        return _Selection.apply(x, pooling)
    if not pooling.return_indices:
        return values(x, pooling)
    found, offsets = selection(x, pooling)
    return found, indices(offsets, pooling)


class _Selection(Function):
    """A max or min: an element of every window, and its gradient to that element."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pooling: Pooling) -> Any:
        found, offsets = selection(x.detach(), pooling)
        ctx.pooling, ctx.layout = pooling, order(x)
        if not pooling.return_indices:
            ctx.save_for_backward(offsets)
            return found
        numbers = indices(offsets, pooling)
        ctx.mark_non_differentiable(numbers)
        ctx.save_for_backward(offsets, numbers)  # these too, so that torch sees if they are changed, as in its own
        return found, numbers

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> Any:
        offsets = ctx.saved_tensors[0]
        if torch.is_grad_enabled() and grad.requires_grad:
            return _Scatter.apply(grad, offsets, ctx.pooling, ctx.layout), None
        return gradient(grad, offsets, ctx.pooling, ctx.layout), None


class _Scatter(Function):
    """The gradient of a max or min, itself differentiable: linear in the gradient of the values."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, offsets: Tensor, pooling: Pooling, layout: Order) -> Tensor:
        ctx.save_for_backward(offsets)
        ctx.pooling = pooling
        return gradient(grad.detach(), offsets, pooling, layout)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        positions = indices(ctx.saved_tensors[0], ctx.pooling)
        return gathered(grad, positions, ctx.pooling), None, None, None


class _Linear(Function):
    """A sum or an average: linear, so that its gradient needs no values."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pooling: Pooling) -> Tensor:
        ctx.pooling, ctx.layout = pooling, order(x)
        return values(x.detach(), pooling)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        if torch.is_grad_enabled() and grad.requires_grad:
            return _Spread.apply(grad, ctx.pooling, ctx.layout), None
        return gradient(grad, None, ctx.pooling, ctx.layout), None


class _Spread(Function):
    """The gradient of a sum or an average, itself differentiable."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, pooling: Pooling, layout: Order) -> Tensor:
        ctx.pooling = pooling
        return gradient(grad.detach(), None, pooling, layout)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _Linear.apply(grad, ctx.pooling), None, None
