"""torch's own pooling, wherever it means what a `Pooling` means; on any device torch serves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from anypool.arguments import FLOATS, HALF_PRECISION
from anypool.operators import Average, Max, Min, Sum
from anypool.plans import AdaptiveAxis, AxisPlan, Plan, SlidingAxis, WholeAxis
from anypool.pooling import Pooling

_SLIDING_MAX = {2: torch.max_pool2d, 3: torch.max_pool3d}
_SLIDING_AVERAGE = {2: F.avg_pool2d, 3: F.avg_pool3d}
_ADAPTIVE_MAX = {2: torch._C._nn.adaptive_max_pool2d, 3: torch._C._nn.adaptive_max_pool3d}
_ADAPTIVE_AVERAGE: dict[int, Any] = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


def refusal(x: Tensor, pooling: Pooling) -> str | None:
    """Why torch's own operators would not give what the pooling means; None if they do."""
    operator = pooling.operator
    if type(operator) not in (Max, Min, Sum, Average):
        return f"torch has no {type(operator).__name__} pooling that means the same"
    if pooling.dtype not in FLOATS or pooling.result != pooling.dtype:
        return f"torch pools floats to the same floats, not {pooling.dtype} to {pooling.result}"
    if len(pooling.axes) > 3:
        return f"torch pools at most 3 axes, not {len(pooling.axes)}"
    if pooling.return_indices:
        return "of several NaN torch gives the last one's index, here it is the first's"
    if 0 in pooling.shape:
        return "torch pools no array without elements"
    if x.is_cuda and torch.are_deterministic_algorithms_enabled():
        return "torch has no deterministic gradient for all of its pooling on CUDA"
    if _is_adaptive(pooling.plan):
        fixed = type(operator) is Sum or getattr(operator, "divisor_override", None) is not None
        return "torch has only max and average over adaptive windows" if fixed else None
    if not all(isinstance(plan, SlidingAxis) for plan in pooling.plan):
        return "torch has no mix of adaptive and sliding windows"
    if not isinstance(operator, Max | Min) and len(pooling.axes) == 3 and pooling.dtype in HALF_PRECISION:
        return f"torch has no average over 3 axes for {pooling.dtype} on every device"
    return _sliding_refusal(pooling, [plan for plan in pooling.plan if isinstance(plan, SlidingAxis)])


def _sliding_refusal(pooling: Pooling, plans: Sequence[SlidingAxis]) -> str | None:
    operator = pooling.operator
    if not isinstance(operator, Max | Min):
        if any(plan.dilation != 1 for plan in plans):
            return "torch has no dilation for averages and sums"
        if pooling.empty:
            return "torch pools no window without elements"
        if any(map(_pads_itself, plans)) and operator.needs_element and type(operator) is not Sum:
            return "torch has no asymmetric or large padding for averages"
        if len(plans) == 3 and any(plan.kernel_size > plan.length and not _pads_itself(plan) for plan in plans):
            return "torch's average over 3 axes takes no window longer than an axis"
    if _ceil_mode(plans) is None:
        return "torch has no such number of windows"
    return None


def run(x: Tensor, pooling: Pooling) -> Tensor:
    """The values by torch's own operators."""
    operator, rank = pooling.operator, len(pooling.axes)
    last = tuple(range(x.ndim - rank, x.ndim))  # TorchScript's ONNX exporter writes negative ones down as they are
    images = torch.movedim(x, pooling.axes, last)
    lead = images.shape[:-rank]
    if len(lead) != 2:
        images = images.reshape(1, math.prod(lead), *images.shape[-rank:])
    images = images.unsqueeze(-2) if rank == 1 else images
    if _is_adaptive(pooling.plan):
        result = _adaptive(images, operator, [plan.outputs for plan in pooling.plan])
    else:
        result = _sliding(images, operator, [plan for plan in pooling.plan if isinstance(plan, SlidingAxis)])
    outputs = [plan.outputs for plan in pooling.plan]
    return torch.movedim(result.reshape(*lead, *outputs), last, pooling.axes)


def unpool(x: Tensor, indices: Tensor, axes: Sequence[int], lengths: Sequence[int]) -> Tensor:
    """Zeros with x at flat positions within the axes; on CPU tensors, where one thread writes a row from its first
    source to its last, so that the last stays."""
    last = tuple(range(-len(axes), 0))
    values, places = (torch.movedim(t, tuple(axes), last) for t in (x, indices))
    lead, outputs, sources = values.shape[: -len(axes)], math.prod(lengths), math.prod(values.shape[-len(axes) :])
    values, places = (t.reshape(math.prod(lead), sources) for t in (values, places.to(torch.int64)))
    if x.requires_grad and torch.is_grad_enabled():
        numbers = torch.arange(sources).expand_as(places)
        stays = numbers.new_empty(len(places), outputs).scatter_(1, places, numbers).gather(1, places) == numbers
        values = torch.where(stays, values, values.detach())
    result = values.new_zeros(len(places), outputs).scatter(1, places, values)
    return torch.movedim(result.reshape(*lead, *lengths), last, tuple(axes))


def _adaptive(images: Tensor, operator: Any, outputs: list[Any]) -> Tensor:
    outputs = [1, *outputs] if len(outputs) == 1 else outputs
    if type(operator) is Average:
        return _ADAPTIVE_AVERAGE[len(outputs)](images, outputs)
    if type(operator) is Min:
        return -_ADAPTIVE_MAX[len(outputs)](-images, outputs)[0]
    return _ADAPTIVE_MAX[len(outputs)](images, outputs)[0]


def _sliding(images: Tensor, operator: Any, plans: Sequence[SlidingAxis]) -> Tensor:
    ceil_mode, extreme = bool(_ceil_mode(plans)), isinstance(operator, Max | Min)
    images = -images if type(operator) is Min else images
    if any(map(_pads_itself, plans)):
        pairs = [side for plan in reversed(plans) for side in (plan.pad_before, plan.pad_after)]
        images = F.pad(images, pairs, value=-math.inf if extreme else 0.0)
        padding = [0] * len(plans)
    else:
        padding = [plan.pad_before for plan in plans]
    single = len(plans) == 1
    kernel, stride, padding, dilation = (
        [default, *sizes] if single else sizes
        for default, sizes in (
            (1, [plan.kernel_size for plan in plans]),
            (1, [plan.stride for plan in plans]),
            (0, padding),
            (1, [plan.dilation for plan in plans]),
        )
    )
    if extreme:
        result = _SLIDING_MAX[len(kernel)](images, kernel, stride, padding, dilation, ceil_mode)
        return -result if type(operator) is Min else result
    divisor = 1 if type(operator) is Sum else operator.divisor_override
    return _SLIDING_AVERAGE[len(kernel)](images, kernel, stride, padding, ceil_mode, operator.counts_padding, divisor)


def _is_adaptive(plan: Plan) -> bool:
    """Whether torch's adaptive pooling takes these windows, and its sliding pooling does not."""
    return all(map(_cells, plan)) and any(isinstance(along, AdaptiveAxis | WholeAxis) for along in plan)


def _cells(along: AxisPlan) -> bool:
    if not isinstance(along, SlidingAxis):
        return True
    return (along.dilation, along.pad_before, along.stride) == (
        1,
        0,
        along.kernel_size,
    ) and along.length == along.outputs * along.kernel_size


def _pads_itself(plan: SlidingAxis) -> bool:
    """Whether the padding is one that torch's pooling refuses, so that the array is padded first."""
    return plan.pad_before != plan.pad_after or 2 * plan.pad_before > plan.kernel_size


def _ceil_mode(plans: Sequence[SlidingAxis]) -> bool | None:
    """torch's ceil_mode that gives these numbers of windows; None if neither does."""
    explicit = any(map(_pads_itself, plans))
    for ceil_mode in (False, True):
        if all(plan.outputs == _outputs(plan, explicit, ceil_mode) for plan in plans):
            return ceil_mode
    return None


def _outputs(plan: SlidingAxis, explicit: bool, ceil_mode: bool) -> Any:
    padded = plan.length + plan.pad_before + plan.pad_after
    room = padded - plan.dilation * (plan.kernel_size - 1) - 1
    if not ceil_mode:
        return room // plan.stride + 1
    outputs = -(-room // plan.stride) + 1
    return outputs - ((outputs - 1) * plan.stride >= (padded if explicit else padded - plan.pad_after))
