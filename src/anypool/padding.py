"""Padding that is data: zeros, or the array's own elements, laid around it before windows are taken.

What is left is a pooling of a longer array, which every implementation serves and every framework differentiates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from anypool.arguments import is_known
from anypool.definition import numbers
from anypool.operators import Average, Operator
from anypool.pooling import Pooling, decide
from anypool.windows import Sliding


def amounts(pooling: Pooling) -> list[tuple[Any, Any]]:
    """How many elements lie before and after every pooled axis."""
    window = pooling.window
    assert isinstance(window, Sliding)
    return [window.data_padding(entry, plan) for entry, plan in enumerate(pooling.plan)]


def of_padded(adapter: Any, padded: Any, pooling: Pooling) -> Pooling:
    """The pooling of an array that has its padding already."""
    window = pooling.window
    assert isinstance(window, Sliding)
    indices, axes = pooling.return_indices, pooling.axes
    inner = window.over_padded(len(axes))
    return decide(adapter, padded, _without_padding(pooling.operator), inner, axes, indices, pooling.result, True)


def _without_padding(operator: Operator) -> Operator:
    """The operator where all padding is data, and what hangs over it is none."""
    return replace(operator, count_include_pad=False) if isinstance(operator, Average) else operator


def padded(x: Any, pooling: Pooling, xp: Any) -> Any:
    """x with what lies beyond its edges."""
    window = pooling.window
    assert isinstance(window, Sliding)
    for axis, (before, after) in zip(pooling.axes, amounts(pooling), strict=True):
        length = xp.shape(x)[axis]
        if not (is_known(before) and is_known(after)):
            x = _of_positions(x, axis, before, length, after, window.padding_mode, xp)
            continue
        parts = [
            _before(x, axis, before, length, window.padding_mode, xp),
            x,
            _after(x, axis, after, length, window.padding_mode, xp),
        ]
        parts = [part for part in parts if part is not None]
        x = xp.concat(parts, axis) if len(parts) > 1 else x
    return x


def _of_positions(x: Any, axis: int, before: Any, length: Any, after: Any, mode: str, xp: Any) -> Any:
    """An axis with its padding in one piece: parts whose lengths nobody knows yet would bind a program that is being
    made to those that have no elements, or one, at the length it was made with."""
    position = _numbers(before + length + after, length, xp) - before
    source = _source(position, length, "replicate" if mode == "zeros" else mode)
    values = _taken(x, axis, source, xp)
    if mode != "zeros":
        return values
    inside = (position >= 0) & (position < length)
    behind = len(xp.shape(x)) - 1 - axis % len(xp.shape(x))
    return xp.where(xp.expand_dims(inside, tuple(range(1, behind + 1))) if behind else inside, values, 0)


def _before(x: Any, axis: int, number: Any, length: Any, mode: str, xp: Any) -> Any:
    """What lies before an axis; None for nothing."""
    if is_known(number) and number == 0:
        return None
    if mode == "zeros":
        return _zeros(x, axis, number, xp)
    back = number - _numbers(number, length, xp)  # how far before the first element
    return _taken(x, axis, {"reflect": back, "replicate": back * 0, "circular": length - back}[mode], xp)


def _after(x: Any, axis: int, number: Any, length: Any, mode: str, xp: Any) -> Any:
    """What lies after an axis; None for nothing."""
    if is_known(number) and number == 0:
        return None
    if mode == "zeros":
        return _zeros(x, axis, number, xp)
    on = _numbers(number, length, xp)  # how far past the element after the last
    sources = {"reflect": length - 2 - on, "replicate": length - 1 + on * 0, "circular": on}
    return _taken(x, axis, sources[mode], xp)


def _numbers(number: Any, length: Any, xp: Any) -> Any:
    """0 to number − 1, in the framework's integers where one of the two is not known."""
    found = numbers((0, number), xp)
    return found if is_known(length) else xp.asarray(found)


def _zeros(x: Any, axis: int, number: Any, xp: Any) -> Any:
    shape = xp.shape(x)
    return xp.zeros((*shape[:axis], number, *shape[axis + 1 :]), x)


def _taken(x: Any, axis: int, positions: Any, xp: Any) -> Any:
    return xp.take(x, xp.asarray(positions) if isinstance(positions, np.ndarray) else positions, axis)


def padded_mask(mask: Any, shape: Sequence[Any], pooling: Pooling, xp: Any) -> Any:
    """A mask of elements, which broadcasts to `shape`, of an array with its padding: zeros are elements that count."""
    return ~padded(~xp.broadcast_to(mask, tuple(shape)), pooling, xp)


def indices_in_array(indices: Any, pooling: Pooling) -> Any:
    """Flat positions within the padded axes as those within the array's own."""
    window = pooling.window
    assert isinstance(window, Sliding)
    found: Any = 0
    scale: Any = 1
    for plan, (before, after) in reversed(list(zip(pooling.plan, amounts(pooling), strict=True))):
        length = plan.length + before + after
        found = found + _source(_modulo(indices, length) - before, plan.length, window.padding_mode) * scale
        indices, scale = indices // length, scale * plan.length
    return found


def _source(position: Any, length: Any, mode: str) -> Any:
    """The position inside an axis whose element lies at this one."""
    if mode == "circular":
        return _modulo(position + length, length)  # of no negative number, which ONNX would round up
    last = length - 1
    if mode == "reflect":
        return last - abs(last - abs(position))
    return (abs(position) - abs(position - last) + last) // 2


def _modulo(x: Any, length: Any) -> Any:
    return x - x // length * length  # ONNX exporters have no remainder by a length that is not known
