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
from anypool import Sliding
from benchmarks.cases import FORWARD, STEM, TRAINING, Case, Row
from benchmarks.contenders import NUMPY, TORCH, Anypool, Contender, _Torch
from benchmarks.pooling import Record
from benchmarks.pooling import measure as measure_rows
from benchmarks.tasks import Refused, Task
from benchmarks.timing import Call

CASE = Case(*STEM, share=(4, 64, 112, 112))

MAP = (8, 32, 128, 128)
SHARE = (1, 32, 128, 128)
FILTERS = tuple(
    Case("filter", MAP, Sliding(width, stride=1), dtype=dtype, share=SHARE, quick=width == 3)
    for dtype in ("float32", "uint8")
    for width in (3, 5, 7, 15)
)
"""Medians at stride 1, which libraries of image processing have; without padding, which each of them has otherwise."""
LABELS = (
    Case("labels", (4, 16, 512, 512), Sliding(2), dtype="uint8", quick=True),
    Case("labels", (4, 4, 64, 256, 256), Sliding(2), dtype="uint8"),
)
"""Modes and maxima side by side."""


def rows(quick: bool) -> list[Row]:
    """The operators that are measured: forward, and in training unless one is of labels."""
    case = replace(CASE, shape=CASE.share, share=None) if quick and CASE.share else CASE
    made = []
    for name in measured():
        floats = _takes_floats(name)
        for layout in case.layouts[:1] if quick else case.layouts:
            for direction in (FORWARD, TRAINING) if floats else (FORWARD,):
                made.append(Row(case if floats else replace(case, dtype="uint8"), name, layout, direction))
    for names, cases in ((("median",), FILTERS), (("mode", "max"), LABELS)):
        for each in cases:
            layouts = each.layouts[:1] if quick else each.layouts
            if each.quick or not quick:
                made += [Row(each, name, layout, FORWARD) for name in names for layout in layouts]
    return made


def measured() -> list[str]:
    """The operators that take windows of any kind and draw no random numbers."""
    return [name for name, kind in ap.OPERATORS.items() if not (kind.random or kind().composed)]


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


class SciPyMedian(Contender):
    """SciPy's median filter, of which the windows within the map are kept."""

    name, beside = "SciPy", NUMPY

    def forward(self, task: Task) -> Call:
        from scipy import ndimage

        kernel, stride, _ = _filter_of_odd_width(task)
        x, size, inside = task.x, [1] * task.x.ndim, [slice(None)] * task.x.ndim
        for axis, k, s in zip(task.axes, kernel, stride, strict=True):
            size[axis], inside[axis] = k, slice(k // 2, x.shape[axis] - k // 2, s)
        return lambda: ndimage.median_filter(x, size=tuple(size))[tuple(inside)]


class OpenCV(Contender):
    """OpenCV's median filter, of one plane after another."""

    name, beside = "OpenCV", NUMPY

    def forward(self, task: Task) -> Call:
        import cv2

        (width, _), stride, _ = _filter_of_odd_width(task)
        if task.last:
            raise Refused("filters up to four channels")
        if width > 5 and task.case.dtype != "uint8":
            raise Refused("has windows over 5 for bytes only")
        half, planes = width // 2, task.x.reshape(-1, *task.x.shape[2:])

        def call() -> np.ndarray:
            filtered = np.stack([cv2.medianBlur(plane, width) for plane in planes])
            inside = filtered[:, half : -half or None : stride[0], half : -half or None : stride[1]]
            return inside.reshape(*task.x.shape[:2], *inside.shape[1:])

        return call


def _filter_of_odd_width(task: Task) -> tuple[tuple[int, ...], ...]:
    """Kernel, stride and padding of a median that a filter of images can do."""
    kernel, stride, padding = task.sliding
    if task.row.operator != "median" or any(padding) or kernel[0] != kernel[-1] or kernel[0] % 2 == 0:
        raise Refused("has medians of odd width, which replicate the edge")
    return kernel, stride, padding


OURS: tuple[Contender, ...] = (Anypool(), AnypoolFunction())
PEERS: tuple[Contender, ...] = (Composition(), SciPyMedian(), OpenCV())


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
    padded = _functions().pad(x.float(), (padding[1], padding[1], padding[0], padding[0]), value=float("nan"))
    rows, columns = (padded.shape[axis + 2] - kernel[axis] for axis in range(2))
    shape = (n, channels, rows // stride[0] + 1, columns // stride[1] + 1)
    windows = _functions().unfold(padded, kernel, stride=stride).view(n, channels, kernel[0] * kernel[1], -1)
    return torch.nanmedian(windows, dim=2).values.view(shape).to(x.dtype)


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
