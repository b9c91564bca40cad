"""NumPy arrays, and whatever NumPy reads as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from anypool.adapters.base import Adapter, Definition, Implementation, Lifted
from anypool.arguments import FLOATS
from anypool.cpu import kernels, unpooling
from anypool.definition import out_of_range
from anypool.masks import Settings, leaves_out, passed_on
from anypool.networks import LONGEST, comparisons
from anypool.operators import Defaults
from anypool.pooling import Pooling

_NAMES: dict[np.dtype, str] = {}


def name_of(dtype: np.dtype) -> str:
    """The name of a dtype, remembered: NumPy spells it out anew every time, which takes longer than a small pooling."""
    name = _NAMES.get(dtype)
    if name is None:
        name = _NAMES[dtype] = dtype.name
    return name


def dtype_of(name: str) -> np.dtype:
    """The NumPy dtype of a name; bfloat16 is ml_dtypes'."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


class Namespace:
    """NumPy's functions, and those that NumPy spells otherwise."""

    windows_at_once = 4 * 2**20
    abs = staticmethod(np.abs)
    any = staticmethod(np.any)
    asarray = staticmethod(np.asarray)
    broadcast_to = staticmethod(np.broadcast_to)
    concat = staticmethod(np.concatenate)
    exp = staticmethod(np.exp)
    expand_dims = staticmethod(np.expand_dims)
    expm1 = staticmethod(np.expm1)
    isfinite = staticmethod(np.isfinite)
    isnan = staticmethod(np.isnan)
    log = staticmethod(np.log)
    log1p = staticmethod(np.log1p)
    matmul = staticmethod(np.matmul)
    max = staticmethod(np.max)
    max_of_all = staticmethod(np.max)
    maximum = staticmethod(np.maximum)
    min = staticmethod(np.min)
    minimum = staticmethod(np.minimum)
    moveaxis = staticmethod(np.moveaxis)
    reshape = staticmethod(np.reshape)
    round = staticmethod(np.rint)
    shape = staticmethod(np.shape)
    sign = staticmethod(np.sign)
    sqrt = staticmethod(np.sqrt)
    squeeze = staticmethod(np.squeeze)
    take = staticmethod(np.take)
    transpose = staticmethod(np.transpose)
    where = staticmethod(np.where)

    @staticmethod
    def arange(n: int) -> np.ndarray:
        return np.arange(n, dtype=np.int64)

    @staticmethod
    def astype(x: np.ndarray, dtype: str) -> np.ndarray:
        return np.asarray(x).astype(dtype_of(dtype), copy=False)

    @staticmethod
    def astype_like(x: np.ndarray, other: np.ndarray) -> np.ndarray:
        return x.astype(other.dtype)

    @staticmethod
    def sort(x: np.ndarray) -> np.ndarray:
        if not 1 < x.shape[-1] <= LONGEST:
            return np.sort(x)
        lanes = list(np.moveaxis(x, -1, 0).copy())
        spare = np.empty_like(lanes[0])
        for low, high in comparisons(len(lanes)):
            least = np.minimum(lanes[low], lanes[high], out=spare)
            np.maximum(lanes[low], lanes[high], out=lanes[high])
            lanes[low], spare = least, lanes[low]
        return np.moveaxis(np.stack(lanes), 0, -1)

    @staticmethod
    def sum(x: np.ndarray, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
        if axis != -1 or x.shape[-1] == 0 or x.dtype.name not in FLOATS:
            return np.sum(x, axis=axis, keepdims=keepdims)
        total = _halved(x)
        return total if keepdims else total[..., 0]

    @staticmethod
    def stop_gradient(x: np.ndarray) -> np.ndarray:
        return x

    @staticmethod
    def is_floating(x: np.ndarray) -> bool:
        return x.dtype.name in FLOATS

    @staticmethod
    def lowest(x: np.ndarray) -> np.ndarray:
        return np.asarray(-np.inf if x.dtype.name in FLOATS else np.iinfo(x.dtype).min, dtype=x.dtype)

    @staticmethod
    def highest(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.inf if x.dtype.name in FLOATS else np.iinfo(x.dtype).max, dtype=x.dtype)

    @staticmethod
    def nan_like(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.nan, dtype=x.dtype)

    @staticmethod
    def index_ones_like(x: np.ndarray) -> np.ndarray:
        return np.ones(x.shape, dtype=np.int64)

    @staticmethod
    def zero(x: np.ndarray) -> np.ndarray:
        return np.zeros((), dtype=x.dtype)

    @staticmethod
    def zeros(shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
        return np.zeros(shape, dtype=x.dtype)

    @staticmethod
    def take_along_axis(x: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.take_along_axis(x, places, axis=-1)

    @staticmethod
    def view_as_real(x: np.ndarray) -> np.ndarray:
        parts = x.real  # strided as x is
        return np.lib.stride_tricks.as_strided(parts, (*x.shape, 2), (*x.strides, parts.itemsize), writeable=False)

    @staticmethod
    def view_as_complex(pairs: np.ndarray) -> np.ndarray:
        dtype = np.result_type(pairs.dtype, np.complex64)
        if pairs.size and pairs.strides[-1] == pairs.itemsize:
            return pairs.view(dtype)[..., 0]
        result = np.empty(pairs.shape[:-1], dtype)
        result.real, result.imag = pairs[..., 0], pairs[..., 1]
        return result

    @staticmethod
    def scatter_last(places: np.ndarray, size: int) -> np.ndarray:
        """For places (rows, sources): the last source of each of `size` places in its row, −1 where there is none."""
        latest = np.full((places.shape[0], size), -1, dtype=np.int64)
        # NumPy assigns repeated places in order, so that the last stays.
        np.put_along_axis(latest, places, np.arange(places.shape[1], dtype=np.int64)[None, :], axis=1)
        return latest


def _halved(x: np.ndarray) -> np.ndarray:
    """The sum along the last axis, which stays: one half upon the other until one element is left.

    The order of NumPy's own sums depends on how an array lies in memory, and that on how many windows are computed at
    once; this one's does not.
    """
    while (size := x.shape[-1]) > 1:
        half = size // 2
        total = x[..., :half] + x[..., half : 2 * half]
        if size % 2:
            total[..., 0] += x[..., -1]
        x = total
    return x


class Kernel(Implementation):
    """The compiled kernels; of elements that are beyond their arithmetic, the definition."""

    name = "kernel"

    def refusal(self, x: np.ndarray, pooling: Pooling) -> str | None:
        return kernels.refusal(pooling)

    def run(self, x: np.ndarray, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        try:
            return self._run(x, pooling, None)
        except OverflowError:
            return Definition(self.adapter).run(x, pooling, parameters)

    def run_into(self, out: Any, x: np.ndarray, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        if not isinstance(out, np.ndarray) or not _is_writable_by_kernels(out):
            return super().run_into(out, x, pooling, parameters)
        try:
            return self._run(x, pooling, out)  # kernels make the same checks
        except OverflowError:
            self.adapter.write(out, Definition(self.adapter).run(x, pooling, parameters))
            return out

    @staticmethod
    def _run(x: np.ndarray, pooling: Pooling, out: np.ndarray | None) -> Any:
        if not pooling.return_indices:
            return kernels.forward(x, pooling, out)
        values, offsets = kernels.forward_with_offsets(x, pooling, out)
        return values, kernels.indices(offsets, pooling)


def _is_writable_by_kernels(out: np.ndarray) -> bool:
    """Whether elements are aligned and lie whole elements apart; those of a field of packed records may not."""
    return out.flags.aligned and not any(stride % out.itemsize for stride in out.strides)


_LOADED_BY_HAND = {
    "zarr": 'install "anypool[dask]", by which it is pooled chunk by chunk, or pool x[...]',
    "h5py": "pool dask.array.from_array(x), chunk by chunk, or x[...]",
    "xarray": "import anypool.xarray and use x.anypool.pool(…), or pool x.data",
    "scipy": "pool x.toarray()",
    "sparse": "pool x.todense()",
}
"""Libraries whose arrays NumPy would load whole, or take for objects, and what to do instead."""


class NumPy(Adapter):
    name = "NumPy"
    complex_as_pairs = True
    defaults = Defaults()

    def __init__(self) -> None:
        self.kernel = Kernel(self)
        self.implementations = (self.kernel, Lifted(self.kernel), Definition(self))

    def array(self, x: Any) -> np.ndarray:
        if type(x) is np.ndarray and x.dtype.isnative:
            return x
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError("x is a masked array, whose mask pooling would ignore: fill it first, x.filled(value)")
        kind = type(x)
        advice = _LOADED_BY_HAND.get(kind.__module__.partition(".")[0])
        if advice is not None and not isinstance(x, np.ndarray):
            raise TypeError(f"x must be loaded before it is pooled, got a {kind.__module__}.{kind.__name__}: {advice}")
        if x is None or isinstance(x, dict | set | str | bytes):
            raise TypeError(f"x must be an array, got {kind.__name__}")
        try:
            array = np.asarray(x)
        except ValueError as error:
            raise ValueError(
                f"x must be an array with rows of equal length, got a ragged {type(x).__name__}: {error}"
            ) from None
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def dtype(self, x: Any) -> str:
        return name_of(x.dtype)

    def namespace(self, x: Any) -> type[Namespace]:
        return Namespace

    def masked(
        self, x: np.ndarray, where: Any, pooling: Pooling, parameters: Sequence[Any], settings: Settings, impl: str
    ) -> Any:
        by_kernel = impl in ("auto", "kernel") and leaves_out(where, settings)
        if not by_kernel or kernels.masked_refusal(pooling) is not None:
            return super().masked(x, where, pooling, parameters, settings, impl)
        mask, omits = passed_on(self, x, where, pooling, settings)
        return kernels.masked(x, pooling, mask, omits, settings.least(pooling), settings.filling(pooling))

    def choose(self, impl: str, x: np.ndarray, pooling: Pooling) -> Implementation:
        if impl == "auto" and kernels.refusal(pooling) is None:
            return self.kernel  # what the loop would find, in a third of its time
        return super().choose(impl, x, pooling)

    def quiet(self) -> np.errstate:
        return np.errstate(all="ignore")

    def in_order_of(self, x: np.ndarray, result: Any) -> Any:
        return tuple(_ordered(x, each) for each in result) if isinstance(result, tuple) else _ordered(x, result)

    writable = True

    def is_array(self, x: Any) -> bool:
        return isinstance(x, np.ndarray)

    def check_writable(self, out: np.ndarray, x: np.ndarray) -> None:
        if not out.flags.writeable:
            raise ValueError("out must be an array that can be written into, got a read-only one")
        if np.may_share_memory(out, x):
            raise ValueError("out must not overlap x in memory: windows would read what was written")

    def write(self, out: np.ndarray, values: np.ndarray) -> None:
        np.copyto(out, values)

    def unpool(self, x: np.ndarray, indices: np.ndarray, axes: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
        if not self.checks_indices(x, indices):
            return super().unpool(x, indices, axes, lengths)
        order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
        permutation, rows = unpooling.arrangement(order, axes)
        places = np.transpose(indices, permutation)
        outer, inner = places.shape[:rows], places.shape[rows + len(axes) :]
        dense = math.prod(outer), math.prod(x.shape[axis] for axis in axes), math.prod(inner)
        bits = np.ascontiguousarray(np.transpose(x, permutation).reshape(dense)).view(f"u{x.itemsize}")
        result = np.empty((dense[0], math.prod(lengths), dense[2]), bits.dtype)
        if not unpooling.forward(bits, np.ascontiguousarray(places.reshape(dense), np.int64), result):
            raise out_of_range(int(indices.min()), int(indices.max()), lengths)
        back = sorted(range(x.ndim), key=permutation.__getitem__)
        return result.view(x.dtype).reshape(*outer, *lengths, *inner).transpose(back)

    def checks_indices(self, x: np.ndarray, indices: np.ndarray) -> bool:
        return kernels.available() and x.itemsize in unpooling.ELEMENT_BYTES

    def largest(self, indices: Any) -> tuple[int, int] | None:
        return (int(indices.min()), int(indices.max())) if indices.size else None


def _ordered(x: np.ndarray, result: np.ndarray) -> np.ndarray:
    """The result with the axis that varies fastest in x varying fastest."""
    ordered = np.empty_like(x, dtype=result.dtype, shape=result.shape)
    if ordered.strides == result.strides:
        return result
    ordered[...] = result
    return ordered


ADAPTER = NumPy()
