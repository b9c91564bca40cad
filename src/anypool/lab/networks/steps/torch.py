"""Steps of training in torch: eager, with what autograd saves and what operators make counted as they do."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from .base import Step, output_gradient


def torch_step(apply: Callable[[], torch.Tensor], there: Iterable[torch.Tensor]) -> Step:
    """A step of the network that `apply` gives the outputs of.

    Args:
        apply: the forward pass, on images that it knows.
        there: all weights, other state and images; those that want a gradient get one.
    """
    outputs = apply()
    gradient = torch.from_numpy(output_gradient(tuple(outputs.shape))).to(outputs.dtype)
    known = [*there, gradient]

    def both() -> None:
        for tensor in known:
            tensor.grad = None
        apply().backward(gradient)

    return Step(apply, both, _saved_bytes(apply, known), _peak_bytes(both, known))


def _saved_bytes(apply: Callable[[], torch.Tensor], known: Sequence[torch.Tensor]) -> int:
    """Of the memory behind all tensors that autograd saves, each piece once."""
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = apply()  # keeps everything saved alive, so that no two pieces have one address
    del outputs
    for tensor in known:
        saved.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(saved.values())


def _peak_bytes(both: Callable[[], None], known: Sequence[torch.Tensor]) -> int:
    both()
    for tensor in known:
        tensor.grad = None
    with _Held(known) as held:
        both()
    return held.peak


class _Held(TorchDispatchMode):
    """Counts the memory behind what operators give, from then until nobody refers to it any more."""

    def __init__(self, known: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._seen = weakref.WeakSet(tensor.untyped_storage() for tensor in known)

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = operator(*args, **(kwargs or {}))
        for result in tree_iter(results):
            if isinstance(result, torch.Tensor) and result.untyped_storage() not in self._seen:
                self._hold(result.untyped_storage())
        self.peak = max(self.peak, self.bytes)
        return results

    def _hold(self, storage: torch.UntypedStorage) -> None:
        self._seen.add(storage)
        self.bytes += storage.nbytes()
        weakref.finalize(storage, self._release, storage.nbytes())

    def _release(self, size: int) -> None:
        self.bytes -= size
