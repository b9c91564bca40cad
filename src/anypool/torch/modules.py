"""Pooling modules by name. Those that torch has are subclasses of torch's, with its signatures and results.

Beyond torch, all of them take any number of leading axes, integers and booleans; padding of any size, as
((before, after), …) per axis, "same" or "same_lower"; and `dilation`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from anypool.torch import native as torchs
from anypool.torch.bases import (
    AdaptiveExtremePool,
    AdaptivePool,
    AveragingPool,
    ExtremePool,
    GlobalPool,
    NormPool,
    SummingPool,
    Unpool,
    by_rank,
)

# ---------------------------------------------------------------------------------------------------------------------
# Sliding windows

MaxPool1d, MaxPool2d, MaxPool3d = by_rank(
    "MaxPool",
    ExtremePool,
    "The greatest element of every window over {axes}{likeness}.",
    __name__,
    operator="max",
    native={1: torchs.MAX_1D, 2: torchs.MAX_2D, 3: torchs.MAX_3D},
)
MinPool1d, MinPool2d, MinPool3d = by_rank(
    "MinPool",
    ExtremePool,
    "The least element of every window over {axes}, with the signature of max pooling.",
    __name__,
    operator="min",
)
AvgPool1d, AvgPool2d, AvgPool3d = by_rank(
    "AvgPool",
    AveragingPool,
    "The average of every window over {axes}{likeness}: padding counts unless told.",
    __name__,
    native={1: torchs.AVERAGE_1D, 2: torchs.AVERAGE_2D, 3: torchs.AVERAGE_3D},
)
SumPool1d, SumPool2d, SumPool3d = by_rank(
    "SumPool", SummingPool, "The sum of every window over {axes}.", __name__, operator="sum"
)
LPPool1d, LPPool2d, LPPool3d = by_rank(
    "LPPool",
    NormPool,
    """The p-norm (Σ|x|ᵖ)^(1/p) of every window over {axes}.

    `torch.nn.{name}` takes xᵖ without magnitudes (NaN for negative sums and odd p) and inflates partial windows;
    `signed=True` gives just that.
    """,
    __name__,
    average={1: torchs.AVERAGE_1D, 2: torchs.AVERAGE_2D, 3: torchs.AVERAGE_3D},
)
MaxUnpool1d, MaxUnpool2d, MaxUnpool3d = by_rank(
    "MaxUnpool", Unpool, "Values back to where they were in {axes}, zeros elsewhere{likeness}.", __name__
)


class FractionalMaxPool(torch.nn.Module):
    """torch's own, whose windows' places may be drawn by a generator.

    Args:
        kernel_size, output_size, output_ratio, return_indices: as in torch.
        generator: draws the places, for every image and channel anew; default: torch's own.
    """

    rank: ClassVar[int]

    def __init__(self, *arguments: Any, generator: torch.Generator | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.generator = generator

    def forward(self, input: torch.Tensor) -> Any:
        if self.generator is not None:
            lead = input.shape[: -self.rank] if input.dim() == self.rank + 2 else (1, *input.shape[: -self.rank])
            self._random_samples = torch.rand(
                (*lead, self.rank), generator=self.generator, dtype=input.dtype, device=input.device
            )
        return super().forward(input)


class FractionalMaxPool2d(FractionalMaxPool, torch.nn.FractionalMaxPool2d):
    """The greatest element of windows at steps that differ, by lot, as `torch.nn.FractionalMaxPool2d`."""

    rank = 2


class FractionalMaxPool3d(FractionalMaxPool, torch.nn.FractionalMaxPool3d):
    """The greatest element of windows at steps that differ, by lot, as `torch.nn.FractionalMaxPool3d`."""

    rank = 3


# ---------------------------------------------------------------------------------------------------------------------
# Adaptive windows

AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d = by_rank(
    "AdaptiveMaxPool",
    AdaptiveExtremePool,
    "The greatest element of as many windows along {axes} as wanted{likeness}.",
    __name__,
    operator="max",
    native={1: torchs.ADAPTIVE_MAX_1D, 2: torchs.ADAPTIVE_MAX_2D, 3: torchs.ADAPTIVE_MAX_3D},
)
AdaptiveMinPool1d, AdaptiveMinPool2d, AdaptiveMinPool3d = by_rank(
    "AdaptiveMinPool",
    AdaptiveExtremePool,
    "The least element of as many windows along {axes} as wanted.",
    __name__,
    operator="min",
)
AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d = by_rank(
    "AdaptiveAvgPool",
    AdaptivePool,
    "The average of as many windows along {axes} as wanted{likeness}.",
    __name__,
    operator="average",
    native={1: torchs.ADAPTIVE_AVERAGE_1D, 2: torchs.ADAPTIVE_AVERAGE_2D, 3: torchs.ADAPTIVE_AVERAGE_3D},
)

# ---------------------------------------------------------------------------------------------------------------------
# Global windows

GONE = "of {axes}, which go, or stay with length 1 where `keepdim`."

GlobalMaxPool1d, GlobalMaxPool2d, GlobalMaxPool3d = by_rank(
    "GlobalMaxPool", GlobalPool, f"The greatest element {GONE}", __name__, operator="max"
)
GlobalMinPool1d, GlobalMinPool2d, GlobalMinPool3d = by_rank(
    "GlobalMinPool", GlobalPool, f"The least element {GONE}", __name__, operator="min"
)
GlobalAvgPool1d, GlobalAvgPool2d, GlobalAvgPool3d = by_rank(
    "GlobalAvgPool", GlobalPool, f"The average {GONE}", __name__, operator="average"
)
