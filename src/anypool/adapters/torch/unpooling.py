"""Unpooling of torch's CPU tensors by the compiled kernels, differentiable any number of times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from anypool.adapters.torch import eager
from anypool.cpu import unpooling

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def run(x: Tensor, indices: Tensor, axes: Sequence[int], lengths: Sequence[int]) -> Tensor | None:
    """Zeros with x at flat positions within the axes, laid out as x is; None where indices are out of range."""
    permutation, rows = unpooling.arrangement(eager.order(x) or range(x.ndim), axes)
    outer, inner = permutation[:rows], permutation[rows + len(axes) :]
    shapes = [[x.shape[axis] for axis in part] for part in (outer, inner)]
    dense = math.prod(shapes[0]), math.prod(x.shape[axis] for axis in axes), math.prod(shapes[1])
    values, places = (each.permute(permutation).reshape(dense) for each in (x.resolve_neg(), indices.to(torch.int64)))
    result = _Unpooled.apply(values, places, math.prod(lengths))
    if result is None:
        return None
    return result.view(*shapes[0], *lengths, *shapes[1]).permute(eager.places(permutation))


def _bits(x: Tensor) -> Any:
    """The tensor's elements as NumPy's integers of their size."""
    return x.detach().view(_INTEGERS[x.element_size()]).numpy()


def _output(x: Tensor, positions: int) -> Tensor:
    return eager.OutputFactory((x.shape[0], positions, x.shape[2]), None, x.dtype)(x)


class _Unpooled(Function):
    """Values (rows, sources, inner) at their indices among zeros."""

    @staticmethod
    def forward(x: Tensor, indices: Tensor, outputs: int) -> Tensor | None:
        result, x = _output(x, outputs), x.contiguous()
        return result if unpooling.forward(_bits(x), indices.contiguous().numpy(), _bits(result)) else None

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, indices, ctx.outputs = inputs
        ctx.sources = x.shape[1]
        ctx.save_for_backward(indices)
        ctx.save_for_forward(indices)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return eager.applied(_Taken, grad, *ctx.saved_tensors, ctx.sources), None, None

    @staticmethod
    def jvp(ctx: Any, x: Tensor, *_: None) -> Tensor:
        return eager.applied(_Unpooled, x, *ctx.saved_tensors, ctx.outputs)

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], x: Tensor, indices: Tensor, outputs: int) -> tuple[Tensor, int]:
        return _of_batch(_Unpooled, in_dims[0], x, indices, outputs), 0


class _Taken(Function):
    """The gradient of the values: what lies where they stayed. It is linear, and its gradient unpools what stayed."""

    @staticmethod
    def forward(grad: Tensor, indices: Tensor, sources: int) -> Tensor:
        result, grad = _output(grad, sources), grad.contiguous()
        unpooling.backward(_bits(grad), indices.contiguous().numpy(), _bits(result))
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        grad, indices, ctx.sources = inputs
        ctx.outputs = grad.shape[1]
        ctx.save_for_backward(indices)
        ctx.save_for_forward(indices)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return eager.applied(_Unpooled, grad, *ctx.saved_tensors, ctx.outputs), None, None

    @staticmethod
    def jvp(ctx: Any, grad: Tensor, *_: None) -> Tensor:
        return eager.applied(_Taken, grad, *ctx.saved_tensors, ctx.sources)

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], grad: Tensor, indices: Tensor, sources: int
    ) -> tuple[Tensor, int]:
        return _of_batch(_Taken, in_dims[0], grad, indices, sources), 0


def _of_batch(function: Any, axis: int | None, x: Tensor, indices: Tensor, positions: int) -> Tensor:
    """The function of a batch of gradients, which have the same indices, along a new first axis."""
    x = x.movedim(axis or 0, 0)  # flattened by lengths: batches of gradients know no `flatten`
    size, rows, sources, inner = x.shape
    places = indices.expand(size, *indices.shape).reshape(size * rows, *indices.shape[1:])
    result = eager.applied(function, x.reshape(size * rows, sources, inner), places, positions)
    return result.reshape(size, rows, positions, inner)
