"""Where Python is read as it runs, by torch.compile, or run on proxies, by torch.fx: what either meets of this package.
Loaded only then.

The call is one node of the traced graph, whose Python is not read. Its arguments are a text and the tensors among them,
since a graph holds nothing else.
"""

from __future__ import annotations

import math
import sys
from ast import literal_eval
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch._dynamo import allow_in_graph
from torch.fx import Proxy

from anypool.adapters.registry import adapter_for
from anypool.operators import ARRAY, operator_class


def call(function: Callable[..., Any], x: Tensor, arguments: tuple[Any, ...]) -> Any:
    """`function(adapter, x, *arguments)`, which torch.compile traces by running it, without reading its Python."""
    return call_named(*_node(function, x, arguments))


def record(function: Callable[..., Any], x: Proxy, arguments: tuple[Any, ...]) -> Proxy:
    """The same as a node of the graph that torch.fx.symbolic_trace builds."""
    return _recorded(_node(function, x, arguments))


def _recorded(node: tuple[Any, ...]) -> Proxy:
    proxy: Proxy = node[2].tracer.create_proxy("call_function", call_named, node, {})
    return proxy


def _node(function: Callable[..., Any], x: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return f"{function.__module__}.{function.__name__}", serialize(arguments), x, *tensors_in(arguments)


@allow_in_graph
def call_named(name: str, text: str, x: Tensor, *tensors: Tensor) -> Any:
    """The call that a node of a graph is: the function's name, and the text of its arguments."""
    if isinstance(x, Proxy):  # the graph itself is traced
        return _recorded((name, text, x, *tensors))
    return _resolve(name)(adapter_for(x), x, *deserialize(text, tensors))


# In steps that torch.compile can follow.


def serialize(value: Any) -> str:
    """A Python literal: dtypes are their names, operators and windows {class: fields}, tensors `...`,
    and what stands for an array `{}`."""
    if isinstance(value, tuple | list):
        return "(" + "".join([serialize(entry) + ", " for entry in value]) + ")"
    if isinstance(value, torch.dtype):
        return repr(str(value).removeprefix("torch."))
    if isinstance(value, Tensor | Proxy):
        return "..."
    kind = type(value)
    if hasattr(kind, "__match_args__"):
        fields = serialize([getattr(value, name) for name in kind.__match_args__])
        return f"{{'{kind.__module__}:{kind.__qualname__}': {fields}}}"
    if value is ARRAY:
        return "{}"
    if isinstance(value, float):
        if value in (math.inf, -math.inf):
            return "1e999" if value > 0 else "-1e999"
        numerator, denominator = value.as_integer_ratio()  # torch.compile may hold a symbol, and learns the number here
        return repr(numerator / denominator)
    if value is None or isinstance(value, bool | int | str):
        return repr(value)
    raise TypeError(f"in a traced program, pooling takes numbers, names and windows, got {value!r}")


def tensors_in(value: Any) -> list[Any]:
    """The tensors of a value, in the order of its text."""
    if isinstance(value, Tensor | Proxy):
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
    return _value(_literal(text), iter(tensors))


_literal = lru_cache(maxsize=4096)(literal_eval)


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
