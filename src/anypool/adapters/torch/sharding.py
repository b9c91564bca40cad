"""How DTensor splits pooling over devices: along any axis but the pooled ones, each device on its own. Loaded only for
such a tensor."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.experimental import register_sharding

from anypool.adapters.torch import library

Strategies = list[tuple[list[Any], list[Any]]]
"""Placements of the outputs, and of the inputs that they need."""


@cache
def register() -> None:
    """Tell DTensor, once."""
    register_sharding(library.pool._opoverload)(lambda x, spec: _strategies(x, spec, 1, 1, 1))
    register_sharding(library.select._opoverload)(lambda x, spec: _strategies(x, spec, 2, 1, 1))
    register_sharding(library.indices._opoverload)(lambda offsets, spec, *_: _strategies(offsets, spec, 1, 1, 3))
    register_sharding(library.gradient._opoverload)(_of_gradient)


def _of_gradient(grad: Any, offsets: Any, spec: str, *_: Any) -> Strategies:
    return _strategies(grad, spec, 1, 1, 5) if offsets is None else _strategies(grad, spec, 1, 2, 4)


def _strategies(x: Any, spec: str, outputs: int, tensors: int, others: int) -> Strategies:
    """For an operator with so many outputs, and inputs that are tensors, and others."""
    pooled = library.axes_of(spec)
    places = [Replicate(), *(Shard(axis) for axis in range(x.ndim) if axis not in pooled)]
    return [([place] * outputs, [place] * tensors + [None] * others) for place in places]
