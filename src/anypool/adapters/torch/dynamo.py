"""Where torch.compile reads Python as it runs: what it meets of this package. Loaded only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch._dynamo import allow_in_graph

from anypool.adapters import adapter_for
from anypool.adapters.torch import library


def call(function: Callable[..., Any], x: Tensor, arguments: tuple[Any, ...]) -> Any:
    """`function(adapter, x, *arguments)`, which torch.compile traces by running it, without reading its Python."""
    words = library.text(arguments)
    tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
    return _unread(f"{function.__module__}.{function.__name__}", words, x, *tensors)


@allow_in_graph
def _unread(name: str, words: str, x: Tensor, *tensors: Tensor) -> Any:
    return library.named(name)(adapter_for(x), x, *library.meaning(words, tensors))
