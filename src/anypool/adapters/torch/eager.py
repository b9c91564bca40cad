"""The compiled kernels on torch's CPU tensors, differentiable: values, offsets, and gradients of any order.

A max or min saves for its gradient the offset of its element within the window, one byte per output where windows have
up to 256 elements; a sum or an average saves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from anypool.arguments import FLOATS, is_known
from anypool.cpu import kernels
from anypool.plans import SlidingAxis
from anypool.pooling import Pooling, once_per_pooling

MOST_LAYOUTS = 64
"""Memory orders of tensors that a pooling caches at once."""

# ---------------------------------------------------------------------------------------------------------------------
# Runs of a kernel


@once_per_pooling
def refusal(pooling: Pooling) -> str | None:
    """Why the kernels cannot run this pooling; lengths may be symbols, as in a traced program."""
    if all(map(is_known, (*pooling.shape, *pooling.output_shape))):
        return kernels.refusal(pooling)
    shape, plan = (1,) * len(pooling.shape), (SlidingAxis(1, 1, 1),) * len(pooling.plan)
    return kernels.refusal(replace(pooling, shape=shape, plan=plan, memo={}))


Order = tuple[int, ...] | None
"""The axes of a tensor as they lie in memory, outermost first; None where that is row-major."""


def order(x: Tensor) -> Order:
    if x.is_contiguous():
        return None
    steps = x.stride()
    try:
        return _cached_order(steps)
    except TypeError:  # symbols, which cannot be hashed
        return _descending(steps)


def _descending(steps: Sequence[Any]) -> tuple[int, ...]:
    return tuple(sorted(range(len(steps)), key=lambda axis: -steps[axis]))


_cached_order = lru_cache(maxsize=1024)(_descending)


def places(layout: Sequence[int]) -> list[int]:
    """Where each axis went: the permutation that undoes `layout`."""
    return sorted(range(len(layout)), key=layout.__getitem__)


@lru_cache(maxsize=4096)
def strides(layout: Order, shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a tensor of this shape, dense in this memory order."""
    found, step = [0] * len(shape), 1
    for axis in reversed(range(len(shape)) if layout is None else layout):
        found[axis], step = step, step * max(shape[axis], 1)
    return tuple(found)


def array(x: Tensor) -> Any:
    """x as NumPy sees it, for calls that check; NumPy has no bfloat16."""
    x = x.detach() if x.requires_grad else x
    return x if x.dtype is torch.bfloat16 else x.numpy()


def values_into(out: Tensor, x: Tensor, pooling: Pooling) -> Tensor:
    kernels.forward(array(x), pooling, array(out))
    return out


def masked(x: Tensor, pooling: Pooling, where: Tensor | None, omits_nan: bool, least: int, filling: float) -> Tensor:
    """The values of the elements that count, as `kernels.masked` has them."""
    out = OutputFactory(pooling.output_shape, order(x), getattr(torch, pooling.result))(x)
    kernels.masked(array(x), pooling, None if where is None else array(where), omits_nan, least, filling, array(out))
    return out


class OutputFactory:
    """New tensors of one kind, their elements whatever they are; large ones in the memory of earlier outputs."""

    __slots__ = ("bytes", "dtype", "shape", "steps")

    def __init__(self, shape: Sequence[int], layout: Order, dtype: torch.dtype) -> None:
        self.shape, self.steps, self.dtype = tuple(shape), strides(layout, shape), dtype
        self.bytes = math.prod(shape) * dtype.itemsize

    def __call__(self, x: Tensor) -> Tensor:
        if self.bytes < kernels.LARGE:
            return x.new_empty_strided(self.shape, self.steps, dtype=self.dtype)
        storage = torch.from_numpy(kernels.large_bytes(self.bytes)).untyped_storage()
        fresh = x.new_empty(0, dtype=self.dtype)
        return fresh.set_(storage, 0, self.shape, self.steps)  # no view, as as_strided's would be

    def check(self, name: str, x: Tensor) -> Tensor:
        """x, if it is a tensor of this shape and dtype that the kernels can read."""
        if x.shape != self.shape or x.dtype is not self.dtype or not x.is_cpu:
            raise ValueError(f"{name} must be {self.dtype} of shape {self.shape} on the CPU, got {_kind(x)}")
        return x.resolve_neg() if x.is_neg() else x


def _kind(x: Tensor) -> str:
    return f"{x.dtype} of shape {tuple(x.shape)} on {x.device}"


class CompiledPooling:
    """A pooling of tensors of one memory order: decided once, and run with nothing but addresses."""

    def __init__(self, pooling: Pooling, steps: tuple[int, ...], layout: Order) -> None:
        self.pooling, self.steps, self.layout = pooling, steps, layout
        self.values_like = OutputFactory(pooling.output_shape, layout, getattr(torch, pooling.result))
        self.offsets_like = OutputFactory(pooling.output_shape, layout, offset_dtype(pooling))
        self.forward = kernels.bind_forward(pooling, steps, self.values_like.steps)
        self.select: kernels.Launch | None = None
        function = _Selection if pooling.operator.selects else _Linear
        has_gradient = pooling.result in FLOATS and kernels.gradient_refusal(pooling) is None
        self.differentiable = function.apply if has_gradient else None

    def values(self, x: Tensor) -> Tensor:
        found = self.values_like(x)
        self.forward(x.data_ptr(), found.data_ptr())
        return found

    def selection(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The values of a max or min, and the offsets of its elements in their windows."""
        found, offsets = self.values_like(x), self.offsets_like(x)
        if self.select is None:
            self.select = kernels.bind_forward(self.pooling, self.steps, found.stride(), offsets.stride())
        self.select(x.data_ptr(), found.data_ptr(), offsets.data_ptr())
        return found, offsets


def compiled_for(x: Tensor, pooling: Pooling) -> CompiledPooling:
    """The pooling for tensors that lie as x does."""
    known, steps = _compiled(pooling), x.stride()
    found = known.get(steps)
    if found is None:
        if not x.is_cpu:
            raise ValueError(f"kernels run on CPU tensors, got {_kind(x)}")
        if len(known) >= MOST_LAYOUTS:
            known.clear()
        found = known[steps] = CompiledPooling(pooling, steps, order(x))
    return found


@once_per_pooling
def _compiled(pooling: Pooling) -> dict[tuple[int, ...], CompiledPooling]:
    """By strides."""
    return {}


def offset_dtype(pooling: Pooling) -> torch.dtype:
    elements = math.prod(plan.kernel_size for plan in pooling.plan)
    return torch.uint8 if elements <= 2**8 else torch.uint16 if elements <= 2**16 else torch.uint32


def indices(offsets: Tensor, pooling: Pooling) -> Tensor:
    """Flat positions of the selected elements within the pooled axes."""
    result = OutputFactory(pooling.output_shape, order(offsets), torch.int64)(offsets)
    kernels.indices(array(offsets), pooling, array(result))
    return result


def gathered(x: Tensor, positions: Tensor, pooling: Pooling) -> Tensor:
    """The elements of x at flat positions within the pooled axes."""
    last = tuple(range(-len(pooling.axes), 0))
    numbers, elements = torch.movedim(positions, pooling.axes, last), torch.movedim(x, pooling.axes, last)
    lead = numbers.shape[: -len(last)]  # flattened by their lengths: batches of gradients know no `flatten`
    places, size = math.prod(numbers.shape[-len(last) :]), math.prod(elements.shape[-len(last) :])
    taken = torch.gather(elements.reshape(*lead, size), -1, numbers.reshape(*lead, places))
    return torch.movedim(taken.reshape(numbers.shape), last, pooling.axes)


class Backward:
    """The gradient of a pooling of tensors of one memory order, from that of the values."""

    def __init__(self, pooling: Pooling, layout: Order) -> None:
        self.pooling = pooling
        self.values_like = OutputFactory(pooling.output_shape, layout, getattr(torch, pooling.result))
        self.offsets_like = OutputFactory(pooling.output_shape, layout, offset_dtype(pooling))
        self.gradient_like = OutputFactory(pooling.shape, layout, getattr(torch, pooling.dtype))
        self.launches: dict[Any, kernels.Launch] = {}

    def __call__(self, grad: Tensor, offsets: Tensor | None) -> Tensor:
        grad = self.values_like.check("grad", grad)
        steps = grad.stride(), None if offsets is None else self.offsets_like.check("offsets", offsets).stride()
        launch = self.launches.get(steps)
        if launch is None:
            if len(self.launches) >= MOST_LAYOUTS:
                self.launches.clear()
            launch = self.launches[steps] = kernels.bind_backward(self.pooling, *steps, self.gradient_like.steps)
        result = self.gradient_like(grad)
        launch(grad.data_ptr(), result.data_ptr(), 0 if offsets is None else offsets.data_ptr())
        return result


def gradient(grad: Tensor, offsets: Tensor | None, pooling: Pooling, layout: Order) -> Tensor:
    """The gradient of x, laid out as x was, from that of the values."""
    known = _backward(pooling)
    backward = known.get(layout)
    if backward is None:
        backward = known[layout] = Backward(pooling, layout)
    return backward(grad, offsets)


@once_per_pooling
def _backward(pooling: Pooling) -> dict[Order, Backward]:
    """By memory orders."""
    return {}


# ---------------------------------------------------------------------------------------------------------------------
# Differentiable, at once


def run(x: Tensor, pooling: Pooling) -> Any:
    """The values, or (values, indices)."""
    return run_compiled(x, compiled_for(x, pooling))


def run_compiled(x: Tensor, compiled: CompiledPooling) -> Any:
    if compiled.differentiable is not None and x.requires_grad and torch.is_grad_enabled():
        return compiled.differentiable(x, compiled)
    if not compiled.pooling.return_indices:
        return compiled.values(x)
    found, offsets = compiled.selection(x)
    return found, indices(offsets, compiled.pooling)


class _Selection(Function):
    """A max or min: an element of every window, and its gradient to that element."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, compiled: CompiledPooling) -> Any:
        found, offsets = compiled.selection(x)
        ctx.pooling, ctx.layout = compiled.pooling, compiled.layout
        if not compiled.pooling.return_indices:
            ctx.save_for_backward(offsets)
            return found
        numbers = indices(offsets, compiled.pooling)
        ctx.mark_non_differentiable(numbers)
        ctx.save_for_backward(offsets, numbers)  # these too, so that torch sees if they are changed, as in its own
        return found, numbers

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> Any:
        return _gradient(grad, ctx.saved_tensors[0], ctx.pooling, ctx.layout), None


class _Linear(Function):
    """A sum or an average: linear, so that its gradient needs no values."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, compiled: CompiledPooling) -> Tensor:
        ctx.pooling, ctx.layout = compiled.pooling, compiled.layout
        return compiled.values(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _gradient(grad, None, ctx.pooling, ctx.layout), None


def _gradient(grad: Tensor, offsets: Tensor | None, pooling: Pooling, layout: Order) -> Tensor:
    """`gradient`, which differentiates on, and takes batches of gradients, where that is wanted."""
    if (torch.is_grad_enabled() and grad.requires_grad) or is_transformed(grad):
        return applied(_Gradient, grad, offsets, pooling, layout)
    return gradient(grad, offsets, pooling, layout)


# ---------------------------------------------------------------------------------------------------------------------
# Differentiable again, and in batches: slower to call, since torch binds such functions' arguments by inspecting them

_transforming, _is_batched = torch._C._are_functorch_transforms_active, torch._C._functorch.is_legacy_batchedtensor


def is_transformed(x: Tensor) -> bool:
    """Whether x is under a torch.func transform, carries a forward-mode tangent, or is a batch of gradients."""
    if _transforming() or _is_batched(x):
        return True
    return forward_ad._current_level >= 0 and forward_ad.unpack_dual(x).tangent is not None


class _Gradient(Function):
    """The gradient of a pooling, which is linear in that of the values."""

    @staticmethod
    def forward(grad: Tensor, offsets: Tensor | None, pooling: Pooling, layout: Order) -> Tensor:
        return gradient(grad, offsets, pooling, layout)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, offsets, ctx.pooling, ctx.layout = inputs
        ctx.save_for_backward(offsets)
        ctx.save_for_forward(offsets)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (offsets,) = ctx.saved_tensors
        if offsets is None:
            return applied(_Pooled, grad, ctx.pooling), None, None, None
        return gathered(grad, indices(offsets, ctx.pooling), ctx.pooling), None, None, None

    @staticmethod
    def jvp(ctx: Any, grad: Tensor, *_: None) -> Tensor:
        return applied(_Gradient, grad, *ctx.saved_tensors, ctx.pooling, ctx.layout)

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], grad: Tensor, offsets: Tensor | None, pooling: Pooling, layout: Order
    ) -> tuple[Tensor, int]:
        (axis, *_), size = in_dims, grad.shape[in_dims[0] or 0]
        if offsets is not None:  # every gradient of the batch has the same
            offsets = offsets.expand(size, *offsets.shape)
        outermost = None if layout is None else (0, *(each + 1 for each in layout))
        batch = _batch(pooling, size)
        return applied(_Gradient, grad.movedim(axis or 0, 0), offsets, batch, outermost), 0


class _Pooled(Function):
    """A sum or an average of a gradient."""

    @staticmethod
    def forward(x: Tensor, pooling: Pooling) -> Tensor:
        return compiled_for(x, pooling).values(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.pooling = inputs
        ctx.layout = order(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _gradient(grad, None, ctx.pooling, ctx.layout), None

    @staticmethod
    def jvp(ctx: Any, x: Tensor, _: None) -> Tensor:
        return applied(_Pooled, x, ctx.pooling)

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], x: Tensor, pooling: Pooling) -> tuple[Tensor, int]:
        x = x.movedim(in_dims[0] or 0, 0)
        return applied(_Pooled, x, _batch(pooling, x.shape[0])), 0


def _batch(pooling: Pooling, size: int) -> Pooling:
    """The pooling of so many arrays along a new first axis."""
    known = _batches(pooling)
    if size not in known:
        axes = tuple(axis + 1 for axis in pooling.axes)
        known[size] = replace(pooling, shape=(size, *pooling.shape), axes=axes, return_indices=False, memo={})
    return known[size]


@once_per_pooling
def _batches(pooling: Pooling) -> dict[int, Pooling]:
    """By sizes."""
    return {}


def applied(function: Any, x: Tensor, *arguments: Any) -> Tensor:
    """`function.apply`; also of `is_grads_batched`'s batches, whose vmap is older than functions' rules for it."""
    if not _is_batched(x):
        return function.apply(x, *arguments)
    batch, level = _batch_of(x)
    result, _ = function.vmap(None, (0, *(None for _ in arguments)), batch, *arguments)
    return torch._add_batch_dim(result, 0, level)


def detached(x: Tensor) -> Tensor:
    """x without its gradient; of such batches too."""
    if not _is_batched(x):
        return x.detach()
    batch, level = _batch_of(x)
    return torch._add_batch_dim(detached(batch), 0, level)


def _batch_of(x: Tensor) -> tuple[Tensor, int]:
    """The tensors of such a batch along a new first axis, and the level of vmap that it belongs to."""
    level = torch._C._vmapmode_increment_nesting() - 1
    torch._C._vmapmode_decrement_nesting()
    while not (batch := torch._remove_batch_dim(x, level, 0, 0)).shape[0]:  # no batch of this level
        level -= 1
    return batch, level
