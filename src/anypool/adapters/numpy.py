"""NumPy arrays, and whatever NumPy reads as one."""

from __future__ import annotations

from typing import Any

import numpy as np

from anypool.adapters import Adapter
from anypool.cpu import kernels
from anypool.definition import Pooling
from anypool.operators import FLOATS, Defaults

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

    abs = staticmethod(np.abs)
    any = staticmethod(np.any)
    asarray = staticmethod(np.asarray)
    concat = staticmethod(np.concatenate)
    expand_dims = staticmethod(np.expand_dims)
    isnan = staticmethod(np.isnan)
    max = staticmethod(np.max)
    min = staticmethod(np.min)
    moveaxis = staticmethod(np.moveaxis)
    reshape = staticmethod(np.reshape)
    round = staticmethod(np.rint)
    shape = staticmethod(np.shape)
    squeeze = staticmethod(np.squeeze)
    sum = staticmethod(np.sum)
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
    def constant(x: np.ndarray) -> np.ndarray:
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
    def zero(x: np.ndarray) -> np.ndarray:
        return np.zeros((), dtype=x.dtype)

    @staticmethod
    def zeros(shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
        return np.zeros(shape, dtype=x.dtype)

    @staticmethod
    def take_along_last(x: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.take_along_axis(x, places, axis=-1)

    @staticmethod
    def latest(places: np.ndarray, size: int) -> np.ndarray:
        """For places (rows, sources): the last source of each of `size` places in its row, −1 where there is none."""
        latest = np.full((places.shape[0], size), -1, dtype=np.int64)
        # NumPy assigns repeated places in order, so that the last stays.
        np.put_along_axis(latest, places, np.arange(places.shape[1], dtype=np.int64)[None, :], axis=1)
        return latest


class NumPy(Adapter):
    name = "NumPy"
    defaults = Defaults()
    order = ("kernel", "definition")

    def array(self, x: Any) -> np.ndarray:
        if type(x) is np.ndarray and x.dtype.isnative:
            return x
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError("x is a masked array, whose mask pooling would ignore: fill it first, x.filled(value)")
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

    def choose(self, impl: str, x: Any, pooling: Pooling) -> str:
        if impl == "auto":
            return "kernel" if kernels.refusal(pooling) is None else "definition"
        return super().choose(impl, x, pooling)

    def refusal(self, implementation: str, x: Any, pooling: Pooling) -> str | None:
        return kernels.refusal(pooling) if implementation == "kernel" else super().refusal(implementation, x, pooling)

    def run(self, implementation: str, x: Any, pooling: Pooling) -> Any:
        if implementation == "kernel":
            return _by_kernel(x, pooling)
        # NaN and infinities are data: they pass without NumPy's warnings, as they do in compiled code.
        with np.errstate(all="ignore"):
            result = super().run(implementation, x, pooling)
        return tuple(_in_order_of(x, array) for array in result) if pooling.return_indices else _in_order_of(x, result)

    def is_array(self, x: Any) -> bool:
        return isinstance(x, np.ndarray)

    def run_into(self, out: Any, implementation: str, x: Any, pooling: Pooling) -> Any:
        if implementation == "kernel" and isinstance(out, np.ndarray):  # kernels make the same checks
            return _by_kernel(x, pooling, out)
        self.check_out(out, pooling.output_shape, pooling.result)
        if not out.flags.writeable:
            raise ValueError("out must be an array that can be written into, got a read-only one")
        if np.may_share_memory(out, x):
            raise ValueError("out must not overlap x in memory: windows would read what was written")
        result = self.run(implementation, x, pooling)
        values, indices = result if pooling.return_indices else (result, None)
        np.copyto(out, values)
        return (out, indices) if pooling.return_indices else out

    def largest(self, indices: Any) -> tuple[int, int] | None:
        return (int(indices.min()), int(indices.max())) if indices.size else None


def _by_kernel(x: np.ndarray, pooling: Pooling, out: np.ndarray | None = None) -> Any:
    if not pooling.return_indices:
        return kernels.forward(x, pooling, out)
    values, offsets = kernels.forward_with_offsets(x, pooling, out)
    return values, kernels.indices(offsets, pooling)


def _in_order_of(x: np.ndarray, result: np.ndarray) -> np.ndarray:
    """The result with the axis that varies fastest in x varying fastest."""
    ordered = np.empty_like(x, dtype=result.dtype, shape=result.shape)
    if ordered.strides == result.strides:
        return result
    ordered[...] = result
    return ordered


ADAPTER = NumPy()
