"""Pooling while torch.onnx.export traces a model: ONNX's own nodes, wherever ONNX has one that means the same.

A node must be right for every length that is not known, and one that ONNX Runtime runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.onnx.ops import symbolic, symbolic_multi_out

from anypool.adapters.torch.aten import constant_divisor, padded
from anypool.arguments import FLOATS, is_known
from anypool.operators import Average, Lp, Max, Min, Sum
from anypool.plans import SlidingAxis
from anypool.pooling import Pooling, end_padding
from anypool.windows import Sliding

OPSET = 18
OPSET_WITH_DILATED_AVERAGES = 19
NAMES = {Max: "MaxPool", Min: "MaxPool", Average: "AveragePool", Sum: "AveragePool", Lp: "LpPool"}


@dataclass(frozen=True)
class Node:
    """A node of ONNX, and the padding that goes before it, where no attribute can say it."""

    name: str
    attributes: dict[str, Any]
    padding: tuple[Sequence[Any], Sequence[Any]] | None = None
    """Before and after every axis."""


def refusal(pooling: Pooling) -> str | None:
    """Why no node of ONNX means the same; None where one does."""
    return "ONNX has no node that means the same" if _node(pooling) is None else None


def run(x: Tensor, pooling: Pooling) -> Any:
    """The values, or (values, indices), by a node of ONNX."""
    node = _node(pooling)
    assert node is not None
    rank = len(pooling.axes)
    last = tuple(range(x.ndim - rank, x.ndim))
    moved = pooling.axes != last
    images = torch.movedim(x, pooling.axes, last) if moved else x
    lead, lengths = images.shape[:-rank], images.shape[-rank:]
    if len(lead) != 2:
        images = images.reshape(1, math.prod(lead), *lengths)
    outputs = [plan.outputs for plan in pooling.plan]
    results = _call(images, (*images.shape[:2], *outputs), pooling, node)
    if len(lead) != 2:
        results = [result.reshape(*lead, *outputs) for result in results]
    shaped = [torch.movedim(result, last, pooling.axes) for result in results] if moved else results
    return tuple(shaped) if pooling.return_indices else shaped[0]


def _call(images: Tensor, shape: Sequence[Any], pooling: Pooling, node: Node) -> list[Tensor]:
    operator, attributes = pooling.operator, node.attributes
    dilated = node.name == "AveragePool" and "dilations" in attributes
    version = OPSET_WITH_DILATED_AVERAGES if dilated else OPSET
    images = -images if type(operator) is Min else images
    if node.padding is not None:
        images = padded(images, *node.padding, operator)
    if pooling.return_indices:
        values, places = symbolic_multi_out(
            node.name, (images,), attributes, dtypes=(images.dtype, torch.int64), shapes=(shape, shape), version=version
        )
        # ONNX counts through the whole array, batch and channels too.
        size = math.prod(images.shape[2:])
        results = [values, places % (size if is_known(size) else torch.full((), size, dtype=torch.int64))]
    else:
        results = [symbolic(node.name, (images,), attributes, dtype=images.dtype, shape=shape, version=version)]
    if type(operator) is Min:
        results[0] = -results[0]
    divisor = constant_divisor(operator)
    if divisor is not None:
        results[0] = results[0] * (math.prod(plan.kernel_size for plan in pooling.plan) / divisor)
    return results


def _node(pooling: Pooling) -> Node | None:
    """The node; None where ONNX has none that means the same."""
    operator = pooling.operator
    if pooling.dtype not in FLOATS or pooling.result != pooling.dtype or pooling.empty or len(pooling.axes) > 3:
        return None
    extreme = type(operator) in (Max, Min)
    if pooling.dtype == "float64" and not extreme:
        return None  # ONNX Runtime has only maxima of these
    if all(plan.whole for plan in pooling.plan) and not pooling.return_indices:
        if extreme:
            return Node("GlobalMaxPool", {})
        if type(operator) is Average and operator.divisor_override is None:
            return Node("GlobalAveragePool", {})
    plans = [plan for plan in pooling.plan if isinstance(plan, SlidingAxis)]
    name = NAMES.get(type(operator))
    if name is None or len(plans) < len(pooling.plan):
        return None
    attributes: dict[str, Any] = {}
    if isinstance(operator, Lp):
        if operator.p != int(operator.p):
            return None
        attributes["p"] = int(operator.p)
    elif not extreme:
        attributes["count_include_pad"] = int(constant_divisor(operator) is not None or operator.counts_padding)
    return _sliding(pooling, plans, name, attributes)


def _sliding(pooling: Pooling, plans: Sequence[SlidingAxis], name: str, attributes: dict[str, Any]) -> Node | None:
    """The node over these windows."""
    attributes = {**attributes, "kernel_shape": [p.kernel_size for p in plans], "strides": [p.stride for p in plans]}
    if any(plan.dilation > 1 for plan in plans):
        attributes["dilations"] = [plan.dilation for plan in plans]
    same = _automatic(pooling, plans)
    if same is not None:
        return Node(name, {**attributes, "auto_pad": same})
    # What a last window hangs over the end is padding like another, and what no window reaches may be left away.
    before, after = [plan.pad_before for plan in plans], [_after(pooling, entry) for entry in range(len(plans))]
    averages = type(pooling.operator) is Average and constant_divisor(pooling.operator) is None
    if averages and pooling.operator.counts_padding:
        given = [plan.pad_after for plan in plans]
        if not all(is_known(end) and is_known(pad) and end <= pad for end, pad in zip(after, given, strict=True)):
            return None  # the divisor counts padding, but not the overhang
    sizes = [plan.kernel_size for plan in plans]
    if all(is_known(pad) and pad < size for pad, size in zip((*before, *after), sizes * 2, strict=True)):
        return Node(name, {**attributes, "pads": [*before, *after]})
    if pooling.return_indices or (averages and not pooling.operator.counts_padding):
        return None
    return Node(name, attributes, (before, after))


def _automatic(pooling: Pooling, plans: Sequence[SlidingAxis]) -> str | None:
    """The node's own padding "same" of lengths that are not known, where ONNX Runtime has it right: windows that leave
    nothing out, without dilation."""
    padding = getattr(pooling.window, "padding", None)
    if not isinstance(padding, str) or all(is_known(plan.length) for plan in plans):
        return None
    if any(plan.dilation > 1 or plan.kernel_size < plan.stride for plan in plans):
        return None
    return {"same": "SAME_UPPER", "same_lower": "SAME_LOWER"}[padding]


def _after(pooling: Pooling, entry: int) -> Any:
    """The padding after an axis: as far as windows reach, or, where its length is not known, may reach."""
    plan, window = pooling.plan[entry], pooling.window
    assert isinstance(plan, SlidingAxis)
    if is_known(plan.length):
        return max(end_padding(plan), 0)
    if isinstance(window, Sliding) and not isinstance(window.padding, str):
        return window.floor_padding(entry)
    return plan.pad_after
