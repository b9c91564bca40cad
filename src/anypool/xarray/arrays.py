"""Arrays by dimension: which windows lie along a variable's dimensions, its values, and coordinates of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from anypool import functional
from anypool.operators import Operator, operator_for
from anypool.plans import AxisPlan
from anypool.windows import Window

try:
    import xarray as xr
except ImportError as error:
    raise ImportError('anypool.xarray needs xarray: pip install "anypool[xarray]"') from error

Object = TypeVar("Object", xr.DataArray, xr.Dataset)

# ---------------------------------------------------------------------------------------------------------------------
# Pooling


def _centres(variable: xr.Variable, plans: Mapping[Hashable, AxisPlan], name: Hashable) -> xr.Variable:
    """A coordinate at the windows' centres along each of its pooled dimensions."""
    for dim, plan in plans.items():
        outputs = np.arange(plan.outputs)
        variable = _at(variable, dim, plan.start(outputs) + (plan.count(outputs) - 1) * plan.dilation / 2)
    return variable


@dataclass(frozen=True)
class Windows:
    """Windows by dimension: the window along some of the dimensions, and what becomes of coordinates along them."""

    dims: tuple[Hashable, ...]
    window: Callable[[Sequence[Hashable]], Window]
    argument: str
    coordinate: Callable[[xr.Variable, Mapping[Hashable, AxisPlan], Hashable], xr.Variable] = _centres

    def along(self, variable: xr.Variable) -> tuple[Hashable, ...]:
        return tuple(dim for dim in self.dims if dim in variable.dims)


@dataclass(frozen=True)
class Options:
    skipna: bool | None = None
    min_count: int | None = None
    fill_value: float | None = None
    where: Any = None
    dtype: Any = None
    chunks: Any = None
    impl: str = "auto"
    promote: bool = False
    """Whether integers become floats, as in xarray where windows may be filled with NaN."""


def pooled(x: Object, operator: Operator | str, windows: Windows, options: Options) -> Object:
    check_dimensions(x, windows.dims, windows.argument)
    if isinstance(options.where, xr.DataArray):
        xr.align(x, options.where, join="exact", copy=False)
    if isinstance(x, xr.Dataset):
        return _dataset(x, operator, windows, options, of_dataset=True)
    found = _dataset(x.to_dataset(name=_ALONE), operator, windows, options, of_dataset=False)
    return found[_ALONE].rename(x.name)


_ALONE = "the array that is pooled"
"""What a DataArray is called as the only variable of a Dataset."""


def _dataset(
    x: xr.Dataset, operator: Operator | str, windows: Windows, options: Options, of_dataset: bool
) -> xr.Dataset:
    """A Dataset with the variables pooled along the dimensions that they have."""
    data = {}
    for name, array in x.data_vars.items():
        try:
            data[name] = _variable(array.variable, operator, windows, options)
        except (TypeError, ValueError) as error:
            if not of_dataset:
                raise
            raise type(error)(f"variable {name!r}: {error}") from None
    along = [name for name, variable in x.variables.items() if windows.along(variable)]
    coords = {}
    for name in along:
        if name in x.coords and not _is_multi_index(x, name):
            variable = x.variables[name].to_base_variable()
            dims = windows.along(variable)
            plans = windows.window(dims).plan([variable.sizes[dim] for dim in dims])
            coords[name] = windows.coordinate(variable, dict(zip(dims, plans, strict=True)), name)
            coords[name].attrs = dict(variable.attrs)
    kept = x.drop_vars(along).assign_coords(coords)
    return xr.Dataset(data, coords=kept.coords, attrs=x.attrs)


def _variable(variable: xr.Variable, operator: Operator | str, windows: Windows, options: Options) -> xr.Variable:
    dims = windows.along(variable)
    if not dims:
        return variable
    x = variable.data
    if options.promote and x.dtype.kind in "iub":
        x = x.astype("float32" if x.dtype.itemsize <= 2 else "float64")
    omits = options.skipna if options.skipna is not None else not operator_for(operator).composed
    values = functional.pool(
        x,
        operator,
        windows.window(dims),
        variable.get_axis_num(dims),
        dtype=options.dtype,
        impl=options.impl,
        where=_mask(options.where, variable),
        min_count=options.min_count,
        fill_value=options.fill_value,
        nan_policy="omit" if omits and x.dtype.kind == "f" else "propagate",
        chunks=_chunks(options.chunks, variable),
    )
    return xr.Variable(variable.dims, values, variable.attrs)


def _mask(where: Any, variable: xr.Variable) -> Any:
    """A mask's elements with the axes of a variable, of length 1 along those it does not have."""
    if not isinstance(where, xr.DataArray):
        return where
    if not set(where.dims) <= set(variable.dims):
        raise ValueError(f"where must have no dimension that x has not: {tuple(where.dims)} and {variable.dims}")
    ordered = where.variable.transpose(*(dim for dim in variable.dims if dim in where.dims))
    return ordered.data[tuple(slice(None) if dim in where.dims else None for dim in variable.dims)]


def _chunks(chunks: Any, variable: xr.Variable) -> Any:
    if not isinstance(chunks, Mapping):
        return chunks
    return {variable.get_axis_num(dim): each for dim, each in chunks.items() if dim in variable.dims}


# ---------------------------------------------------------------------------------------------------------------------
# Coordinates


def _at(variable: xr.Variable, dim: Hashable, places: np.ndarray) -> xr.Variable:
    """A coordinate at these places, which may lie between its elements or beyond them."""
    length = variable.sizes[dim]
    nearest = np.clip(np.floor(places), 0, max(length - 1, 0)).astype(np.int64)
    if (nearest == places).all() or length < 2 or variable.dtype.kind in "bUST":
        return variable.isel({dim: nearest})
    before = np.minimum(nearest, length - 2)
    low, high = variable.isel({dim: before}), variable.isel({dim: before + 1})
    if variable.dtype.kind in "iu":
        low, high = low.astype("float64"), high.astype("float64")
    share = xr.Variable((dim,), (places - before).astype(low.dtype if low.dtype.kind == "f" else "float64"))
    try:
        return (low + (high - low) * share).transpose(*variable.dims)
    except TypeError:  # objects without arithmetic
        return variable.isel({dim: nearest})


def _is_multi_index(x: xr.Dataset, name: Hashable) -> bool:
    return isinstance(x.xindexes.get(name), xr.indexes.PandasMultiIndex)


# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def check_dimensions(x: Any, dims: Any, argument: str) -> None:
    missing = [dim for dim in dims if dim not in x.dims]
    if missing:
        raise ValueError(f"{argument} must name dimensions of x, {tuple(x.dims)}, got {missing[0]!r}")


def check_mapping(name: str, value: Any, example: str) -> None:
    if not isinstance(value, Mapping) or not value:
        raise TypeError(f"{name} must map dimensions to sizes, as {example}, got {value!r}")


def per_dimension(name: str, value: Any, dims: Sequence[Hashable], otherwise: Mapping[Hashable, Any]) -> dict[Any, Any]:
    """A setting of every dimension, from one for all or a mapping of some."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(dims, value)
    unknown = [dim for dim in value if dim not in dims]
    if unknown:
        raise ValueError(f"{name} must name dimensions that are pooled, {tuple(dims)}, got {unknown[0]!r}")
    return {dim: value.get(dim, otherwise[dim]) for dim in dims}
