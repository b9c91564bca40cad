"""torch's own pooling, wherever it means what a `Pooling` means; on any device torch serves.

The arguments it gets do not depend on the lengths of the axes, which a traced program must not hold: they are the
window's own, or, for padding that follows from the length, arithmetic that is traced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from anypool.arguments import FLOATS, HALF_PRECISION, is_known
from anypool.operators import Average, Max, Min, Sum
from anypool.plans import AdaptiveAxis, AxisPlan, SlidingAxis, WholeAxis
from anypool.pooling import Pooling
from anypool.windows import Sliding

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
    if any(is_known(length) and length == 0 for length in pooling.shape):
        return "torch pools no array without elements"
    if x.is_cuda and torch.are_deterministic_algorithms_enabled():
        return "torch has no deterministic gradient for all of its pooling on CUDA"
    if torch.onnx.is_in_onnx_export() and pooling.dtype == "float64" and not isinstance(operator, Max | Min):
        return "ONNX Runtime has no averages of float64"
    if _is_adaptive(pooling):
        if type(operator) is Sum or getattr(operator, "divisor_override", None) is not None:
            return "torch has only max and average over adaptive windows"
        if torch.onnx.is_in_onnx_export() and not all(along.whole for along in pooling.plan):
            return "TorchScript's ONNX exporter has adaptive windows only where their size is fixed"
        if not all(along.whole or is_known(along.length) for along in pooling.plan):
            return "a program that torch compiles ahead of time keeps the lengths adaptive windows were made for"
        return None
    if not all(isinstance(plan, SlidingAxis) for plan in pooling.plan):
        return "torch has no mix of adaptive and sliding windows"
    if isinstance(operator, Max | Min):
        return None
    return _average_refusal(pooling, _sliding_plans(pooling))


def _average_refusal(pooling: Pooling, plans: Sequence[SlidingAxis]) -> str | None:
    """Why torch's sliding averages would not give this average or sum."""
    if any(plan.dilation != 1 for plan in plans):
        return "torch has no dilation for averages and sums"
    if pooling.empty:
        return "torch pools no window without elements"
    if len(plans) == 3 and pooling.dtype in HALF_PRECISION:
        return f"torch has no average over 3 axes for {pooling.dtype} on every device"
    if constant_divisor(pooling.operator) is None and _needs_padding(pooling, plans):
        if not pooling.operator.counts_padding:
            return "torch has no asymmetric or large padding for averages"
        if _floor_padding(pooling) != [plan.pad_after for plan in plans]:
            return "torch has no asymmetric or large padding for averages in ceil mode"
    elif len(plans) == 3 and any(
        is_known(plan.length) and plan.kernel_size > plan.length + 2 * plan.pad_before for plan in plans
    ):
        return "torch's average over 3 axes takes no window longer than an axis"
    return None


def run(x: Tensor, pooling: Pooling) -> Tensor:
    """The values by torch's own operators."""
    rank = len(pooling.axes)
    last = tuple(range(x.ndim - rank, x.ndim))  # TorchScript's ONNX exporter writes negative ones down as they are
    moved = pooling.axes != last  # and a program has no steps that do nothing
    images = torch.movedim(x, pooling.axes, last) if moved else x
    lead = images.shape[:-rank]
    if len(lead) != 2:
        images = images.reshape(1, math.prod(lead), *images.shape[-rank:])
    images = images.unsqueeze(-2) if rank == 1 else images
    if _is_adaptive(pooling):
        result = _adaptive(images, pooling.operator, [plan.outputs for plan in pooling.plan])
    else:
        result = _sliding(images, pooling, _sliding_plans(pooling))
    result = result.squeeze(-2) if rank == 1 else result
    if len(lead) != 2:
        result = result.reshape(*lead, *result.shape[-rank:])
    return torch.movedim(result, last, pooling.axes) if moved else result


FUSED_ELEMENTS = 25
"""Windows of so many elements Inductor writes out in the loop of what is around them; for more it calls torch."""


def is_fused(pooling: Pooling) -> bool:
    """Whether Inductor makes torch's operator for this pooling a part of what is around it, if there is one."""
    if all(along.whole for along in pooling.plan):
        return type(pooling.operator) is Average  # a mean
    sizes = [along.kernel_size for along in pooling.plan]
    return all(map(is_known, sizes)) and math.prod(sizes) <= FUSED_ELEMENTS


def _adaptive(images: Tensor, operator: Any, outputs: list[Any]) -> Tensor:
    outputs = [1, *outputs] if len(outputs) == 1 else outputs
    if type(operator) is Average:
        return _ADAPTIVE_AVERAGE[len(outputs)](images, outputs)
    if type(operator) is Min:
        return -_ADAPTIVE_MAX[len(outputs)](-images, outputs)[0]
    return _ADAPTIVE_MAX[len(outputs)](images, outputs)[0]


def _sliding(images: Tensor, pooling: Pooling, plans: Sequence[SlidingAxis]) -> Tensor:
    operator, window = pooling.operator, pooling.window
    extreme, ceil_mode = isinstance(operator, Max | Min), isinstance(window, Sliding) and window.ceil_mode
    padding = [plan.pad_before for plan in plans]
    images = -images if type(operator) is Min else images
    if _needs_padding(pooling, plans):
        after = _floor_padding(pooling)
        images, ceil_mode, padding = padded(images, padding, after, operator), False, [0] * len(plans)
    kernel, stride, padding, dilation = (
        [default, *sizes] if len(plans) == 1 else sizes
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
    divisor, average = constant_divisor(operator), _SLIDING_AVERAGE[len(kernel)]
    if divisor is not None and torch.onnx.is_in_onnx_export():  # TorchScript's exporter drops the divisor
        return average(images, kernel, stride, padding) * (math.prod(kernel) / divisor)
    counts = operator.counts_padding or divisor is not None
    return average(images, kernel, stride, padding, ceil_mode, counts, divisor)


def padded(images: Tensor, before: Sequence[Any], after: Sequence[Any], operator: Any) -> Tensor:
    """Images with padding of what does not count along their last axes: −∞ for a max, and a min, which is the max of
    the negated; 0 for a sum."""
    pairs = [side for pair in reversed(list(zip(before, after, strict=True))) for side in pair]
    return F.pad(images, pairs, value=-math.inf if isinstance(operator, Max | Min) else 0.0)


def _is_adaptive(pooling: Pooling) -> bool:
    """Whether torch's adaptive pooling takes these windows, and its sliding pooling does not, or is slower: an average
    of everything is a mean."""
    plan, operator = pooling.plan, pooling.operator
    if not all(map(_is_even, plan)):
        return False
    mean = type(operator) is Average and operator.divisor_override is None and all(along.whole for along in plan)
    return mean or any(isinstance(along, AdaptiveAxis | WholeAxis) for along in plan)


def _is_even(along: AxisPlan) -> bool:
    """Whether adaptive windows of as many outputs are these."""
    if not isinstance(along, SlidingAxis):
        return True
    if not is_known(along.length):
        return along.outputs is along.length
    shape = along.dilation, along.pad_before, along.stride, along.length
    return shape == (1, 0, along.kernel_size, along.outputs * along.kernel_size)


def _sliding_plans(pooling: Pooling) -> list[SlidingAxis]:
    return [plan for plan in pooling.plan if isinstance(plan, SlidingAxis)]


def constant_divisor(operator: Any) -> int | None:
    """What every sum is divided by, whatever the window holds."""
    return 1 if type(operator) is Sum else getattr(operator, "divisor_override", None)


def _needs_padding(pooling: Pooling, plans: Sequence[SlidingAxis]) -> bool:
    """Whether the padding is one that torch's pooling refuses, so that the array is padded first."""
    if any(
        not (is_known(plan.pad_before) and is_known(plan.pad_after))
        or plan.pad_before != plan.pad_after
        or 2 * plan.pad_before > plan.kernel_size
        for plan in plans
    ):
        return True
    if getattr(pooling.window, "ceil_mode", False) and any(isinstance(plan.length, torch.SymInt) for plan in plans):
        return True  # torch would ask of a symbol whether its last window starts in the padding
    # A divisor that TorchScript's ONNX exporter drops is put back, where all windows are full.
    return torch.onnx.is_in_onnx_export() and constant_divisor(pooling.operator) is not None


def _floor_padding(pooling: Pooling) -> list[Any]:
    """The padding after the axes that gives the windows without ceil mode."""
    window, plans = pooling.window, _sliding_plans(pooling)
    if not isinstance(window, Sliding) or isinstance(window.padding, str):
        return [plan.pad_after for plan in plans]
    return [window.floor_padding(entry) for entry in range(len(plans))]
