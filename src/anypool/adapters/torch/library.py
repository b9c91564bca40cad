"""Pooling as operators of a traced program: what torch.compile, torch.export, make_fx and the like see of this package.

A pooling travels as a constant: a Python literal that says operator, window, axes and dtype, so that an exported
program can be read, and saved and loaded where anypool is imported.
"""

from __future__ import annotations

import sys
from ast import literal_eval
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from anypool.adapters.torch import eager
from anypool.definition import Pooling
from anypool.operators import Defaults
from anypool.windows import is_known

# ---------------------------------------------------------------------------------------------------------------------
# Values as text, in steps that torch.compile can follow


def text(value: Any) -> str:
    """A Python literal: dtypes are their names, objects of this package {name: fields}, tensors `...`."""
    if isinstance(value, tuple | list):
        return "(" + "".join([text(entry) + ", " for entry in value]) + ")"
    if isinstance(value, torch.dtype):
        return repr(str(value).removeprefix("torch."))
    if isinstance(value, Tensor):
        return "..."
    kind = type(value)
    if hasattr(kind, "__match_args__"):
        fields = text([getattr(value, name) for name in kind.__match_args__])
        return f"{{'{kind.__module__}.{kind.__qualname__}': {fields}}}"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    raise TypeError(f"in a traced program, pooling takes numbers, names and windows, got {value!r}")


def meaning(words: str, tensors: Sequence[Tensor] = ()) -> Any:
    """The value of a text, with these tensors in the places of its tensors."""
    return _value(literal_eval(words), iter(tensors))


def _value(literal: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(literal, tuple):
        return tuple([_value(entry, tensors) for entry in literal])
    if isinstance(literal, dict):
        ((name, arguments),) = literal.items()
        return named(name)(*_value(arguments, tensors))
    return next(tensors) if literal is ... else literal


def named(name: str) -> Any:
    """What this package calls so."""
    module, _, attribute = name.rpartition(".")
    if module.partition(".")[0] != "anypool" or module not in sys.modules:
        raise ValueError(f"a traced pooling must be a text that anypool wrote, got the name {name!r}")
    return getattr(sys.modules[module], attribute)


# ---------------------------------------------------------------------------------------------------------------------
# Poolings as text


def words(pooling: Pooling) -> str:
    return text((pooling.operator, pooling.window, pooling.axes, pooling.result))


def decided(words: str, shape: Sequence[Any], dtype: torch.dtype) -> Pooling:
    """The pooling of these words, of arrays of this shape and dtype."""
    lengths = tuple(shape)
    return (_remembered if all(map(is_known, lengths)) else _decide)(words, lengths, dtype)


def _decide(words: str, shape: tuple[Any, ...], dtype: torch.dtype) -> Pooling:
    operator, window, axes, result = meaning(words)
    plan = window.plan([shape[axis] for axis in axes])
    name = str(dtype).removeprefix("torch.")
    accumulator, result = operator.dtypes(name, None if operator.selects else result, Defaults(floating="float32"))
    empty = any(is_known(along.length) and along.has_empty_window for along in plan)
    return Pooling(operator, window, axes, plan, shape, name, accumulator, result, False, empty)


_remembered = lru_cache(maxsize=4096)(_decide)


# ---------------------------------------------------------------------------------------------------------------------
# The operators


@custom_op("anypool::pool", mutates_args=())
def pool(x: Tensor, pooling: str) -> Tensor:
    return eager.bound(x, decided(pooling, x.shape, x.dtype)).values(x)


@pool.register_fake
def _(x: Tensor, pooling: str) -> Tensor:
    decision = decided(pooling, x.shape, x.dtype)
    return _fake(x, decision.output_shape, getattr(torch, decision.result))


@custom_op("anypool::select", mutates_args=())
def select(x: Tensor, pooling: str) -> tuple[Tensor, Tensor]:
    """The values of a max or min, and the offsets of the winners within their windows."""
    return eager.bound(x, decided(pooling, x.shape, x.dtype)).selection(x)


@select.register_fake
def _(x: Tensor, pooling: str) -> tuple[Tensor, Tensor]:
    decision = decided(pooling, x.shape, x.dtype)
    shape = decision.output_shape
    return _fake(x, shape, x.dtype), _fake(x, shape, eager.offset_dtype(decision))


@custom_op("anypool::indices", mutates_args=())
def indices(offsets: Tensor, pooling: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """The flat positions of the winners in x, of this shape and dtype, from their offsets."""
    return eager.indices(offsets, decided(pooling, shape, dtype))


@indices.register_fake
def _(offsets: Tensor, pooling: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    return _fake(offsets, offsets.shape, torch.int64)


@custom_op("anypool::gradient", mutates_args=())
def gradient(
    grad: Tensor, offsets: Tensor | None, pooling: str, shape: Sequence[int], dtype: torch.dtype, order: Sequence[int]
) -> Tensor:
    """The gradient of x from that of the values; `order` is the memory order of x, nothing for row-major."""
    decision = decided(pooling, shape, dtype)
    return eager.gradient(grad, offsets, decision, tuple(order) or None)


@gradient.register_fake
def _(
    grad: Tensor, offsets: Tensor | None, pooling: str, shape: Sequence[int], dtype: torch.dtype, order: Sequence[int]
) -> Tensor:
    return _empty(tuple(order) or None, shape, dtype, grad.device)


def _fake(x: Tensor, shape: Sequence[Any], dtype: torch.dtype) -> Tensor:
    return _empty(eager.order(x), shape, dtype, x.device)


def _empty(layout: eager.Order, shape: Sequence[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
    """As `eager.Fresh`, where lengths may be symbols."""
    if layout is None:
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.empty([shape[axis] for axis in layout], dtype=dtype, device=device).permute(eager.places(layout))


# ---------------------------------------------------------------------------------------------------------------------
# Their gradients


def _remember_x(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, ctx.words = inputs
    ctx.shape, ctx.dtype, ctx.order = x.shape, x.dtype, eager.order(x) or ()
    ctx.save_for_backward(*(output[1:] if isinstance(output, tuple) else ()))


def _x_gradient(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor, None]:
    offsets = ctx.saved_tensors[0] if ctx.saved_tensors else None
    return gradient(grad, offsets, ctx.words, ctx.shape, ctx.dtype, ctx.order), None


def _remember_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, offsets, ctx.words, ctx.shape, ctx.dtype, _ = inputs
    ctx.save_for_backward(*(() if offsets is None else (offsets,)))


def _gradient_gradient(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    if not ctx.saved_tensors:
        return pool(grad, ctx.words), None, None, None, None, None
    decision = decided(ctx.words, ctx.shape, ctx.dtype)
    positions = indices(ctx.saved_tensors[0], ctx.words, ctx.shape, ctx.dtype)
    return eager.gathered(grad, positions, decision), None, None, None, None, None


pool.register_autograd(_x_gradient, setup_context=_remember_x)
select.register_autograd(_x_gradient, setup_context=_remember_x)
gradient.register_autograd(_gradient_gradient, setup_context=_remember_gradient)


def run(x: Tensor, pooling: Pooling) -> Any:
    """The values, or (values, indices), by these operators."""
    description = words(pooling)
    learns = x.requires_grad and torch.is_grad_enabled()
    if not pooling.operator.selects or not (learns or pooling.return_indices):
        return pool(x, description)
    values, offsets = select(x, description)
    return (values, indices(offsets, description, x.shape, x.dtype)) if pooling.return_indices else values
