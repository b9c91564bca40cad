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
    differentiable = x.requires_grad and torch.is_grad_enabled()
    move = _Moved.apply if differentiable else _Moved.forward  # a small one takes less than what autograd adds
    result = move(values, places, math.prod(lengths), False)
    if result is None:
        return None
    return result.view(*shapes[0], *lengths, *shapes[1]).permute(eager.places(permutation))


def _bits(x: Tensor) -> Any:
    """The tensor's elements as NumPy's integers of their size."""
    return x.detach().view(_INTEGERS[x.element_size()]).numpy()


def _output(x: Tensor, positions: int) -> Tensor:
    return eager.OutputFactory((x.shape[0], positions, x.shape[2]), None, x.dtype)(x)


class _Moved(Function):
    """Values (rows, sources, inner) to their indices among zeros, and back from there: each is the other's gradient.

    Back, a value that was overwritten at its index is zero. Both are linear.
    """

    @staticmethod
    def forward(x: Tensor, indices: Tensor, positions: int, is_back: bool) -> Tensor | None:
        result, x = _output(x, positions), x.contiguous()
        move = unpooling.backward if is_back else unpooling.forward
        return result if move(_bits(x), indices.contiguous().numpy(), _bits(result)) else None

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, indices, ctx.positions, ctx.is_back = inputs
        ctx.given = x.shape[1]
        ctx.save_for_backward(indices)
        ctx.save_for_forward(indices)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return eager.applied(_Moved, grad, *ctx.saved_tensors, ctx.given, not ctx.is_back), None, None, None

    @staticmethod
    def jvp(ctx: Any, x: Tensor, *_: None) -> Tensor:
        return eager.applied(_Moved, x, *ctx.saved_tensors, ctx.positions, ctx.is_back)

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], x: Tensor, indices: Tensor, positions: int, is_back: bool
    ) -> tuple[Tensor, int]:
        """Of a batch of gradients, which have the same indices."""
        x = x.movedim(in_dims[0] or 0, 0)  # flattened by lengths: batches of gradients know no `flatten`
        size, rows, given, inner = x.shape
        places = indices.expand(size, *indices.shape).reshape(size * rows, *indices.shape[1:])
        result = eager.applied(_Moved, x.reshape(size * rows, given, inner), places, positions, is_back)
        return result.reshape(size, rows, positions, inner), 0
