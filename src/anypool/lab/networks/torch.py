"""torch models as the lab sees them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

import anypool.torch

from ..callbacks import check_stop
from ..clock import computing
from ..data import Dataset
from ..runs import PoolingLayer
from .base import (
    BATCH_SIZE,
    GREATEST_STRIDE,
    PREDICTED_AT_ONCE,
    Diverged,
    History,
    Kind,
    Network,
    ShouldStop,
    Site,
    accuracy_of,
    are_probabilities,
    check_outputs,
    digest_of,
    is_there,
)

if TYPE_CHECKING:
    from ..poolings import Candidate
    from .steps.base import Step

BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)


def _classes(prefix: str) -> tuple[type, ...]:
    names = [f"{prefix}{operator}Pool2d" for operator in ("Max", "Min", "Avg", "LP", "Sum", "")]
    return tuple(found for room in (nn, anypool.torch) for name in names if (found := getattr(room, name, None)))


POOLINGS: dict[Kind, tuple[type, ...]] = {
    "global": _classes("Global"),
    "adaptive": _classes("Adaptive"),
    "sliding": _classes(""),
}
SETTINGS: dict[Kind, tuple[str, ...]] = {
    "global": ("keepdim",),
    "adaptive": ("output_size",),
    "sliding": ("kernel_size", "stride", "padding", "ceil_mode"),
}


class StridedConvolution(nn.Module):
    """A convolution in place of a pooling: the same window and stride, weights that begin as the average of a channel.

    It is made at the first images, which say how many channels there are; `swapped` shows it some.
    """

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False) -> None:
        super().__init__()
        if ceil_mode:
            raise ValueError("a strided convolution cannot take the place of a pooling with ceil_mode=True")
        self.settings = kernel_size, stride or kernel_size, padding
        self.convolution: nn.Conv2d | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The convolution."""
        convolution = self._made(x.shape[1])
        return convolution(self._padded(x) if self.settings[2] == "same" else x)

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        """What `same` adds, which torch's strided convolutions do not know: the odd one at the end."""
        convolution = self._made(x.shape[1])
        ends: list[int] = []
        sides = zip(x.shape[:-3:-1], convolution.kernel_size[::-1], convolution.stride[::-1], strict=True)
        for length, size, stride in sides:
            missing = max((-(-length // stride) - 1) * stride + size - length, 0)
            ends += [missing // 2, missing - missing // 2]
        return nn.functional.pad(x, ends)

    def _made(self, channels: int) -> nn.Conv2d:
        if self.convolution is None:
            size, stride, padding = self.settings
            padding = 0 if padding == "same" else padding
            self.convolution = nn.Conv2d(channels, channels, size, stride, padding, bias=False)
            with torch.no_grad():
                average = torch.eye(channels) / prod(self.convolution.kernel_size)
                self.convolution.weight.copy_(average[:, :, None, None].expand_as(self.convolution.weight))
        return self.convolution

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *arguments: Any) -> None:
        weight = state.get(f"{prefix}convolution.weight")
        if weight is not None:
            self._made(len(weight))
        super()._load_from_state_dict(state, prefix, *arguments)


def site_of(module: nn.Module, path: str) -> Site | None:
    """What a module is as a pooling of images; None where it is something else."""
    if isinstance(module, nn.Conv2d) and 1 < max(module.stride) <= GREATEST_STRIDE:
        return Site(path, "strided", {"kernel_size": module.stride, "stride": module.stride, "padding": "same"})
    kind = next((kind for kind, classes in POOLINGS.items() if isinstance(module, classes)), None)
    if kind is None or getattr(module, "return_indices", False):
        return None
    settings = {name: getattr(module, name) for name in SETTINGS[kind] if hasattr(module, name)}
    return Site(path, kind, settings)


class TorchNetwork:
    """A torch model for images, which are given to it channels first."""

    libraries: tuple[str, ...] = ("torch",)

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    @property
    def backend(self) -> str:
        """torch itself."""
        return "torch"

    @property
    def parameters(self) -> int:
        """How many numbers the model holds that can be trained."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def has_batch_norm(self) -> bool:
        """Whether there is a module that normalises by statistics of training."""
        return any(isinstance(module, BATCH_NORMS) for module in self.model.modules())

    def copied(self) -> Network:
        """A copy; nothing is shared.

        Raises:
            TypeError: the model cannot be copied.
        """
        return TorchNetwork(self._copied_model())

    def _copied_model(self) -> nn.Module:
        try:
            return copy.deepcopy(self.model)
        except Exception as error:  # torch and the objects a model holds raise many kinds
            raise TypeError(f"model cannot be copied: {error}") from error

    suffix = ".pt"

    def save(self, path: Path) -> None:
        """Write the state of the model."""
        torch.save(self.model.state_dict(), path)

    def load_weights(self, path: Path) -> None:
        """Take the weights in a .pt file; nothing else in it is loaded."""
        self.model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))

    def digest(self) -> str:
        """A fingerprint of the weights."""
        return digest_of(tensor.detach().cpu().numpy() for tensor in self.model.state_dict().values())

    def sites(self) -> list[Site]:
        """The model's pooling modules, in the order in which it holds them."""
        found = (site_of(module, name) for name, module in self.model.named_modules())
        return [site for site in found if site is not None]

    def swapped(self, choices: Sequence[tuple[Site, Candidate]]) -> Network:
        """A copy in which each candidate pools at its site; a strided convolution is `strided` already.

        Raises:
            TypeError: the model cannot be copied.
        """
        made = [(site, candidate) for site, candidate in choices if not is_there(site, candidate)]
        return self.replaced(
            {site.name: candidate.torch_module(site.kind, **site.settings) for site, candidate in made}
        )

    def replaced(self, modules: Mapping[str, nn.Module]) -> Network:
        """A copy in which these modules pool at the sites of these names.

        Raises:
            TypeError: the model cannot be copied.
        """
        model = self._copied_model()
        for path, module in modules.items():
            old = model.get_submodule(path)
            new = nn.Sequential(_dense(old), module) if isinstance(old, nn.Conv2d) else module
            if not path:
                return TorchNetwork(new)
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, new)
        return TorchNetwork(model)

    def resized(self, site: Site, size: int, stride: int) -> Site:
        """The site with another window."""
        padding = site.settings["padding"] if size == stride else "same"
        return replace(site, settings={**site.settings, "kernel_size": size, "stride": stride, "padding": padding})

    @computing
    def predict(self, images: np.ndarray, should_stop: ShouldStop) -> np.ndarray:
        """The model's outputs in inference."""
        outputs = []
        with _mode(self.model, training=False), torch.no_grad():
            for start in range(0, len(images), PREDICTED_AT_ONCE):
                check_stop(should_stop)
                outputs.append(self.model(_tensor(images[start : start + PREDICTED_AT_ONCE])).numpy())
        return np.concatenate(outputs)

    @computing
    def recalibrate(self, images: np.ndarray, should_stop: ShouldStop) -> None:
        """Take the statistics of batch normalisation anew, as the means of those of batches of these images."""
        norms = [module for module in self.model.modules() if isinstance(module, BATCH_NORMS)]
        kept = [norm.momentum for norm in norms]
        with _mode(self.model, training=False), torch.no_grad():
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # every batch counts alike
                norm.train()
            for start in range(0, len(images), PREDICTED_AT_ONCE):
                check_stop(should_stop)
                self.model(_tensor(images[start : start + PREDICTED_AT_ONCE]))
        for norm, momentum in zip(norms, kept, strict=True):
            norm.momentum = momentum

    @computing
    def fit(
        self,
        data: Dataset,
        epochs: int,
        learning_rate: float,
        seed: int,
        on_epoch: Callable[[int, float], None],
        should_stop: ShouldStop,
    ) -> History:
        """Train the model with Adam; the seed decides the order of the images."""
        torch.manual_seed(seed)
        first = self.predict(data.x_test[:PREDICTED_AT_ONCE], should_stop)
        check_outputs(first, len(first), data.classes)
        loss_of = _loss_of_probabilities if are_probabilities(first) else nn.functional.cross_entropy
        optimizer = torch.optim.Adam(self.model.parameters(), learning_rate)
        images, labels = _tensor(data.x_train), torch.from_numpy(data.y_train)
        history = History()
        for epoch in range(1, epochs + 1):
            began, total = perf_counter(), 0.0
            with _mode(self.model, training=True):
                for batch in torch.randperm(len(images)).split(BATCH_SIZE):
                    check_stop(should_stop)
                    optimizer.zero_grad()
                    loss = loss_of(self.model(images[batch]), labels[batch])
                    loss.backward()
                    optimizer.step()
                    total += loss.item()
            history.epoch_seconds.append(perf_counter() - began)
            if not np.isfinite(total):
                raise Diverged(f"the loss was {total} after epoch {epoch} of {epochs}")
            history.curve.append(accuracy_of(self.predict(data.x_test, should_stop), data.y_test))
            on_epoch(epoch, history.curve[-1])
        return history

    def layers(self) -> list[PoolingLayer]:
        """Nothing: torch knows no shapes before images come; `cost` sees them."""
        return []

    def cost(self, images: np.ndarray) -> dict[str, float]:
        """Multiply-adds of convolutions and linear layers, and bytes of all modules' outputs, per image."""
        counts = {"multiply_adds": 0.0, "activation_bytes": 0.0}

        def count(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                counts["activation_bytes"] += output.numel() * output.element_size()
                counts["multiply_adds"] += _multiply_adds(module, output)

        leaves = [module for module in self.model.modules() if not list(module.children())]
        hooks = [module.register_forward_hook(count) for module in leaves]
        try:
            self.predict(images[:1], lambda: False)
        finally:
            for hook in hooks:
                hook.remove()
        return counts

    def pooled_maps(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """What enters and leaves the first sliding pooling module that is called."""
        seen: list[tuple[np.ndarray, np.ndarray]] = []

        def see(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            before, after = (maps[0].movedim(0, -1).numpy().copy() for maps in (inputs[0], output))
            seen.append((before, after))

        chosen = (*POOLINGS["sliding"], StridedConvolution)
        hooks = [module.register_forward_hook(see) for module in self.model.modules() if isinstance(module, chosen)]
        try:
            self.predict(image, lambda: False)
        finally:
            for hook in hooks:
                hook.remove()
        return seen[0] if seen else None

    def training_step(self, images: np.ndarray) -> Step | None:
        """A step of training on a copy, without its optimiser; None where nothing is trainable."""
        from .steps.torch import torch_step

        model, x = self._copied_model().train(), _tensor(images)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            return None
        return torch_step(lambda: model(x), [x, *model.parameters(), *model.buffers()])


def _dense(convolution: nn.Conv2d) -> nn.Conv2d:
    """A convolution with stride 1 in place of its own."""
    convolution.stride = (1, 1)
    return convolution


def _multiply_adds(module: nn.Module, output: torch.Tensor) -> int:
    """Of one image through a convolution or a linear layer: the size of its kernel times how often it is applied."""
    if isinstance(module, nn.Conv2d):
        return module.weight.numel() * prod(output.shape[2:])
    if isinstance(module, nn.Linear):
        return module.weight.numel() * prod(output.shape[1:-1])
    return 0


def _tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def _loss_of_probabilities(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.nll_loss(outputs.clamp_min(1e-7).log(), labels)


@contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    """A mode of the model and what it holds, and their own again after it."""
    kept = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, before in kept:
            module.training = before
