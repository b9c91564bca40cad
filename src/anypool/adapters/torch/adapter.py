"""PyTorch tensors, on any device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from anypool import definition, masks, padding
from anypool.adapters.base import Adapter, Definition, Implementation, Lifted
from anypool.adapters.torch import aten, eager, library, ordering, unpooling
from anypool.arguments import DTYPES
from anypool.cpu import kernels
from anypool.cpu.unpooling import ELEMENT_BYTES
from anypool.definition import out_of_range
from anypool.networks import LONGEST, comparisons
from anypool.operators import Defaults, Sum
from anypool.pooling import Pooling

NAMES = {getattr(torch, name): name for name in DTYPES}
"""The dtypes that pool, and their names."""

SAME_BITS = {"uint16": torch.int16, "uint32": torch.int32, "uint64": torch.int64}
"""The dtypes that torch stores but hardly computes in, and the signed ones of their size."""


class Namespace:
    """torch's functions for tensors on one device, under NumPy's names."""

    abs = staticmethod(torch.abs)
    reshape = staticmethod(torch.reshape)
    broadcast_to = staticmethod(torch.broadcast_to)
    exp = staticmethod(torch.exp)
    isfinite = staticmethod(torch.isfinite)
    log = staticmethod(torch.log)
    log1p = staticmethod(torch.log1p)
    matmul = staticmethod(torch.matmul)
    sign = staticmethod(torch.sign)
    sqrt = staticmethod(torch.sqrt)
    isnan = staticmethod(torch.isnan)
    round = staticmethod(torch.round)
    stop_gradient = staticmethod(eager.detached)

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def may_have_constants(self) -> bool:
        """Whether a program that is being made takes constants; those that take others apart do not."""
        return get_proxy_mode() is None

    @property
    def windows_at_once(self) -> float:
        """Blocks that stay in cache, but where a program is made, which would grow with their number."""
        eager = self.device.type == "cpu" and not (_compiling() or _dispatching()) and _tracing() is None
        return 4 * 2**20 if eager else math.inf

    def arange(self, n: Any) -> Tensor:
        return torch.arange(n, device=self.device)

    def asarray(self, x: Any) -> Tensor:
        if isinstance(x, Tensor):
            return x
        state = _tracing()
        if state is None:
            return torch.from_numpy(np.ascontiguousarray(x)).to(self.device)
        torch._C._set_tracing_state(None)  # type: ignore[attr-defined]  # torch.jit.trace warns of constants: this is one
        try:
            return torch.from_numpy(np.ascontiguousarray(x)).to(self.device)
        finally:
            torch._C._set_tracing_state(state)  # type: ignore[attr-defined]

    @staticmethod
    def where(condition: Tensor, x: Any, y: Any) -> Tensor:
        if isinstance(x, Tensor) and isinstance(y, Tensor) and x.dtype is y.dtype is torch.bool:
            return (condition & x) | (~condition & y)  # ONNX Runtime has no choice between booleans
        return torch.where(condition, x, y)

    @staticmethod
    def expm1(x: Tensor) -> Tensor:
        return torch.exp(x) - 1 if torch.onnx.is_in_onnx_export() else torch.expm1(x)  # ONNX has none

    @staticmethod
    def any(x: Tensor, axis: int, keepdims: bool = False) -> Tensor:
        return torch.any(x, axis, keepdim=keepdims)

    @staticmethod
    def max(x: Tensor, axis: int, keepdims: bool = False) -> Tensor:
        return torch.amax(x, axis, keepdim=keepdims)

    @staticmethod
    def min(x: Tensor, axis: int, keepdims: bool = False) -> Tensor:
        return torch.amin(x, axis, keepdim=keepdims)

    @staticmethod
    def max_of_all(x: Tensor) -> Tensor:
        return torch.amax(x, tuple(range(x.ndim)))  # ONNX exporters know it with axes alone

    @staticmethod
    def maximum(x: Tensor, y: Any) -> Tensor:
        return torch.maximum(x, y) if isinstance(y, Tensor) else torch.clamp(x, min=y)

    @staticmethod
    def minimum(x: Tensor, y: Any) -> Tensor:
        return torch.minimum(x, y) if isinstance(y, Tensor) else torch.clamp(x, max=y)

    @staticmethod
    def sort(x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():  # the exporters have no stable one, which only gradients can tell
            return torch.sort(x, dim=-1).values
        needs_gradient = x.requires_grad and torch.is_grad_enabled()
        if needs_gradient or not is_plain(x) or not 1 < x.shape[-1] <= LONGEST:
            return torch.sort(x, dim=-1, stable=True).values
        lanes = list(torch.movedim(x, -1, 0).clone(memory_format=torch.contiguous_format))
        spare = torch.empty_like(lanes[0])
        for low, high in comparisons(len(lanes)):
            least = torch.minimum(lanes[low], lanes[high], out=spare)
            torch.maximum(lanes[low], lanes[high], out=lanes[high])
            lanes[low], spare = least, lanes[low]
        return torch.movedim(torch.stack(lanes), 0, -1)

    @staticmethod
    def astype_like(x: Tensor, other: Tensor) -> Tensor:
        return x.to(other.dtype)

    @staticmethod
    def index_ones_like(x: Tensor) -> Tensor:
        return torch.ones_like(x, dtype=torch.int64)

    @staticmethod
    def nan_like(x: Tensor) -> Tensor:
        return torch.full((), float("nan"), dtype=x.dtype, device=x.device)

    @staticmethod
    def sum(x: Tensor, axis: int, keepdims: bool = False) -> Tensor:
        return torch.sum(x, axis, keepdim=keepdims, dtype=x.dtype)

    @staticmethod
    def astype(x: Tensor, dtype: str) -> Tensor:
        return x.to(getattr(torch, dtype))

    @staticmethod
    def concat(parts: Sequence[Tensor], axis: int) -> Tensor:
        return torch.cat(list(parts), axis)

    @staticmethod
    def expand_dims(x: Tensor, axis: int | tuple[int, ...]) -> Tensor:
        for place in (axis,) if isinstance(axis, int) else sorted(axis):
            x = torch.unsqueeze(x, place)
        return x

    @staticmethod
    def transpose(x: Tensor, axes: Sequence[int]) -> Tensor:
        return _comparable(torch.permute(x, tuple(axes)))

    @staticmethod
    def moveaxis(x: Tensor, source: Sequence[int], destination: Sequence[int]) -> Tensor:
        # TorchScript's ONNX exporter writes negative axes down as they are.
        return _comparable(
            torch.movedim(x, [axis % x.ndim for axis in source], [axis % x.ndim for axis in destination])
        )

    @staticmethod
    def squeeze(x: Tensor, axes: Sequence[int]) -> Tensor:
        for axis in sorted(axes, reverse=True):  # one by one, for the same exporter
            x = torch.squeeze(x, axis)
        return x

    @staticmethod
    def is_floating(x: Tensor) -> bool:
        return x.dtype.is_floating_point

    def lowest(self, x: Tensor) -> Tensor:
        return torch.full((), _lowest(x.dtype), dtype=x.dtype, device=self.device)

    def highest(self, x: Tensor) -> Tensor:
        return torch.full((), _highest(x.dtype), dtype=x.dtype, device=self.device)

    def zero(self, x: Tensor) -> Tensor:
        return torch.zeros((), dtype=x.dtype, device=self.device)

    def zeros(self, shape: tuple[Any, ...], x: Tensor) -> Tensor:
        return torch.zeros(shape, dtype=x.dtype, device=self.device)

    @staticmethod
    def shape(x: Tensor) -> tuple[Any, ...]:
        return tuple(x.shape)

    @staticmethod
    def take(x: Tensor, places: Tensor, axis: int) -> Tensor:
        return torch.index_select(x, axis, places)

    @staticmethod
    def take_along_axis(x: Tensor, places: Tensor) -> Tensor:
        return torch.gather(x, -1, places)

    @staticmethod
    def view_as_real(x: Tensor) -> Tensor:
        return torch.view_as_real(x.resolve_conj())

    @staticmethod
    def view_as_complex(pairs: Tensor) -> Tensor:
        return torch.view_as_complex(pairs if pairs.stride(-1) == 1 else pairs.contiguous())

    def scatter_last(self, places: Tensor, size: int) -> Tensor:
        """For places (rows, sources): the last source of each of `size` places in its row, −1 where there is none."""
        rows, sources = places.shape
        latest = torch.full((rows, size), -1, dtype=torch.int64, device=self.device)
        numbers = torch.arange(sources, device=self.device).expand(rows, sources)
        return latest.scatter_reduce(1, places.to(torch.int64), numbers, "amax")


def _comparable(x: Tensor) -> Tensor:
    """x, row-major where lengths are symbols: torch compares strides, and an export would keep how it came out."""
    return x.contiguous() if any(isinstance(length, torch.SymInt) for length in x.shape) else x


def _lowest(dtype: torch.dtype) -> float | int:
    return -float("inf") if dtype.is_floating_point else torch.iinfo(dtype).min


def _highest(dtype: torch.dtype) -> float | int:
    return float("inf") if dtype.is_floating_point else torch.iinfo(dtype).max


_namespace = lru_cache(maxsize=64)(Namespace)
_DEFAULTS = {dtype: Defaults(floating=name) for dtype, name in NAMES.items() if dtype.is_floating_point}

PLAIN = (Tensor, torch.nn.Parameter)
_compiling, _transforming = torch.compiler.is_compiling, torch._C._are_functorch_transforms_active
_strided, _is_batched = torch.strided, torch._C._functorch.is_legacy_batchedtensor
_dispatching, _tracing = torch._C._len_torch_dispatch_stack, torch._C._get_tracing_state


def is_plain(x: Any) -> bool:
    """Whether x is a dense tensor of floats on the CPU, and nobody compiles, traces, transforms or watches the call."""
    if _compiling() or type(x) not in PLAIN or not x.is_cpu or x.dtype not in _DEFAULTS:
        return False
    if x.layout is not _strided or x.is_neg():
        return False
    watched = _transforming() or _is_batched(x) or forward_ad._current_level >= 0 or _dispatching()
    return not watched and _tracing() is None


def _traced(x: Tensor) -> bool:
    """Whether what happens to x is watched by others: a subclass of Tensor, a mode, or a tracer."""
    return type(x) not in PLAIN or _dispatching() > 0 or _tracing() is not None


class Lengths(tuple[Any, ...]):
    """The lengths of a tensor that torch.jit.trace follows: tensors themselves, whose arithmetic it records. Without a
    hash, since no cache may keep what belongs to one trace."""

    __hash__ = None  # type: ignore[assignment]


TRANSFORMED = "under torch.func transforms and in forward mode the definition is what differentiates"


def _is_onnx_export() -> bool:
    return torch.onnx.is_in_onnx_export() and torch.compiler.is_exporting()


class Onnx(Implementation):
    """ONNX's own nodes, while torch.onnx exports a program."""

    name = "framework"

    def refusal(self, x: Tensor, pooling: Pooling) -> str | None:
        if not _is_onnx_export():
            return "no program is exported to ONNX"
        from anypool.adapters.torch import onnx

        return onnx.refusal(pooling)

    def run(self, x: Tensor, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        from anypool.adapters.torch import onnx

        return onnx.run(x, pooling)


def _gradient_refusal(x: Tensor, pooling: Pooling) -> str | None:
    """Why there would be no gradient of the kernels where one is wanted."""
    return kernels.gradient_refusal(pooling) if x.requires_grad and torch.is_grad_enabled() else None


class Kernel(Implementation):
    """The compiled kernels: at once, or as operators of a traced program; of elements that are beyond their arithmetic,
    the definition."""

    name = "kernel"

    def refusal(self, x: Tensor, pooling: Pooling) -> str | None:
        if not x.is_cpu:
            return f"kernels run on CPU tensors, x is on {x.device}"
        if eager.is_transformed(x):
            return TRANSFORMED
        if _tracing() is not None or _is_onnx_export():
            return "TorchScript and ONNX programs are for machines that may know torch's operators alone"
        if _traced(x) and (reason := kernels.gradient_refusal(pooling)):
            return f"{reason}, and programs may be differentiated"
        return eager.refusal(pooling) or _gradient_refusal(x, pooling)

    def run(self, x: Tensor, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        if _traced(x):
            return library.run(x, pooling)
        try:
            return eager.run(x, pooling)
        except OverflowError:
            return SignedDefinition(self.adapter).run(x, pooling, parameters)

    def run_into(self, out: Any, x: Tensor, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        adapter = self.adapter
        adapter.check_out(out, pooling.output_shape, pooling.result)
        adapter.check_writable(out, x)
        apart = out.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()
        if apart and out.is_contiguous() and not (out.is_neg() or pooling.return_indices or _traced(x)):
            try:
                return eager.values_into(out, x, pooling)
            except OverflowError:
                pass  # the same way as below
        return super().run_into(out, x, pooling, parameters)


class Aten(Implementation):
    """torch's own operators."""

    name = "framework"

    def refusal(self, x: Tensor, pooling: Pooling) -> str | None:
        if eager.is_transformed(x):
            return TRANSFORMED
        if _is_onnx_export():
            return "ONNX exporters do not know all of torch's operators"
        return aten.refusal(x, pooling)

    def run(self, x: Tensor, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        result = aten.run(x, pooling)
        if _compiling() and eager.order(result) != eager.order(x):  # compiled programs lay results out as eager ones
            return self.adapter.in_order_of(x, result)
        return result


class SignedLifted(Lifted):
    """An operator by its reductions, in dtypes in which torch computes."""

    def refusal(self, x: Tensor, pooling: Pooling) -> str | None:
        if pooling.accumulator in SAME_BITS:
            return f"torch has no arithmetic in {pooling.accumulator}"
        return super().refusal(x, pooling)


class SignedDefinition(Definition):
    """The definition; of the unsigned integers that torch stores but hardly computes in, in int64."""

    def run(self, x: Tensor, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        if pooling.accumulator not in SAME_BITS:
            return super().run(ordering.with_ordered_gradient(x) if is_plain(x) else x, pooling, parameters)
        return self.adapter.in_order_of(x, self._run_unsigned(x, pooling, parameters))

    def _run_unsigned(self, x: Tensor, pooling: Pooling, parameters: Sequence[Any]) -> Any:
        """Order statistics and sums of unsigned integers, in int64: order by a map that keeps it, sums modulo 2⁶⁴."""
        orders = not isinstance(pooling.operator, Sum)
        flip = torch.iinfo(torch.int64).min if orders and pooling.dtype == "uint64" else 0
        signed = (x.view(torch.int64) if x.dtype is torch.uint64 else x.to(torch.int64)) ^ flip
        inner = replace(pooling, dtype="int64", accumulator="int64", result="int64", memo={})
        result = definition.pool(signed, inner, parameters, self.adapter.namespace(x))
        values, *indices = result if pooling.return_indices else (result,)
        values = values ^ flip if pooling.operator.keeps_dtype else values
        values = values.view(torch.uint64) if pooling.result == "uint64" else values.to(getattr(torch, pooling.result))
        return (values, *indices) if pooling.return_indices else values


class Torch(Adapter):
    name = "PyTorch"
    complex_as_pairs = True
    no_arithmetic = tuple(SAME_BITS)

    def __init__(self) -> None:
        node, self.kernel, native = Onnx(self), Kernel(self), Aten(self)
        self.aten = native, SignedLifted(native)
        kernels = self.kernel, SignedLifted(self.kernel)
        self.implementations = (node, SignedLifted(node), *kernels, *self.aten, SignedDefinition(self))

    @property
    def defaults(self) -> Defaults:
        return _DEFAULTS[torch.get_default_dtype()]

    def call(self, function: Callable[..., Any], x: Any, *arguments: Any) -> Any:
        if torch.compiler.is_dynamo_compiling():
            from anypool.adapters.torch import dynamo

            return dynamo.call(function, x, arguments)
        if isinstance(x, torch.fx.Proxy):
            from anypool.adapters.torch import dynamo

            return dynamo.record(function, x, arguments)
        return function(self, x, *arguments)

    def array(self, x: Any) -> Tensor:
        if x.is_nested:
            raise TypeError(
                "x must be a dense tensor, got a nested one, whose parts differ in shape: pool them apart, x.unbind(), "
                "or pad them, torch.nested.to_padded_tensor(x, padding)"
            )
        if x.layout is not torch.strided:
            kind = str(x.layout).removeprefix("torch.")
            raise TypeError(f"x must be a dense tensor, got a {kind} one, which has no windows: use x.to_dense()")
        if x.is_quantized:
            raise TypeError(f"x must hold plain numbers, got a quantized tensor ({x.dtype}): pool x.dequantize()")
        if is_plain(x) and not x.data_ptr() and x.numel():
            raise RuntimeError("x must have memory: its storage was freed")
        return x.resolve_neg() if x.is_neg() else x

    def shape(self, x: Tensor) -> tuple[Any, ...]:
        return x.shape if _tracing() is None else Lengths(x.shape)

    def dtype(self, x: Tensor) -> str:
        return NAMES.get(x.dtype) or str(x.dtype).removeprefix("torch.")

    def namespace(self, x: Tensor) -> Namespace:
        return _namespace(x.device)

    def masked(
        self, x: Tensor, where: Any, pooling: Pooling, parameters: Sequence[Any], settings: masks.Settings, impl: str
    ) -> Any:
        by_kernel = impl in ("auto", "kernel") and masks.leaves_out(where, settings)
        inference = is_plain(x) and not (x.requires_grad and torch.is_grad_enabled())
        if by_kernel and inference and kernels.masked_refusal(pooling) is None:
            mask, omits = masks.passed_on(self, x, where, pooling, settings)
            if mask is None or (type(mask) is Tensor and mask.is_cpu):
                return eager.masked(x, pooling, mask, omits, settings.least(pooling), settings.filling(pooling))
        return super().masked(x, where, pooling, parameters, settings, impl)

    def choose(self, impl: str, x: Tensor, pooling: Pooling) -> Implementation:
        if impl == "auto":
            if is_plain(x) and (eager.refusal(pooling) or _gradient_refusal(x, pooling)) is None:
                return self.kernel  # what the loop would find, in a third of its time
            if _compiling() and not torch.compiler.is_exporting() and aten.is_fused(pooling):
                for implementation in self.aten:
                    if implementation.refusal(x, pooling) is None:
                        return implementation
        return super().choose(impl, x, pooling)

    def in_order_of(self, x: Tensor, result: Any) -> Any:
        if eager.is_transformed(x):
            return result
        layout = eager.order(x)
        if isinstance(result, tuple):
            return tuple(ordering.in_order(each, layout) for each in result)
        ordered = ordering.in_order(result, layout)
        return ordering.changeable(ordered) if is_plain(x) else ordered

    def padded(self, x: Tensor, pooling: Pooling) -> tuple[Tensor, Pooling]:
        signed = SAME_BITS.get(self.dtype(x))  # torch moves no elements of the others
        if signed is None:
            return super().padded(x, pooling)
        with_padding = padding.padded(x.view(signed), pooling, self.namespace(x)).view(x.dtype)
        return with_padding, padding.of_padded(self, with_padding, pooling)

    writable = True

    def is_array(self, x: Any) -> bool:
        return isinstance(x, Tensor)

    def check_writable(self, out: Tensor, x: Tensor) -> None:
        if out.device != x.device:
            raise ValueError(f"out must be on x's device, {x.device}, got {out.device}")
        if torch.is_grad_enabled() and (x.requires_grad or out.requires_grad):
            raise ValueError("out= has no gradient, but x or out requires one: use torch.no_grad(), or leave out= away")

    def write(self, out: Tensor, values: Tensor) -> None:
        out.copy_(values)

    def unpool(self, x: Tensor, indices: Tensor, axes: Sequence[int], lengths: Sequence[int]) -> Tensor:
        if indices.device != x.device:
            raise ValueError(f"indices must be on x's device, {x.device}, got {indices.device}")
        result = self._unpool(x, indices, axes, lengths)
        return result if eager.is_transformed(x) else ordering.in_order(result, eager.order(x))

    def _unpool(self, x: Tensor, indices: Tensor, axes: Sequence[int], lengths: Sequence[int]) -> Tensor:
        name = self.dtype(x)
        if name in SAME_BITS:
            return self._unpool(x.view(SAME_BITS[name]), indices, axes, lengths).view(x.dtype)
        if self.checks_indices(x, indices):
            result = unpooling.run(x, indices, axes, lengths)
            if result is None:
                raise out_of_range(int(indices.min()), int(indices.max()), lengths)
            return result
        return definition.unpool(x, indices, axes, lengths, self.namespace(x))

    def checks_indices(self, x: Tensor, indices: Tensor) -> bool:
        at_once = x.device.type == "cpu" and not (eager.is_transformed(x) or _traced(x) or _traced(indices))
        return at_once and kernels.available() and x.element_size() in ELEMENT_BYTES

    def largest(self, indices: Tensor) -> tuple[int, int] | None:
        if indices.is_meta or _traced(indices) or _transforming() or indices.numel() == 0:
            return None
        least, greatest = torch.aminmax(indices)
        return int(least), int(greatest)


ADAPTER = Torch()
