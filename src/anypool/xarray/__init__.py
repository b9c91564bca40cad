"""xarray: `import anypool.xarray` gives DataArrays and Datasets an accessor, `x.anypool`, that pools by dimension.

Names, attributes, other dimensions and their coordinates stay; a coordinate along a pooled dimension is that of the
windows' centres. Dask arrays stay lazy. As everywhere in xarray, NaN does not count in floats unless `skipna=False`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic

from anypool.arguments import as_integer
from anypool.operators import Operator
from anypool.windows import Adaptive, Sliding, Window
from anypool.xarray.arrays import Object, Options, Windows, check_mapping, per_dimension, pooled, xr
from anypool.xarray.reductions import Coarsen, Reductions, Rolling

__all__ = ["Accessor", "Coarsen", "DataArrayAccessor", "DatasetAccessor", "Reductions", "Rolling"]

PerDimension = Mapping[Hashable, Any]


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
        padding_mode: str = "exclude",
        *,
        skipna: bool | None = None,
        min_count: int | None = None,
        fill_value: float | None = None,
        where: Any = None,
        dtype: Any = None,
        chunks: Any = None,
        impl: str = "auto",
    ) -> Object:
        """`anypool.pool` with `Sliding(kernel_size, stride, padding, dilation, ceil_mode, padding_mode)`, by dimension.

        Args:
            operator: what to keep of a window: an operator or its name.
            kernel_size: elements per window along each pooled dimension, as {"y": 3, "x": 3}.
            stride, padding, dilation: as `Sliding` takes them, and one for all dimensions or a mapping of some; a
                padding is an int, (before, after), or one of "valid", "same" and "same_lower" for all.
            ceil_mode: whether a last, partial window counts.
            padding_mode: what lies in the padding, as `Sliding` takes it.
            skipna: whether NaN is left out; default: of floats, by operators that can leave elements out.
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
        check_mapping("kernel_size", kernel_size, '{"y": 3, "x": 3}')
        dims = tuple(kernel_size)
        strides = kernel_size if stride is None else per_dimension("stride", stride, dims, kernel_size)
        dilations = per_dimension("dilation", dilation, dims, dict.fromkeys(dims, 1))
        same = isinstance(padding, str)
        paddings = {} if same else per_dimension("padding", padding, dims, dict.fromkeys(dims, 0))

        def window(some: Sequence[Hashable]) -> Window:
            kernel, step, apart = (tuple(each[dim] for dim in some) for each in (kernel_size, strides, dilations))
            around = padding if same else tuple(_pair(paddings[dim]) for dim in some)
            return Sliding(kernel, step, around, apart, ceil_mode, padding_mode)

        options = Options(skipna, min_count, fill_value, where, dtype, chunks, impl)
        return pooled(self._x, operator, Windows(dims, window, "kernel_size"), options)

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
        check_mapping("output_size", output_size, '{"y": 7, "x": 7}')

        def window(some: Sequence[Hashable]) -> Window:
            return Adaptive(tuple(output_size[dim] for dim in some))

        options = Options(skipna, min_count, fill_value, where, dtype, chunks, impl)
        return pooled(self._x, operator, Windows(tuple(output_size), window, "output_size"), options)

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


@xr.register_dataarray_accessor("anypool")
class DataArrayAccessor(Accessor[xr.DataArray]):
    """`x.anypool` of a DataArray."""


@xr.register_dataset_accessor("anypool")
class DatasetAccessor(Accessor[xr.Dataset]):
    """`x.anypool` of a Dataset."""


def _pair(padding: Any) -> Any:
    """(before, after), as `Sliding` takes it beside others."""
    return padding if isinstance(padding, Sequence) and not isinstance(padding, str) else (padding, padding)


def _lengths(dim: Mapping[Any, int] | None, window_kwargs: Mapping[str, int]) -> dict[Hashable, int]:
    given = {**(dim or {}), **window_kwargs}
    check_mapping("dim", given, "{'y': 2, 'x': 2}")
    return {name: as_integer("the window of " + repr(name), size, 1) for name, size in given.items()}
