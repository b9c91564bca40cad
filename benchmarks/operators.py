"""The group "operators": every operator that has a name, on one case, beside what a user would write in torch.

The rows come from `anypool.OPERATORS`: a new operator is measured without a line here. A composition is added where
there is one that people use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import anypool as ap
from benchmarks.cases import FORWARD, STEM, TRAINING, Case, Row
from benchmarks.contenders import TORCH, Anypool, Contender, _Torch
from benchmarks.pooling import Record
from benchmarks.pooling import measure as measure_rows
from benchmarks.tasks import Refused, Task

CASE = Case(*STEM, share=(4, 64, 112, 112))


def rows(quick: bool) -> list[Row]:
    """Every operator that draws no random numbers: forward, and in training unless it is one of labels."""
    case = replace(CASE, shape=CASE.share, share=None) if quick and CASE.share else CASE
    made = []
    for name, kind in ap.OPERATORS.items():
        floats = _takes_floats(name)
        for layout in case.layouts[:1] if quick else case.layouts:
            for direction in (FORWARD, TRAINING) if floats else (FORWARD,):
                if not kind.random:
                    made.append(Row(case if floats else replace(case, dtype="uint8"), name, layout, direction))
    return made


def _takes_floats(name: str) -> bool:
    """Whether an operator is one of numbers, and not of labels alone."""
    try:
        ap.pool(np.ones((2, 2), np.float32), name, ap.Sliding(2))
    except TypeError:
        return False
    return True


class AnypoolFunction(_Torch):
    """`anypool.pool` on tensors."""

    name = TORCH

    def module(self, task: Task) -> Any:
        axes = tuple(range(2, task.rank + 2))
        return lambda x: ap.pool(x, task.operator, task.window, axes)


class Composition(_Torch):
    """The operator put together from torch's own."""

    name, beside = "composition in torch", TORCH

    def module(self, task: Task) -> Any:
        compose = COMPOSITIONS.get(task.row.operator)
        if compose is None:
            raise Refused("has no composition that people use")
        return compose(*task.sliding)


OURS: tuple[Contender, ...] = (Anypool(), AnypoolFunction())
PEERS: tuple[Contender, ...] = (Composition(),)


def measure(quick: bool, only: str, report: Callable[[Record], None]) -> None:
    """One record per operator, layout and direction."""
    measure_rows([row for row in rows(quick) if only in row.name], OURS, PEERS, report)


# ---------------------------------------------------------------------------------------------------------------------
# Compositions, of kernel, stride and padding


def _functions() -> Any:
    import torch

    return torch.nn.functional


def _average(x: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    return _functions().avg_pool2d(x, kernel, stride, padding, count_include_pad=False)


def _sum(x: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    return _functions().avg_pool2d(x, kernel, stride, padding, divisor_override=1)


def _variance(x: Any, *window: Any) -> Any:
    mean = _average(x, *window)
    return _average(x * x, *window) - mean * mean


def _median(x: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    import torch

    n, channels = x.shape[:2]
    padded = _functions().pad(x, (padding[1], padding[1], padding[0], padding[0]), value=float("nan"))
    rows, columns = (padded.shape[axis + 2] - kernel[axis] for axis in range(2))
    shape = (n, channels, rows // stride[0] + 1, columns // stride[1] + 1)
    windows = _functions().unfold(padded, kernel, stride=stride).view(n, channels, kernel[0] * kernel[1], -1)
    return torch.nanmedian(windows, dim=2).values.view(shape)


COMPOSITIONS: dict[str, Callable[..., Callable[[Any], Any]]] = {
    "max": lambda *window: lambda x: _functions().max_pool2d(x, *window),
    "min": lambda *window: lambda x: -_functions().max_pool2d(-x, *window),
    "average": lambda *window: lambda x: _average(x, *window),
    "sum": lambda *window: lambda x: _sum(x, *window),
    "lp": lambda *window: lambda x: _sum(x * x, *window).sqrt(),
    "gem": lambda *window: lambda x: _average(x.clamp(min=1e-6) ** 3, *window) ** (1 / 3),
    "variance": lambda *window: lambda x: _variance(x, *window),
    "median": lambda *window: lambda x: _median(x, *window),
}
