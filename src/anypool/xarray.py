"""xarray: `import anypool.xarray` gives DataArrays and Datasets an accessor, `x.anypool`, that pools by dimension.

Names, attributes, other dimensions and their coordinates stay; a coordinate along a pooled dimension is that of the
windows' centres. Dask arrays stay lazy. As everywhere in xarray, NaN does not count in floats unless `skipna=False`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from anypool import functional
from anypool.arguments import as_integer
from anypool.operators import Average, Count, Max, Median, Min, Operator, Std, Sum, Variance, operator_for
from anypool.plans import AxisPlan
from anypool.windows import Adaptive, Sliding, Window

try:
    import xarray as xr
except ImportError as error:
    raise ImportError('anypool.xarray needs xarray: pip install "anypool[xarray]"') from error

Object = TypeVar("Object", xr.DataArray, xr.Dataset)
PerDimension = Mapping[Hashable, Any]
BOUNDARIES, SIDES = ("exact", "trim", "pad"), ("left", "right")


class Accessor(Generic[Object]):
    """`x.anypool` of a DataArray or a Dataset.

    Of a Dataset, variables are pooled along those of the dimensions that they have, and stay as they are without any.

    >>> import numpy as np
    >>> import xarray as xr
    >>> import anypool.xarray
    >>> grid = np.array([[2.0, 2.0, 7.0, 3.0], [9.0, 4.0, np.nan, 1.0]])
    >>> x = xr.DataArray(grid, dims=("y", "x"), coords={"x": [0, 10, 20, 30]})
    >>> x.anypool.pool("max", {"y": 2, "x": 2})
    <xarray.DataArray (y: 1, x: 2)> Size: 16B
    array([[9., 7.]])
    Coordinates:
      * x        (x) float64 16B 5.0 25.0
    Dimensions without coordinates: y
    """

    def __init__(self, x: Object) -> None:
        self._x: Object = x

    def pool(
        self,
        operator: Operator | str,
        kernel_size: PerDimension,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        *,
        skipna: bool | None = None,
        min_count: int | None = None,
        fill_value: float | None = None,
        where: Any = None,
        dtype: Any = None,
        chunks: Any = None,
        impl: str = "auto",
    ) -> Object:
        """`anypool.pool` with `Sliding(kernel_size, stride, padding, dilation, ceil_mode)`, by dimension.

        Args:
            operator: what to keep of a window: an operator or its name.
            kernel_size: elements per window along each pooled dimension, as {"y": 3, "x": 3}.
            stride, padding, dilation: as `Sliding` takes them, and one for all dimensions or a mapping of some; a
                padding is an int, (before, after), or one of "valid", "same" and "same_lower" for all.
            ceil_mode: whether a last, partial window counts.
            skipna: whether NaN is left out; default: of floats.
            min_count: how many elements a window must have left; with fewer it gets `fill_value`.
            fill_value: default NaN; must be given where the result holds no floats.
            where: a mask of the elements that count: a DataArray, which has x's coordinates, or what broadcasts to x.
            dtype, impl: as in `anypool.pool`.
            chunks: how the outputs of Dask arrays are cut: an integer or a mapping of dimensions.

        Returns:
            The pooled object. Coordinates of pooled dimensions are those of the windows' centres, between elements
            and beyond the ends by a straight line; those that are no numbers or times are the middle element's.

        Raises:
            TypeError, ValueError: as `anypool.pool`, and where a dimension is none of x's.

        >>> import numpy as np
        >>> import xarray as xr
        >>> import anypool.xarray
        >>> x = xr.DataArray(np.arange(6.0), dims="t", coords={"t": [0, 1, 2, 3, 4, 5]})
        >>> x.anypool.pool("average", {"t": 3}, stride=2, padding=1).coords["t"].values
        array([0, 2, 4])
        """
        _check_mapping("kernel_size", kernel_size, '{"y": 3, "x": 3}')
        dims = tuple(kernel_size)
        strides = kernel_size if stride is None else _per_dimension("stride", stride, dims, kernel_size)
        dilations = _per_dimension("dilation", dilation, dims, dict.fromkeys(dims, 1))
        same = isinstance(padding, str)
        paddings = {} if same else _per_dimension("padding", padding, dims, dict.fromkeys(dims, 0))

        def window(some: Sequence[Hashable]) -> Window:
            kernel, step, apart = (tuple(each[dim] for dim in some) for each in (kernel_size, strides, dilations))
            around = padding if same else tuple(_pair(paddings[dim]) for dim in some)
            return Sliding(kernel, step, around, apart, ceil_mode)

        options = _Options(skipna, min_count, fill_value, where, dtype, chunks, impl)
        return _pooled(self._x, operator, _Windows(dims, window, "kernel_size"), options)

    def adaptive_pool(
        self,
        operator: Operator | str,
        output_size: Mapping[Hashable, int],
        *,
        skipna: bool | None = None,
        min_count: int | None = None,
        fill_value: float | None = None,
        where: Any = None,
        dtype: Any = None,
        chunks: Any = None,
        impl: str = "auto",
    ) -> Object:
        """`anypool.adaptive_pool`, by dimension: as many windows as outputs are wanted. Otherwise as `pool`.

        >>> import numpy as np
        >>> import xarray as xr
        >>> import anypool.xarray
        >>> x = xr.DataArray(np.arange(5.0), dims="t")
        >>> x.anypool.adaptive_pool("average", {"t": 3}).values
        array([0.5, 2. , 3.5])
        """
        _check_mapping("output_size", output_size, '{"y": 7, "x": 7}')

        def window(some: Sequence[Hashable]) -> Window:
            return Adaptive(tuple(output_size[dim] for dim in some))

        options = _Options(skipna, min_count, fill_value, where, dtype, chunks, impl)
        return _pooled(self._x, operator, _Windows(tuple(output_size), window, "output_size"), options)

    def coarsen(
        self,
        dim: Mapping[Any, int] | None = None,
        boundary: Any = "exact",
        side: Any = "left",
        coord_func: Any = "mean",
        **window_kwargs: int,
    ) -> Coarsen[Object]:
        """xarray's `coarsen`, pooled by anypool: the same arguments, values and coordinates.

        >>> import numpy as np
        >>> import xarray as xr
        >>> import anypool.xarray
        >>> x = xr.DataArray(np.arange(5.0), dims="t", coords={"t": np.arange(5)})
        >>> x.anypool.coarsen(t=2, boundary="trim").mean()
        <xarray.DataArray (t: 2)> Size: 16B
        array([0.5, 2.5])
        Coordinates:
          * t        (t) float64 16B 0.5 2.5
        """
        return Coarsen(self._x, _lengths(dim, window_kwargs), boundary, side, coord_func)

    def rolling(
        self,
        dim: Mapping[Any, int] | None = None,
        min_periods: int | None = None,
        center: Any = False,
        stride: Any = 1,
        **window_kwargs: int,
    ) -> Rolling[Object]:
        """xarray's `rolling`, pooled by anypool, every `stride` positions: the same arguments, values and coordinates.

        >>> import numpy as np
        >>> import xarray as xr
        >>> import anypool.xarray
        >>> x = xr.DataArray(np.arange(6.0), dims="t")
        >>> x.anypool.rolling(t=3, stride=2).mean().values
        array([nan,  1.,  3.])
        """
        return Rolling(self._x, _lengths(dim, window_kwargs), min_periods, center, stride)


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
        _check_dimensions(x, windows, "coarsen")

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

        return _pooled(
            x, operator, _Windows(tuple(windows), window, "coarsen", coordinate), _Options(skipna, min_count)
        )


class Rolling(Reductions[Object]):
    """`x.anypool.rolling(…)`: a window that ends at, or lies around, every position or every few."""

    def __init__(
        self, x: Object, windows: Mapping[Hashable, int], min_periods: int | None, center: Any, stride: Any
    ) -> None:
        dims = tuple(windows)
        _check_dimensions(x, windows, "rolling")
        self._x: Object = x
        self._windows = windows
        size = int(np.prod(list(windows.values())))
        self._min_periods = size if min_periods is None else as_integer("min_periods", min_periods, 1)
        self._center = _per_dimension("center", center, dims, dict.fromkeys(dims, False))
        strides = _per_dimension("stride", stride, dims, dict.fromkeys(dims, 1))
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
        options = _Options(skipna, least, dtype=dtype, promote=dtype is None)
        return _pooled(self._x, operator, _Windows(tuple(windows), window, "rolling", coordinate), options)


@xr.register_dataarray_accessor("anypool")
class DataArrayAccessor(Accessor[xr.DataArray]):
    """`x.anypool` of a DataArray."""


@xr.register_dataset_accessor("anypool")
class DatasetAccessor(Accessor[xr.Dataset]):
    """`x.anypool` of a Dataset."""


# ---------------------------------------------------------------------------------------------------------------------
# Pooling


def _centres(variable: xr.Variable, plans: Mapping[Hashable, AxisPlan], name: Hashable) -> xr.Variable:
    """A coordinate at the windows' centres along each of its pooled dimensions."""
    for dim, plan in plans.items():
        outputs = np.arange(plan.outputs)
        variable = _at(variable, dim, plan.start(outputs) + (plan.count(outputs) - 1) * plan.dilation / 2)
    return variable


@dataclass(frozen=True)
class _Windows:
    """Windows by dimension: the window along some of the dimensions, and what becomes of coordinates along them."""

    dims: tuple[Hashable, ...]
    window: Callable[[Sequence[Hashable]], Window]
    argument: str
    coordinate: Callable[[xr.Variable, Mapping[Hashable, AxisPlan], Hashable], xr.Variable] = _centres

    def along(self, variable: xr.Variable) -> tuple[Hashable, ...]:
        return tuple(dim for dim in self.dims if dim in variable.dims)


@dataclass(frozen=True)
class _Options:
    skipna: bool | None = None
    min_count: int | None = None
    fill_value: float | None = None
    where: Any = None
    dtype: Any = None
    chunks: Any = None
    impl: str = "auto"
    promote: bool = False
    """Whether integers become floats, as in xarray where windows may be filled with NaN."""


def _pooled(x: Object, operator: Operator | str, windows: _Windows, options: _Options) -> Object:
    _check_dimensions(x, windows.dims, windows.argument)
    if isinstance(options.where, xr.DataArray):
        xr.align(x, options.where, join="exact", copy=False)
    if isinstance(x, xr.Dataset):
        return _dataset(x, operator, windows, options, of_dataset=True)
    found = _dataset(x.to_dataset(name=_ALONE), operator, windows, options, of_dataset=False)
    return found[_ALONE].rename(x.name)


_ALONE = "the array that is pooled"
"""What a DataArray is called as the only variable of a Dataset."""


def _dataset(
    x: xr.Dataset, operator: Operator | str, windows: _Windows, options: _Options, of_dataset: bool
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


def _variable(variable: xr.Variable, operator: Operator | str, windows: _Windows, options: _Options) -> xr.Variable:
    dims = windows.along(variable)
    if not dims:
        return variable
    x = variable.data
    if options.promote and x.dtype.kind in "iub":
        x = x.astype("float32" if x.dtype.itemsize <= 2 else "float64")
    omits = options.skipna if options.skipna is not None else True
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


def _check_dimensions(x: Any, dims: Any, argument: str) -> None:
    missing = [dim for dim in dims if dim not in x.dims]
    if missing:
        raise ValueError(f"{argument} must name dimensions of x, {tuple(x.dims)}, got {missing[0]!r}")


def _check_mapping(name: str, value: Any, example: str) -> None:
    if not isinstance(value, Mapping) or not value:
        raise TypeError(f"{name} must map dimensions to sizes, as {example}, got {value!r}")


def _per_dimension(
    name: str, value: Any, dims: Sequence[Hashable], otherwise: Mapping[Hashable, Any]
) -> dict[Any, Any]:
    """A setting of every dimension, from one for all or a mapping of some."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(dims, value)
    unknown = [dim for dim in value if dim not in dims]
    if unknown:
        raise ValueError(f"{name} must name dimensions that are pooled, {tuple(dims)}, got {unknown[0]!r}")
    return {dim: value.get(dim, otherwise[dim]) for dim in dims}


def _one_of(name: str, value: Any, dims: Mapping[Hashable, Any], allowed: Sequence[str]) -> dict[Any, str]:
    found = _per_dimension(name, value, tuple(dims), dict.fromkeys(dims, allowed[0]))
    for each in found.values():
        if each not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {each!r}")
    return found


def _pair(padding: Any) -> Any:
    """(before, after), as `Sliding` takes it beside others."""
    return padding if isinstance(padding, Sequence) and not isinstance(padding, str) else (padding, padding)


def _lengths(dim: Mapping[Any, int] | None, window_kwargs: Mapping[str, int]) -> dict[Hashable, int]:
    given = {**(dim or {}), **window_kwargs}
    _check_mapping("dim", given, "{'y': 2, 'x': 2}")
    return {name: as_integer("the window of " + repr(name), size, 1) for name, size in given.items()}
