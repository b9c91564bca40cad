"""How results and gradients of the definition lie in memory, and that results are the caller's to change."""

from __future__ import annotations

import torch
from torch import Tensor

from anypool.adapters.torch.eager import Order, is_transformed, order, places


def in_order(x: Tensor, layout: Order) -> Tensor:
    """x in this memory order."""
    if layout is None:
        return x.contiguous()
    return x.permute(layout).contiguous().permute(places(layout))


def with_ordered_gradient(x: Tensor) -> Tensor:
    """x, whose gradient is to lie in memory as x does."""
    if not (x.requires_grad and torch.is_grad_enabled()):
        return x
    layout = order(x)

    def ordered(gradient: Tensor | None) -> Tensor | None:
        return gradient if gradient is None or is_transformed(gradient) else in_order(gradient, layout)

    same = x.view_as(x)
    same.register_hook(ordered)
    return same


def changeable(values: Tensor) -> Tensor:
    """Values that may be changed in place: a copy of what torch saved as the result of an operator, as exp's is."""
    own = values._base if values._is_view() else values
    return values.clone() if own is not None and hasattr(own.grad_fn, "_saved_result") else values
