"""The group "torch-networks": whole networks before and after `anypool.torch.accelerate`, beside free pooling."""

from __future__ import annotations

import copy
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.profiler import ProfilerActivity, profile

import anypool.torch
from benchmarks.cases import FIRST, FORWARD, LAST, TRAINING
from benchmarks.networks import NETWORKS, Network
from benchmarks.timing import Call, in_rounds, median, median_ratio

BEFORE, AFTER, BOUND, ITSELF = "before", "after", "pooling free", "before, again"
BATCHES = (1, 16)
SECONDS = 5.0
"""Of rounds for each row, whose ratios are compared: see `timing.in_rounds`."""

Record = dict[str, Any]


class _Prepared(torch.autograd.Function):
    """A tensor that was there before, and a gradient that was there before."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, y: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        ctx.gradient = gradient
        return y.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return ctx.gradient, None, None


class Free(nn.Module):
    """A pooling that costs nothing: it answers with tensors of the right shape and layout, made on the first call."""

    def __init__(self, pooling: nn.Module) -> None:
        super().__init__()
        self.pooling = pooling
        self.answers: dict[tuple[torch.Size, bool], tuple[torch.Tensor, torch.Tensor]] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        key = (x.shape, x.is_contiguous(memory_format=torch.channels_last))
        if key not in self.answers:
            with torch.no_grad():
                self.answers[key] = (self.pooling(x), torch.full_like(x, 1e-3))
        return _Prepared.apply(x, *self.answers[key])


def without_pooling(model: nn.Module) -> nn.Module:
    """A copy of the model, on the same parameters, in which every pooling module is free."""
    model = copied(model)
    if _pools(model):
        return Free(model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if _pools(child):
                setattr(parent, name, Free(child))
    return model


def copied(model: nn.Module) -> nn.Module:
    """A copy of the model on the same parameters: what it gains shows how far a gain can be trusted."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})


def _pools(module: nn.Module) -> bool:
    return type(module).__module__ == "torch.nn.modules.pooling"


def measure(quick: bool, only: str, report: Callable[[Record], None]) -> None:
    """One record per network, layout, batch and direction."""
    for network in NETWORKS:
        if (quick and not network.quick) or only not in network.name:
            continue
        for layout in (FIRST,) if quick else (FIRST, LAST):
            for record in _measure_network(network, layout, quick):
                report(record)
        gc.collect()


def _measure_network(network: Network, layout: str, quick: bool) -> Iterator[Record]:
    torch.manual_seed(0)
    before = _laid_out(network.build(), layout)
    models = {BEFORE: before, AFTER: accelerated(before), BOUND: without_pooling(before), ITSELF: copied(before)}
    for batch in BATCHES[-1:] if quick else BATCHES:
        x = _laid_out(torch.randn(batch, *network.image), layout)
        _check_equal(network, models, x)
        for direction in (FORWARD, TRAINING):
            x.requires_grad_(direction == TRAINING and network.inside)
            steps = {name: _step(model, x, direction) for name, model in models.items()}
            for step in steps.values():
                step()
            rounds = in_rounds(steps, budget=0.5 if quick else SECONDS, least=5)
            yield {
                "network": network.name,
                "image": list(network.image),
                "layout": layout,
                "batch": batch,
                "direction": direction,
                "rounds": len(rounds),
                "seconds": {name: median([each[name] for each in rounds]) for name in steps},
                "gain": median_ratio(rounds, BEFORE, AFTER),
                "bound": median_ratio(rounds, BEFORE, BOUND),
                "itself": median_ratio(rounds, BEFORE, ITSELF),
                "peak bytes": {name: _peak_from_nothing(models[name], x, steps[name]) for name in (BEFORE, AFTER)},
            }


@dataclass(frozen=True)
class Trial:
    """One row of the group: a network, its input, and what is done with it."""

    network: Network
    layout: str
    batch: int
    direction: str

    @property
    def name(self) -> str:
        return f"{self.network.name}, batch {self.batch}, {self.direction}, channels {self.layout}"

    def accelerated_step(self) -> Call:
        """The step of the network after `accelerate`, by itself."""
        torch.manual_seed(0)
        model = accelerated(_laid_out(self.network.build(), self.layout))
        x = _laid_out(torch.randn(self.batch, *self.network.image), self.layout)
        x.requires_grad_(self.direction == TRAINING and self.network.inside)
        return _step(model, x, self.direction)


def trials(quick: bool) -> Iterator[Trial]:
    """What the group measures."""
    for network in NETWORKS:
        if quick and not network.quick:
            continue
        for layout in (FIRST,) if quick else (FIRST, LAST):
            for batch in BATCHES[-1:] if quick else BATCHES:
                yield from (Trial(network, layout, batch, direction) for direction in (FORWARD, TRAINING))


def _laid_out(thing: Any, layout: str) -> Any:
    """A module or a tensor in the memory format of a layout."""
    return thing.to(memory_format=torch.contiguous_format if layout == FIRST else torch.channels_last)


def accelerated(model: nn.Module) -> nn.Module:
    """The model after the one line that this group is about."""
    return anypool.torch.accelerate(model)[0]


def _check_equal(network: Network, models: dict[str, nn.Module], x: torch.Tensor) -> None:
    with torch.no_grad():
        expected, given = (models[name].eval()(x) for name in (BEFORE, AFTER))
    if not torch.allclose(expected, given, rtol=1e-4, atol=1e-5):
        raise AssertionError(f"{network.name} gives other outputs after accelerate")


def _step(model: nn.Module, x: torch.Tensor, direction: str) -> Call:
    """Forward in evaluation mode without gradients; or forward, loss and backward into fresh gradients."""
    parameters = list(model.parameters())

    def forward() -> torch.Tensor:
        model.eval()
        with torch.no_grad():
            return model(x)

    def training() -> None:
        model.train()
        for parameter in (*parameters, x):
            parameter.grad = None
        model(x).square().mean().backward()

    return forward if direction == FORWARD else training


def _peak_from_nothing(model: nn.Module, x: torch.Tensor, step: Call) -> int:
    """The peak of a step that finds no gradients: those it would free first do not make room for its own.

    All outputs in memory of torch's, since its profiler sees no other.
    """
    from anypool.cpu import kernels

    for tensor in (*model.parameters(), x):
        tensor.grad = None
    with patch.object(kernels, "LARGE", sys.maxsize):
        return peak_bytes(step)


def peak_bytes(step: Call) -> int:
    """The most bytes of tensors that a step holds at a time, above what was there before it."""
    with _without_stderr(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    changes = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Keep what torch's profiler writes about itself, past Python, from the terminal."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
