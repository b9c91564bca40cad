"""Where torch.compile reads Python as it runs: what it meets of this package. Loaded only then.

The call is one node of the traced graph, whose Python is not read. Its arguments are a text and the tensors among them,
since a graph holds nothing else.
"""

from __future__ import annotations

import sys
from ast import literal_eval
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._dynamo import allow_in_graph

from anypool.adapters.registry import adapter_for
from anypool.operators import ARRAY, operator_class


def call(function: Callable[..., Any], x: Tensor, arguments: tuple[Any, ...]) -> Any:
    """`function(adapter, x, *arguments)`, which torch.compile traces by running it, without reading its Python."""
    text = serialize(arguments)
    tensors = tensors_in(arguments)
    return _unread(f"{function.__module__}.{function.__name__}", text, x, *tensors)


@allow_in_graph
def _unread(name: str, text: str, x: Tensor, *tensors: Tensor) -> Any:
    return _resolve(name)(adapter_for(x), x, *deserialize(text, tensors))


# In steps that torch.compile can follow.


def serialize(value: Any) -> str:
    """A Python literal: dtypes are their names, operators and windows {class: fields}, tensors `...`,
    and what stands for an array `{}`."""
    if isinstance(value, tuple | list):
        return "(" + "".join([serialize(entry) + ", " for entry in value]) + ")"
    if isinstance(value, torch.dtype):
        return repr(str(value).removeprefix("torch."))
    if isinstance(value, Tensor):
        return "..."
    kind = type(value)
    if hasattr(kind, "__match_args__"):
        fields = serialize([getattr(value, name) for name in kind.__match_args__])
        return f"{{'{kind.__module__}:{kind.__qualname__}': {fields}}}"
    if value is ARRAY:
        return "{}"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    raise TypeError(f"in a traced program, pooling takes numbers, names and windows, got {value!r}")


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors of a value, in the order of its text."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        entries = value
    elif hasattr(type(value), "__match_args__"):
        entries = [getattr(value, name) for name in type(value).__match_args__]
    else:
        return []
    found = []
    for entry in entries:
        found += tensors_in(entry)
    return found


def deserialize(text: str, tensors: Sequence[Tensor] = ()) -> Any:
    """The value of a text, with these tensors in the places of its tensors."""
    return _value(literal_eval(text), iter(tensors))


def _value(literal: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(literal, tuple):
        return tuple([_value(entry, tensors) for entry in literal])
    if literal == {}:
        return ARRAY
    if isinstance(literal, dict):
        ((name, arguments),) = literal.items()
        return _class(name)(*_value(arguments, tensors))
    return next(tensors) if literal is ... else literal


def _class(place: str) -> Any:
    """The operator or window class at "module:Class"."""
    module, _, name = place.partition(":")
    return getattr(sys.modules["anypool.windows"], name) if module == "anypool.windows" else operator_class(place)


def _resolve(name: str) -> Any:
    """What this package calls so."""
    module, _, attribute = name.rpartition(".")
    if module.partition(".")[0] != "anypool" or module not in sys.modules:
        raise ValueError(f"a traced call must be one of anypool's, got the name {name!r}")
    return getattr(sys.modules[module], attribute)
