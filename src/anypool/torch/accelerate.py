"""A whole model made faster in one line: its pooling modules replaced, or its calls of torch's functions caught."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch.nn.modules import pooling as torch_pooling

from anypool.acceleration import Acceleration
from anypool.arguments import as_flag
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


def accelerate(
    model: torch.nn.Module, inplace: bool = False, share_parameters: bool = True
) -> tuple[torch.nn.Module, Acceleration]:
    """A copy of the model whose pooling modules are anypool's, and a report of what was replaced, what not, and why.

    The copy shares parameters and buffers with the model, and keeps hooks, names and training mode; its outputs are
    equal, averages up to their last bit. Only modules of exactly torch's classes are replaced, `LPPool` in torch's mode
    (`signed=True`), and each was tried. Quantized tensors still go to torch's own operators.

    Args:
        model: any module; itself a pooling, perhaps.
        inplace: change the model itself, without a copy; its modules stay the objects they are.
        share_parameters: whether a copy has the model's own parameters and buffers, so that what changes one changes
            both: training, and also `copy.to(torch.float64)`, after which the model holds them as the copy does.
            False copies them too.

    Raises:
        TypeError: model is no module, or, without `inplace`, holds something that cannot be copied.
        ValueError: `inplace` makes no copy, so that nothing can be unshared.

    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.MaxPool2d(2))
    >>> faster, report = accelerate(model)
    >>> print(report)
    replaced 1 pooling layer: 1
    >>> faster[0].weight is model[0].weight
    True
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    inplace, share_parameters = as_flag("inplace", inplace), as_flag("share_parameters", share_parameters)
    if inplace and not share_parameters:
        raise ValueError("share_parameters=False is for copies, and inplace=True makes none: leave one of them away")
    model = model if inplace else _copied(model, share_parameters)
    replaced, kept = [], []
    for name, module in _poolings(model):
        reason = _reason(module) or _replace(module)
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
    if "forward" in vars(module) or getattr(kind.forward, "__globals__", None) is not vars(torch_pooling):
        return "its forward was replaced by another function"
    return None


def _replace(module: torch.nn.Module) -> str | None:
    """Give the module our class, which reads the same attributes: whoever holds it need not know. Or say why not."""
    before, ours = type(module), cast(bases.Pool, module)
    module.__class__ = REPLACEMENTS[before]
    try:
        ours.check()
        example = ours.example()
        result = ours.forward(example)
        expected = before.forward(module, example)
    except Exception as error:
        module.__class__ = before
        return str(error)
    if not _are_alike(result, expected):
        module.__class__ = before
        return "its settings mean something else to torch"
    return None


def _are_alike(result: Any, expected: Any) -> bool:
    if isinstance(expected, tuple):
        return isinstance(result, tuple) and all(map(_are_alike, result, expected))
    return isinstance(result, torch.Tensor) and result.shape == expected.shape and result.dtype is expected.dtype


def _copied(model: torch.nn.Module, share_parameters: bool) -> torch.nn.Module:
    """A copy of the modules of a model that shares its scripted modules and, if told, all of its tensors."""
    shared: list[Any] = [module for module in model.modules() if isinstance(module, torch.jit.ScriptModule)]
    for module in model.modules() if share_parameters else ():
        held = (*vars(module).values(), *module._parameters.values(), *module._buffers.values())
        shared += [value for value in held if isinstance(value, torch.Tensor)]
    try:
        return copy.deepcopy(model, {id(value): value for value in shared})
    except Exception as error:
        raise TypeError(f"model cannot be copied ({error}): use accelerate(model, inplace=True)") from error
