"""p-norms of CPU tensors: sums of powers in double precision, by the compiled kernels.

The powers up to `MOST` of every float32 fit into a float64, so that nothing need be factored out against overflow, as
the definition must. It takes 16 bytes per element while it runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from anypool.adapters.torch import eager
from anypool.definition import Pooling
from anypool.operators import Lp, Sum

MOST = 6.0


def refusal(pooling: Pooling) -> str | None:
    """Why a norm cannot be taken like this; None if it can."""
    assert isinstance(pooling.operator, Lp)
    if pooling.dtype not in ("float16", "bfloat16", "float32") or pooling.result != pooling.dtype:
        return f"norms have a kernel from float16, bfloat16 and float32, not from {pooling.dtype} to {pooling.result}"
    if pooling.operator.p > MOST:
        return f"powers over {MOST:g} may not fit into a float64, p is {pooling.operator.p:g}"
    return eager.refusal(_sum(pooling))


def _sum(pooling: Pooling) -> Pooling:
    """The sum over the same windows, of float64."""
    known = vars(pooling)
    if "sum" not in known:
        double = "float64"
        known["sum"] = replace(pooling, operator=Sum(), dtype=double, accumulator=double, result=double)
    return known["sum"]


def run(x: Tensor, pooling: Pooling) -> Tensor:
    """The norms, differentiable."""
    return _Norm.apply(x, pooling) if x.requires_grad and torch.is_grad_enabled() else _norms(x, pooling)


def _norms(x: Tensor, pooling: Pooling) -> Tensor:
    assert isinstance(pooling.operator, Lp)
    powers = x.to(torch.float64).abs_().pow_(pooling.operator.p)
    sums = eager.bound(powers, _sum(pooling)).values(powers)
    return sums.pow_(1 / pooling.operator.p).to(x.dtype)


class _Norm(Function):
    """Gradient: sgn(x)·(|x|/y)^(p−1), 0 where x or y is 0; in operations that differentiate on."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pooling: Pooling) -> Tensor:
        y = _norms(x, pooling)
        ctx.pooling, ctx.layout = pooling, eager.order(x)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, y = ctx.saved_tensors
        p = ctx.pooling.operator.p
        upstream = eager.spread(grad * _power(y.to(torch.float64), 1 - p), _sum(ctx.pooling), ctx.layout)
        return (upstream * _slope(x, p)).to(x.dtype), None


def _slope(x: Tensor, p: float) -> Tensor:
    """sgn(x)·|x|^(p−1)."""
    if p in (1, 2):
        return x.sign() if p == 1 else x
    return x.sign() * _power(x.to(torch.float64).abs(), p - 1)


def _power(x: Tensor, exponent: float) -> Tensor:
    """x to a power where x is not 0, and 0 where it is."""
    apart = x != 0
    return torch.where(apart, torch.where(apart, x, 1).pow(exponent), 0)
