"""Unpooling by the compiled kernels, between dense arrays of rows × positions × inner elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anypool.cpu.extension import compiled

ELEMENT_BYTES = (1, 2, 4, 8)
"""Sizes of the elements that the kernels move, whatever they mean."""


def arrangement(order: Sequence[int], axes: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """The axes of an array as its rows, its unpooled axes and what lies inside them, and how many are rows'.

    `order` lists the axes as they lie in memory, outermost first: an array whose pooled axes lie there side by side is
    such rows without a copy.
    """
    at = order.index(axes[0])
    if tuple(order[at : at + len(axes)]) == tuple(axes):
        return tuple(order), at
    outer = tuple(axis for axis in order if axis not in axes)
    return (*outer, *axes), len(outer)


def forward(x: Any, indices: Any, out: Any) -> bool:
    """x (rows, sources, inner) at its indices in `out` (rows, outputs, inner), among zeros; of equal
    indices of a row the last stays. False where indices were out of range, which are left out."""
    return compiled.unpool(x, indices, out)


def backward(grad: Any, indices: Any, out: Any) -> bool:
    """The gradient of x, in `out`: zero where another source's value stayed. False as `forward`."""
    return compiled.unpool_gradient(grad, indices, out)
