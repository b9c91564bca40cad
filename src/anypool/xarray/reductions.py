"""xarray's `coarsen` and `rolling`, pooled by anypool."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic

import numpy as np
import xarray as xr

from anypool.arguments import as_integer
from anypool.operators import Average, Count, Max, Median, Min, Operator, Std, Sum, Variance, operator_for
from anypool.plans import AxisPlan
from anypool.windows import Sliding, Window
from anypool.xarray.arrays import Object, Options, Windows, check_dimensions, per_dimension, pooled

BOUNDARIES, SIDES = ("exact", "trim", "pad"), ("left", "right")


class Reductions(Generic[Object]):
    """What `coarsen` and `rolling` give: methods with xarray's names, and `pool` for any operator."""

    def pool(self, operator: Operator | str, skipna: bool | None = None, min_count: int | None = None) -> Object:
        """The windows pooled by an operator or its name."""
        raise NotImplementedError

    def max(self, skipna: bool | None = None) -> Object:
        return self.pool(Max(), skipna)

    def min(self, skipna: bool | None = None) -> Object:
        return self.pool(Min(), skipna)

    def mean(self, skipna: bool | None = None) -> Object:
        return self.pool(Average(), skipna)

    def sum(self, skipna: bool | None = None, min_count: int | None = None) -> Object:
        return self.pool(Sum(), skipna, min_count)

    def median(self, skipna: bool | None = None) -> Object:
        return self.pool(Median("mean"), skipna)

    def var(self, skipna: bool | None = None, ddof: int = 0) -> Object:
        return self.pool(Variance(ddof), skipna)

    def std(self, skipna: bool | None = None, ddof: int = 0) -> Object:
        return self.pool(Std(ddof), skipna)

    def count(self) -> Object:
        return self.pool(Count())


class Coarsen(Reductions[Object]):
    """`x.anypool.coarsen(…)`: windows side by side."""

    def __init__(self, x: Object, windows: Mapping[Hashable, int], boundary: Any, side: Any, coord_func: Any) -> None:
        self._x: Object = x
        self._windows, self._coord_func = windows, coord_func
        self._boundary = _one_of("boundary", boundary, windows, BOUNDARIES)
        self._side = _one_of("side", side, windows, SIDES)
        check_dimensions(x, windows, "coarsen")

    def pool(self, operator: Operator | str, skipna: bool | None = None, min_count: int | None = None) -> Object:
        x, windows = self._x, self._windows
        beyond = {dim: x.sizes[dim] % size for dim, size in windows.items()}
        for dim, rest in beyond.items():
            if rest and self._boundary[dim] == "exact":
                raise ValueError(
                    f"boundary='exact': dimension {dim!r} of {x.sizes[dim]} elements is no multiple of {windows[dim]}; "
                    "give boundary='trim' or 'pad'"
                )
            if rest and self._boundary[dim] == "trim":
                left = self._side[dim] == "left"
                x = x.isel({dim: slice(0, x.sizes[dim] - rest) if left else slice(rest, None)})
        # What is left over is padded to a window, before or behind.
        missing = {dim: -x.sizes[dim] % size for dim, size in windows.items()}
        padding = {dim: (0, missing[dim]) if self._side[dim] == "left" else (missing[dim], 0) for dim in windows}

        def window(some: Sequence[Hashable]) -> Window:
            return Sliding(tuple(windows[dim] for dim in some), padding=tuple(padding[dim] for dim in some))

        def coordinate(variable: xr.Variable, plans: Mapping[Hashable, AxisPlan], name: Hashable) -> xr.Variable:
            sizes: Any = {dim: windows[dim] for dim in plans}
            function = self._coord_func.get(name, "mean") if isinstance(self._coord_func, Mapping) else self._coord_func
            return variable.coarsen(sizes, function, boundary="pad", side=dict(self._side))

        return pooled(x, operator, Windows(tuple(windows), window, "coarsen", coordinate), Options(skipna, min_count))


class Rolling(Reductions[Object]):
    """`x.anypool.rolling(…)`: a window that ends at, or lies around, every position or every few."""

    def __init__(
        self, x: Object, windows: Mapping[Hashable, int], min_periods: int | None, center: Any, stride: Any
    ) -> None:
        dims = tuple(windows)
        check_dimensions(x, windows, "rolling")
        self._x: Object = x
        self._windows = windows
        size = int(np.prod(list(windows.values())))
        self._min_periods = size if min_periods is None else as_integer("min_periods", min_periods, 1)
        self._center = per_dimension("center", center, dims, dict.fromkeys(dims, False))
        strides = per_dimension("stride", stride, dims, dict.fromkeys(dims, 1))
        self._stride = {dim: as_integer("stride", each, 1) for dim, each in strides.items()}

    def pool(self, operator: Operator | str, skipna: bool | None = None, min_count: int | None = None) -> Object:
        windows, strides = self._windows, self._stride

        def padding(dim: Hashable) -> tuple[int, int]:
            after = (windows[dim] - 1) // 2 if self._center[dim] else 0
            return windows[dim] - 1 - after, after

        def window(some: Sequence[Hashable]) -> Window:
            kernel, step = (tuple(each[dim] for dim in some) for each in (windows, strides))
            return Sliding(kernel, step, tuple(map(padding, some)))

        def coordinate(variable: xr.Variable, plans: Mapping[Hashable, AxisPlan], name: Hashable) -> xr.Variable:
            return variable.isel({dim: slice(None, None, strides[dim]) for dim in plans})

        least = self._min_periods if min_count is None else min_count
        dtype = "float64" if isinstance(operator_for(operator), Count) else None  # NaN where there are too few
        options = Options(skipna, least, dtype=dtype, promote=dtype is None)
        return pooled(self._x, operator, Windows(tuple(windows), window, "rolling", coordinate), options)


def _one_of(name: str, value: Any, dims: Mapping[Hashable, Any], allowed: Sequence[str]) -> dict[Any, str]:
    found = per_dimension(name, value, tuple(dims), dict.fromkeys(dims, allowed[0]))
    for each in found.values():
        if each not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {each!r}")
    return found
