"""Pooling while torch.onnx.export traces a model: ONNX's own nodes, wherever ONNX has one that means the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.onnx.ops import symbolic, symbolic_multi_out

from anypool.arguments import FLOATS, is_known
from anypool.operators import Average, Lp, Max, Min, Sum
from anypool.plans import SlidingAxis
from anypool.pooling import Pooling
from anypool.windows import Sliding

OPSET = 18
OPSET_WITH_DILATED_AVERAGES = 19


def refusal(pooling: Pooling) -> str | None:
    """Why no node of ONNX means the same; None where one does."""
    return "ONNX has no node that means the same" if _node(pooling) is None else None


def run(x: Tensor, pooling: Pooling) -> Any:
    """The values, or (values, indices), by a node of ONNX."""
    node = _node(pooling)
    assert node is not None
    rank = len(pooling.axes)
    last = tuple(range(-rank, 0))
    images = torch.movedim(x, pooling.axes, last)
    lead, lengths = images.shape[:-rank], images.shape[-rank:]
    if len(lead) != 2:
        images = images.reshape(1, math.prod(lead), *lengths)
    outputs = [plan.outputs for plan in pooling.plan]
    results = _call(images, (*images.shape[:2], *outputs), pooling, *node)
    if len(lead) != 2:
        results = [result.reshape(*lead, *outputs) for result in results]
    shaped = [torch.movedim(result, last, pooling.axes) for result in results]
    return tuple(shaped) if pooling.return_indices else shaped[0]


def _call(
    images: Tensor, shape: Sequence[Any], pooling: Pooling, name: str, attributes: dict[str, Any]
) -> list[Tensor]:
    operator = pooling.operator
    version = OPSET_WITH_DILATED_AVERAGES if name == "AveragePool" and "dilations" in attributes else OPSET
    images = -images if type(operator) is Min else images
    if pooling.return_indices:
        values, places = symbolic_multi_out(
            name, (images,), attributes, dtypes=(images.dtype, torch.int64), shapes=(shape, shape), version=version
        )
        # ONNX counts through the whole array, batch and channels too.
        results = [values, places % math.prod(images.shape[2:])]
    else:
        results = [symbolic(name, (images,), attributes, dtype=images.dtype, shape=shape, version=version)]
    if type(operator) is Min:
        results[0] = -results[0]
    if _divisor(operator) is not None:
        results[0] = results[0] * (math.prod(plan.kernel_size for plan in pooling.plan) / _divisor(operator))
    return results


def _node(pooling: Pooling) -> tuple[str, dict[str, Any]] | None:
    """The node's name and attributes; None where ONNX has none that means the same."""
    operator = pooling.operator
    if pooling.dtype not in FLOATS or pooling.result != pooling.dtype or pooling.empty or len(pooling.axes) > 3:
        return None
    if all(plan.whole for plan in pooling.plan) and not pooling.return_indices:
        if type(operator) in (Max, Min):
            return "GlobalMaxPool", {}
        if type(operator) is Average and operator.divisor_override is None:
            return "GlobalAveragePool", {}
    plans = [plan for plan in pooling.plan if isinstance(plan, SlidingAxis)]
    name = {Max: "MaxPool", Min: "MaxPool", Average: "AveragePool", Sum: "AveragePool", Lp: "LpPool"}.get(
        type(operator)
    )
    if name is None or len(plans) < len(pooling.plan):
        return None
    attributes = _geometry(pooling, plans)
    if attributes is None:
        return None
    if isinstance(operator, Lp):
        return (name, {**attributes, "p": int(operator.p)}) if operator.p == int(operator.p) else None
    if name == "AveragePool":
        attributes["count_include_pad"] = int(_divisor(operator) is not None or operator.counts_padding)
    return name, attributes


def _geometry(pooling: Pooling, plans: Sequence[SlidingAxis]) -> dict[str, Any] | None:
    """kernel_shape, strides, pads and dilations; what a last window hangs over the end is padding like another."""
    attributes: dict[str, Any] = {"kernel_shape": [p.kernel_size for p in plans], "strides": [p.stride for p in plans]}
    if any(plan.dilation > 1 for plan in plans):
        attributes["dilations"] = [plan.dilation for plan in plans]
    window = pooling.window
    if not all(is_known(plan.length) for plan in plans):
        return attributes if _pads_unknown_lengths(attributes, window, plans) else None
    reach = [(plan.outputs - 1) * plan.stride + (plan.kernel_size - 1) * plan.dilation + 1 for plan in plans]
    after = [end - plan.length - plan.pad_before for end, plan in zip(reach, plans, strict=True)]
    overhang = any(end > plan.pad_after for end, plan in zip(after, plans, strict=True))
    if overhang and pooling.operator.counts_padding and _divisor(pooling.operator) is None:
        return None  # the divisor counts padding, but not the overhang
    # Fewer than the padding given: what no window reaches may be left away.
    attributes["pads"] = [*(plan.pad_before for plan in plans), *(max(end, 0) for end in after)]
    return attributes


def _pads_unknown_lengths(attributes: dict[str, Any], window: Any, plans: Sequence[SlidingAxis]) -> bool:
    if not isinstance(window, Sliding) or window.ceil_mode:
        return False
    if isinstance(window.padding, str):
        attributes["auto_pad"] = {"same": "SAME_UPPER", "same_lower": "SAME_LOWER"}[window.padding]
    else:
        attributes["pads"] = [*(plan.pad_before for plan in plans), *(plan.pad_after for plan in plans)]
    return True


def _divisor(operator: Any) -> int | None:
    return 1 if type(operator) is Sum else getattr(operator, "divisor_override", None)
