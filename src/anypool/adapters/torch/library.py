"""Pooling as operators of a traced program: what torch.compile, torch.export, make_fx and the like see of this package.

A pooling is a constant of the program: a Python literal that says operator, window, axes and dtype, so that an exported
program can be read, and saved and loaded where anypool is imported.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.library import custom_op

from anypool.adapters.torch import eager
from anypool.arguments import is_known
from anypool.operators import Defaults
from anypool.pooling import Pooling, cleared_with_caches
from anypool.saving import FORMAT, from_config, to_config

# ---------------------------------------------------------------------------------------------------------------------
# Poolings as text


def spec(pooling: Pooling) -> str:
    """The pooling as a Python literal: public names, keywords and a format number."""
    given = {
        "operator": to_config(pooling.operator),
        "window": to_config(pooling.window),
        "axes": list(pooling.axes),
        "dtype": pooling.result,
        "format": FORMAT,
    }
    return repr(given)


def decided(spec: str, shape: Sequence[Any], dtype: torch.dtype) -> Pooling:
    """The pooling of a spec, of arrays of this shape and dtype."""
    lengths = tuple(shape)
    return (_cached if all(map(is_known, lengths)) else _decide)(spec, lengths, dtype)


def _decide(spec: str, shape: tuple[Any, ...], dtype: torch.dtype) -> Pooling:
    operator, window, axes, result = _read(spec)
    plan = window.plan([shape[axis] for axis in axes], axes)
    name = str(dtype).removeprefix("torch.")
    accumulator, result = operator.dtypes(name, None if operator.selects else result, Defaults(floating="float32"))
    empty = any(is_known(along.length) and along.has_empty_window for along in plan)
    return Pooling(operator, window, axes, plan, shape, name, accumulator, result, False, empty)


def _read(spec: str) -> tuple[Any, ...]:
    """Operator, window, axes and dtype of a spec; ValueError where it is none that this version can read."""
    try:
        given = literal_eval(spec)
    except (SyntaxError, ValueError):
        raise ValueError(f"a pooling in a program must be a Python literal that anypool wrote, got {spec!r}") from None
    if isinstance(given, tuple):  # format 1
        return from_config(given)
    if given.get("format") != FORMAT:
        raise ValueError(
            f"a pooling in a program must be of format {FORMAT} or older, got format {given.get('format')!r}: "
            "update anypool"
        )
    return tuple(from_config(given[name]) for name in ("operator", "window", "axes", "dtype"))


@lru_cache(maxsize=4096)
def axes_of(spec: str) -> tuple[int, ...]:
    """The pooled axes of a spec."""
    return tuple(_read(spec)[2])


_cached = lru_cache(maxsize=4096)(_decide)
cleared_with_caches(_cached.cache_clear)


# ---------------------------------------------------------------------------------------------------------------------
# The operators


ANY_STRIDES = (torch.Tag.flexible_layout,)
"""Inductor may lay the inputs out as suits what is around them."""


@custom_op("anypool::pool", mutates_args=(), tags=ANY_STRIDES)
def pool(x: Tensor, pooling: str) -> Tensor:
    return eager.compiled_for(x, decided(pooling, x.shape, x.dtype)).values(x)


@pool.register_fake
def _(x: Tensor, pooling: str) -> Tensor:
    decision = decided(pooling, x.shape, x.dtype)
    return _fake(x, decision.output_shape, getattr(torch, decision.result))


@custom_op("anypool::select", mutates_args=(), tags=ANY_STRIDES)
def select(x: Tensor, pooling: str) -> tuple[Tensor, Tensor]:
    """The values of a max or min, and the offsets of the selected elements within their windows."""
    return eager.compiled_for(x, decided(pooling, x.shape, x.dtype)).selection(x)


@select.register_fake
def _(x: Tensor, pooling: str) -> tuple[Tensor, Tensor]:
    decision = decided(pooling, x.shape, x.dtype)
    shape = decision.output_shape
    return _fake(x, shape, x.dtype), _fake(x, shape, eager.offset_dtype(decision))


@custom_op("anypool::indices", mutates_args=(), tags=ANY_STRIDES)
def indices(offsets: Tensor, pooling: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """The flat positions of the selected elements in x, of this shape and dtype, from their offsets."""
    return eager.indices(offsets, decided(pooling, _shape(offsets, pooling, shape), dtype))


@indices.register_fake
def _(offsets: Tensor, pooling: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    return _fake(offsets, offsets.shape, torch.int64)


@custom_op("anypool::gradient", mutates_args=(), tags=ANY_STRIDES)
def gradient(
    grad: Tensor, offsets: Tensor | None, pooling: str, shape: Sequence[int], dtype: torch.dtype, order: Sequence[int]
) -> Tensor:
    """The gradient of x from that of the values; `order` is the memory order of x, nothing for row-major."""
    decision = decided(pooling, _shape(grad, pooling, shape), dtype)
    return eager.gradient(grad, offsets, decision, tuple(order) or None)


@gradient.register_fake
def _(
    grad: Tensor, offsets: Tensor | None, pooling: str, shape: Sequence[int], dtype: torch.dtype, order: Sequence[int]
) -> Tensor:
    return _empty(tuple(order) or None, _shape(grad, pooling, shape), dtype, grad.device)


def _shape(outputs: Tensor, spec: str, shape: Sequence[Any]) -> tuple[Any, ...]:
    """The shape of x, by that of its outputs: they may be a part along axes that are not pooled, while a program says
    the whole shape."""
    pooled = axes_of(spec)
    return tuple(shape[axis] if axis in pooled else outputs.shape[axis] for axis in range(outputs.ndim))


def _fake(x: Tensor, shape: Sequence[Any], dtype: torch.dtype) -> Tensor:
    return _empty(eager.order(x), shape, dtype, x.device)


def _empty(layout: eager.Order, shape: Sequence[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
    """As `eager.OutputFactory`, where lengths may be symbols."""
    if layout is None:
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.empty([shape[axis] for axis in layout], dtype=dtype, device=device).permute(eager.places(layout))


# ---------------------------------------------------------------------------------------------------------------------
# Their gradients


def _save_x(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, ctx.spec = inputs
    ctx.shape, ctx.dtype, ctx.order = x.shape, x.dtype, eager.order(x) or ()
    ctx.save_for_backward(*(output[1:] if isinstance(output, tuple) else ()))


def _saved_offsets(ctx: Any) -> Tensor | None:
    """What was saved, if anything was; asked for once, since selective checkpointing gives it once."""
    saved = ctx.saved_tensors
    return saved[0] if saved else None


def _x_gradient(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor, None]:
    offsets = _saved_offsets(ctx)
    return gradient(grad, offsets, ctx.spec, ctx.shape, ctx.dtype, ctx.order), None


def _save_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, offsets, ctx.spec, ctx.shape, ctx.dtype, _ = inputs
    ctx.save_for_backward(*(() if offsets is None else (offsets,)))


def _gradient_gradient(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    offsets = _saved_offsets(ctx)
    if offsets is None:
        return pool(grad, ctx.spec), None, None, None, None, None
    decision = decided(ctx.spec, ctx.shape, ctx.dtype)
    positions = indices(offsets, ctx.spec, ctx.shape, ctx.dtype)
    return eager.gathered(grad, positions, decision), None, None, None, None, None


pool.register_autograd(_x_gradient, setup_context=_save_x)
select.register_autograd(_x_gradient, setup_context=_save_x)
gradient.register_autograd(_gradient_gradient, setup_context=_save_gradient)


def run(x: Tensor, pooling: Pooling) -> Any:
    """The values, or (values, indices), by these operators."""
    text = spec(pooling)
    if type(x).__name__ == "DTensor":
        from anypool.adapters.torch import sharding

        sharding.register()
    if torch.compiler.is_exporting():
        whole = torch.ops.anypool.pooling_with_indices if pooling.return_indices else torch.ops.anypool.pooling
        return whole(x, text)
    return _run(x, pooling, text)


def _run(x: Tensor, pooling: Pooling, text: str) -> Any:
    needs_grad = x.requires_grad and torch.is_grad_enabled()
    if not pooling.operator.selects or not (needs_grad or pooling.return_indices):
        return pool(x, text)
    values, offsets = select(x, text)
    return (values, indices(offsets, text, x.shape, x.dtype)) if pooling.return_indices else values


# ---------------------------------------------------------------------------------------------------------------------
# Of an exported program: one operator per pooling, which is taken apart into torch's own where a backend asks for it


torch.library.define("anypool::pooling", "(Tensor x, str pooling) -> Tensor")
torch.library.define("anypool::pooling_with_indices", "(Tensor x, str pooling) -> (Tensor, Tensor)")


@torch.library.impl("anypool::pooling", "CompositeImplicitAutograd")
def _(x: Tensor, pooling: str) -> Tensor:
    return _whole(x, pooling, False)


@torch.library.impl("anypool::pooling_with_indices", "CompositeImplicitAutograd")
def _(x: Tensor, pooling: str) -> tuple[Tensor, Tensor]:
    return _whole(x, pooling, True)


def _whole(x: Tensor, text: str, return_indices: bool) -> Any:
    """By the kernels; for who takes a program apart, as `run_decompositions` does, by torch's own operators."""
    from anypool.adapters.torch.adapter import ADAPTER

    decision, taken_apart = decided(text, x.shape, x.dtype), get_proxy_mode() is not None
    if return_indices:
        decision = replace(decision, return_indices=True, memo={})
    able = (each for each in ADAPTER.implementations if not (taken_apart and each.name == "kernel"))
    chosen = next(each for each in able if each.refusal(x, decision) is None)
    if chosen.name == "kernel" and torch.compiler.is_exporting():
        return _run(x, decision, text)
    return chosen.run(x, decision, ())
