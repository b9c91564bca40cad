"""A row made ready: the arrays that everyone is given, and what it takes to be right."""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from anypool import Operator, Sliding
from anypool.operators import operator_for
from benchmarks.cases import ITEM_SIZE, LAST, MAX, Row, pooled_shape

DTYPES = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "uint8": np.dtype(np.uint8),
}
TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2, "uint8": 1e-5}
"""Of averages and gradients, relative to what exceeds 1; maxima must be equal."""


class Refused(Exception):
    """A contender cannot do what is asked; the message says why, for the page."""


class Task:
    """The arrays of a row, or of its case's share, in the layout of the user's data."""

    def __init__(self, row: Row, shape: tuple[int, ...] | None = None) -> None:
        self.row, self.case = row, row.case
        self.shape = shape or row.case.shape
        self.last = row.layout == LAST
        self.rank = row.case.rank
        self.axes = tuple(range(1, self.rank + 1)) if self.last else tuple(range(2, self.rank + 2))
        self.is_max = row.operator == MAX
        self.operator: Operator = operator_for(row.operator)
        self.window = row.case.window

    @cached_property
    def x(self) -> np.ndarray:
        return random_array(self.laid_out(self.shape), self.case.dtype, 0)

    @cached_property
    def grad(self) -> np.ndarray:
        return random_array(self.laid_out(self.output_shape), self.case.dtype, 1)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return pooled_shape(self.shape, self.window)

    def laid_out(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A channels-first shape in the layout of the user's data."""
        return (shape[0], *shape[2:], shape[1]) if self.last else tuple(shape)

    @property
    def sliding(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Kernel, stride and padding, one entry per axis."""
        if not isinstance(self.window, Sliding):
            raise Refused("no adaptive or global form of this operation")
        window = self.window
        return self._per_axis(window.kernel_size), self._per_axis(window.stride), self._per_axis(window.padding)

    def _per_axis(self, setting: Any) -> tuple[int, ...]:
        return (setting,) * self.rank if isinstance(setting, int) else setting

    @property
    def blocks(self) -> bool:
        """Whether the windows cut the map into blocks with nothing left over."""
        kernel, stride, padding = self.sliding
        return (
            kernel == stride
            and not any(padding)
            and all(n % k == 0 for n, k in zip(self.shape[2:], kernel, strict=True))
        )

    def equal(self, values: np.ndarray, reference: np.ndarray) -> bool:
        """Whether a contender's values are right."""
        if values.shape != reference.shape:
            return False
        if np.array_equal(values, reference):
            return True
        if self.is_max and self.row.direction == "forward":
            return False
        exact = reference.astype(np.float32)
        error = np.abs(values.astype(np.float32) - exact) / np.maximum(1, np.abs(exact))
        return bool(error.max() <= TOLERANCE[self.case.dtype])


@lru_cache(maxsize=4)
def random_array(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Random numbers in [0, 1), or bytes: the same ones for everyone, who only reads them."""
    random = np.random.default_rng(seed)
    if dtype == "uint8":
        array = random.integers(0, 256, shape, dtype=np.uint8)
    else:
        array = random.random(shape, dtype=np.float32).astype(DTYPES[dtype], copy=False)
    return array


def bytes_moved(row: Row) -> int:
    """What the row must read and write at least: input and output; backward also one byte per output for a max."""
    case, item = row.case, ITEM_SIZE[row.case.dtype]
    outputs = math.prod(case.output_shape)
    offsets = outputs if row.direction == "backward" and row.operator == MAX else 0
    return case.bytes + outputs * item + offsets
