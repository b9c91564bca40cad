"""Networks with the shape of well-known ones, written here so that nothing is downloaded; random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn


@dataclass(frozen=True)
class Network:
    """A network and the image it takes. Images are smaller than the papers' where a full run would take too long."""

    name: str
    build: Callable[[], nn.Module]
    image: tuple[int, int, int]
    inside: bool = False
    """Whether it is a part of a network, so that its input has a gradient too."""
    quick: bool = False


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation, SiLU: the unit of the YOLO family."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.SiLU()
    )


def alexnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(), nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.AdaptiveAvgPool2d(6), nn.Flatten()),
        *(nn.Linear(9216, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)),
    )


def vgg16() -> nn.Module:
    layers: list[nn.Module] = []
    inputs = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, width, 3, 1, 1), nn.ReLU()]
            inputs = width
        layers.append(nn.MaxPool2d(2))
    head = (nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7), nn.Flatten(), *head)


class Residual(nn.Module):
    """Two 3×3 convolutions and a shortcut: the basic block of ResNet-18."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()),
            *(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)),
        )
        same = stride == 1 and inputs == outputs
        projection = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity() if same else projection

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18() -> nn.Module:
    widths = (64, 64, 128, 256, 512)
    blocks: list[nn.Module] = []
    for stage, (inputs, outputs) in enumerate(pairwise(widths)):
        blocks += [Residual(inputs, outputs, 1 if stage == 0 else 2), Residual(outputs, outputs, 1)]
    stem = (nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


class Branches(nn.Module):
    """The same input through several branches, concatenated along the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def inception_module(inputs: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> nn.Module:
    def unit(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2), nn.ReLU())

    return Branches(
        unit(inputs, one, 1),
        nn.Sequential(unit(inputs, three[0], 1), unit(*three, 3)),
        nn.Sequential(unit(inputs, five[0], 1), unit(*five, 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), unit(inputs, pooled, 1)),
    )


def inception() -> nn.Module:
    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, 1)

    return nn.Sequential(
        *(nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), pool()),
        *(nn.Conv2d(64, 64, 1), nn.ReLU(), nn.Conv2d(64, 192, 3, 1, 1), nn.ReLU(), pool()),
        inception_module(192, 64, (96, 128), (16, 32), 32),
        inception_module(256, 128, (128, 192), (32, 96), 64),
        pool(),
        inception_module(480, 192, (96, 208), (16, 48), 64),
        inception_module(512, 160, (112, 224), (24, 64), 64),
        inception_module(512, 128, (128, 256), (24, 64), 64),
        inception_module(512, 112, (144, 288), (32, 64), 64),
        inception_module(528, 256, (160, 320), (32, 128), 128),
        pool(),
        inception_module(832, 256, (160, 320), (32, 128), 128),
        inception_module(832, 384, (192, 384), (48, 128), 128),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1000)),
    )


class ChainedPooling(nn.Module):
    """The pooling of an SPPF block: three max 5 s1 in a chain, which see 5, 9 and 13, concatenated with their input."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        once = self.pool(x)
        twice = self.pool(once)
        return torch.cat([x, once, twice, self.pool(twice)], dim=1)


def sppf(width: int) -> nn.Sequential:
    """A whole SPPF block, between its two 1×1 convolutions."""
    half = width // 2
    return nn.Sequential(convolution(width, half, 1), ChainedPooling(), convolution(4 * half, width, 1))


def yolo() -> nn.Module:
    """A backbone of strided and plain 3×3 convolutions that ends in an SPPF block, and a 1×1 head of 255 channels."""
    layers: list[nn.Module] = [convolution(3, 16, 3, 2)]
    for inputs, outputs in pairwise((16, 32, 64, 128, 256)):
        layers += [convolution(inputs, outputs, 3, 2), convolution(outputs, outputs, 3)]
    return nn.Sequential(*layers, sppf(256), nn.Conv2d(256, 255, 1))


def course() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


NETWORKS = (
    Network("AlexNet", alexnet, (3, 224, 224)),
    Network("VGG16", vgg16, (3, 96, 96)),
    Network("ResNet-18", resnet18, (3, 160, 160)),
    Network("Inception", inception, (3, 160, 160)),
    Network("YOLO-SPPF", yolo, (3, 320, 320)),
    Network("SPPF block", lambda: sppf(512), (512, 20, 20), inside=True),
    Network("SPPF pooling", ChainedPooling, (256, 20, 20), inside=True, quick=True),
    Network("course", course, (1, 28, 28), quick=True),
)
