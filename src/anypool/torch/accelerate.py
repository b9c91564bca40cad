"""A whole model made faster in one line: its pooling modules replaced, or its calls of torch's functions caught."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch

from anypool.acceleration import Acceleration
from anypool.torch import bases, modules

REPLACEMENTS: dict[type, type] = {
    getattr(torch.nn, name): getattr(modules, name)
    for kind in ("MaxPool", "AvgPool", "LPPool", "AdaptiveMaxPool", "AdaptiveAvgPool")
    for name in (f"{kind}1d", f"{kind}2d", f"{kind}3d")
}
"""The modules of torch, and ours in their place."""

OTHERS = {
    torch.nn.FractionalMaxPool2d: "anypool has no fractional pooling",
    torch.nn.FractionalMaxPool3d: "anypool has no fractional pooling",
    torch.nn.MaxUnpool1d: "torch's own unpooling is no slower",
    torch.nn.MaxUnpool2d: "torch's own unpooling is no slower",
    torch.nn.MaxUnpool3d: "torch's own unpooling is no slower",
}
"""The pooling modules of torch that stay as they are, and why."""

QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.quantizable")
_QUANTIZED = "the model computes on quantized tensors, which anypool does not pool"


def accelerate(model: torch.nn.Module, inplace: bool = False) -> tuple[torch.nn.Module, Acceleration]:
    """A copy of the model whose pooling modules are anypool's, and a report of what was replaced, what not, and why.

    The copy shares parameters and buffers with the model, and keeps hooks, names and training mode; its outputs are
    equal. Only modules of exactly torch's classes are replaced, `LPPool` in torch's mode (`signed=True`).

    Args:
        model: any module; itself a pooling, perhaps.
        inplace: change the model itself, without a copy; its modules stay the objects they are.

    Raises:
        TypeError: model is no module, or, without `inplace`, holds something that cannot be copied.

    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.MaxPool2d(2))
    >>> faster, report = accelerate(model)
    >>> print(report)
    replaced 1 pooling layer: 1
    >>> faster[0].weight is model[0].weight
    True
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(inplace, bool):
        raise TypeError(f"inplace must be True or False, got {inplace!r}")
    model = model if inplace else _copied(model)
    replaced, kept = [], []
    quantized = any(type(module).__module__.startswith(QUANTIZED) for module in model.modules())
    for name, module in _poolings(model):
        reason = _QUANTIZED if quantized else _reason(module) or _replace(module)
        if reason is None:
            replaced.append(name)
        else:
            kept.append((name, reason))
    return model, Acceleration(tuple(replaced), tuple(kept))


def _poolings(model: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """The pooling modules that are not ours yet, by name; each once, however often the model holds it."""
    named = ((name or "(the model itself)", module) for name, module in model.named_modules())
    return [(name, module) for name, module in named if _is_pooling(module) and not _is_ours(module)]


def _is_pooling(module: torch.nn.Module) -> bool:
    scripted = isinstance(module, torch.jit.ScriptModule) and "Pool" in (getattr(module, "original_name", None) or "")
    return scripted or isinstance(module, (*REPLACEMENTS, *OTHERS))


def _is_ours(module: torch.nn.Module) -> bool:
    return isinstance(module, tuple(REPLACEMENTS.values()))


def _reason(module: torch.nn.Module) -> str | None:
    """Why the module stays as it is; None where it can be replaced."""
    kind = type(module)
    if isinstance(module, torch.jit.ScriptModule):
        return "scripted modules run without Python: accelerate the model before scripting it"
    if kind in OTHERS:
        return OTHERS[kind]
    if kind not in REPLACEMENTS:
        return f"{kind.__module__}.{kind.__qualname__} is a subclass of torch's and may compute something else"
    if "forward" in vars(module):
        return "its forward was replaced by another function"
    return None


def _replace(module: torch.nn.Module) -> str | None:
    """Give the module our class, which reads the same attributes: whoever holds it need not know. Or say why not."""
    before, ours = type(module), cast(bases.Pool, module)
    module.__class__ = REPLACEMENTS[before]
    try:
        ours.check()
    except (TypeError, ValueError) as error:
        module.__class__ = before
        return str(error)
    return None


def _copied(model: torch.nn.Module) -> torch.nn.Module:
    """A copy of the modules of a model that shares all of its tensors, and its scripted modules."""
    shared: list[Any] = [module for module in model.modules() if isinstance(module, torch.jit.ScriptModule)]
    for module in model.modules():
        held = (*vars(module).values(), *module._parameters.values(), *module._buffers.values())
        shared += [value for value in held if isinstance(value, torch.Tensor)]
    try:
        return copy.deepcopy(model, {id(value): value for value in shared})
    except Exception as error:
        raise TypeError(f"model cannot be copied ({error}): use accelerate(model, inplace=True)") from error
