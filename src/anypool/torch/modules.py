"""Pooling modules. Those that torch has are subclasses of torch's, with its signatures and results.

Beyond torch, all of them take any number of leading axes, integers and booleans; padding of any size, as
((before, after), …) per axis, "same" or "same_lower"; and `dilation`.
"""

from __future__ import annotations

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
)

# ---------------------------------------------------------------------------------------------------------------------
# Max and min


class MaxPool1d(ExtremePool, torch.nn.MaxPool1d):
    """The greatest element of every window over the last axis, as `torch.nn.MaxPool1d`."""

    rank = 1
    operator = "max"
    native = torchs.MAX_1D


class MaxPool2d(ExtremePool, torch.nn.MaxPool2d):
    """The greatest element of every window over the last two axes, as `torch.nn.MaxPool2d`."""

    rank = 2
    operator = "max"
    native = torchs.MAX_2D


class MaxPool3d(ExtremePool, torch.nn.MaxPool3d):
    """The greatest element of every window over the last three axes, as `torch.nn.MaxPool3d`."""

    rank = 3
    operator = "max"
    native = torchs.MAX_3D


class MinPool1d(ExtremePool):
    """The least element of every window over the last axis, with the signature of `MaxPool1d`."""

    rank = 1
    operator = "min"


class MinPool2d(ExtremePool):
    """The least element of every window over the last two axes, with the signature of `MaxPool2d`."""

    rank = 2
    operator = "min"


class MinPool3d(ExtremePool):
    """The least element of every window over the last three axes, with the signature of `MaxPool3d`."""

    rank = 3
    operator = "min"


# ---------------------------------------------------------------------------------------------------------------------
# Averages, sums and norms


class AvgPool1d(AveragingPool, torch.nn.AvgPool1d):
    """The average of every window over the last axis, as `torch.nn.AvgPool1d`: padding counts unless told."""

    rank = 1
    native = torchs.AVERAGE_1D


class AvgPool2d(AveragingPool, torch.nn.AvgPool2d):
    """The average of every window over the last two axes, as `torch.nn.AvgPool2d`: padding counts unless told."""

    rank = 2
    native = torchs.AVERAGE_2D


class AvgPool3d(AveragingPool, torch.nn.AvgPool3d):
    """The average of every window over the last three axes, as `torch.nn.AvgPool3d`: padding counts unless told."""

    rank = 3
    native = torchs.AVERAGE_3D


class SumPool1d(SummingPool):
    """The sum of every window over the last axis."""

    rank = 1
    operator = "sum"


class SumPool2d(SummingPool):
    """The sum of every window over the last two axes."""

    rank = 2
    operator = "sum"


class SumPool3d(SummingPool):
    """The sum of every window over the last three axes."""

    rank = 3
    operator = "sum"


class LPPool1d(NormPool, torch.nn.LPPool1d):
    """The p-norm (Σ|x|ᵖ)^(1/p) of every window over the last axis.

    `torch.nn.LPPool1d` takes xᵖ without magnitudes (NaN for negative sums and odd p) and inflates partial windows;
    `signed=True` gives just that.
    """

    rank = 1


class LPPool2d(NormPool, torch.nn.LPPool2d):
    """The p-norm (Σ|x|ᵖ)^(1/p) of every window over the last two axes.

    `torch.nn.LPPool2d` takes xᵖ without magnitudes (NaN for negative sums and odd p) and inflates partial windows;
    `signed=True` gives just that.
    """

    rank = 2


class LPPool3d(NormPool, torch.nn.LPPool3d):
    """The p-norm (Σ|x|ᵖ)^(1/p) of every window over the last three axes.

    `torch.nn.LPPool3d` takes xᵖ without magnitudes (NaN for negative sums and odd p) and inflates partial windows;
    `signed=True` gives just that.
    """

    rank = 3


# ---------------------------------------------------------------------------------------------------------------------
# Adaptive windows


class AdaptiveMaxPool1d(AdaptiveExtremePool, torch.nn.AdaptiveMaxPool1d):
    """The greatest element of as many windows along the last axis as wanted, as `torch.nn.AdaptiveMaxPool1d`."""

    rank = 1
    operator = "max"
    native = torchs.ADAPTIVE_MAX_1D


class AdaptiveMaxPool2d(AdaptiveExtremePool, torch.nn.AdaptiveMaxPool2d):
    """The greatest element of as many windows along the last two axes as wanted, as `torch.nn.AdaptiveMaxPool2d`."""

    rank = 2
    operator = "max"
    native = torchs.ADAPTIVE_MAX_2D


class AdaptiveMaxPool3d(AdaptiveExtremePool, torch.nn.AdaptiveMaxPool3d):
    """The greatest element of as many windows along the last three axes as wanted, as `torch.nn.AdaptiveMaxPool3d`."""

    rank = 3
    operator = "max"
    native = torchs.ADAPTIVE_MAX_3D


class AdaptiveMinPool1d(AdaptiveExtremePool):
    """The least element of as many windows along the last axis as wanted."""

    rank = 1
    operator = "min"


class AdaptiveMinPool2d(AdaptiveExtremePool):
    """The least element of as many windows along the last two axes as wanted."""

    rank = 2
    operator = "min"


class AdaptiveMinPool3d(AdaptiveExtremePool):
    """The least element of as many windows along the last three axes as wanted."""

    rank = 3
    operator = "min"


class AdaptiveAvgPool1d(AdaptivePool, torch.nn.AdaptiveAvgPool1d):
    """The average of as many windows along the last axis as wanted, as `torch.nn.AdaptiveAvgPool1d`."""

    rank = 1
    operator = "average"
    native = torchs.ADAPTIVE_AVERAGE_1D


class AdaptiveAvgPool2d(AdaptivePool, torch.nn.AdaptiveAvgPool2d):
    """The average of as many windows along the last two axes as wanted, as `torch.nn.AdaptiveAvgPool2d`."""

    rank = 2
    operator = "average"
    native = torchs.ADAPTIVE_AVERAGE_2D


class AdaptiveAvgPool3d(AdaptivePool, torch.nn.AdaptiveAvgPool3d):
    """The average of as many windows along the last three axes as wanted, as `torch.nn.AdaptiveAvgPool3d`."""

    rank = 3
    operator = "average"
    native = torchs.ADAPTIVE_AVERAGE_3D


# ---------------------------------------------------------------------------------------------------------------------
# Everything


class GlobalMaxPool1d(GlobalPool):
    """The greatest element of the last axis, which go, or stay with length 1 where `keepdim`."""

    rank = 1
    operator = "max"


class GlobalMaxPool2d(GlobalPool):
    """The greatest element of the last two axes, which go, or stay with length 1 where `keepdim`."""

    rank = 2
    operator = "max"


class GlobalMaxPool3d(GlobalPool):
    """The greatest element of the last three axes, which go, or stay with length 1 where `keepdim`."""

    rank = 3
    operator = "max"


class GlobalMinPool1d(GlobalPool):
    """The least element of the last axis, which go, or stay with length 1 where `keepdim`."""

    rank = 1
    operator = "min"


class GlobalMinPool2d(GlobalPool):
    """The least element of the last two axes, which go, or stay with length 1 where `keepdim`."""

    rank = 2
    operator = "min"


class GlobalMinPool3d(GlobalPool):
    """The least element of the last three axes, which go, or stay with length 1 where `keepdim`."""

    rank = 3
    operator = "min"


class GlobalAvgPool1d(GlobalPool):
    """The average of the last axis, which go, or stay with length 1 where `keepdim`."""

    rank = 1
    operator = "average"


class GlobalAvgPool2d(GlobalPool):
    """The average of the last two axes, which go, or stay with length 1 where `keepdim`."""

    rank = 2
    operator = "average"


class GlobalAvgPool3d(GlobalPool):
    """The average of the last three axes, which go, or stay with length 1 where `keepdim`."""

    rank = 3
    operator = "average"


# ---------------------------------------------------------------------------------------------------------------------
# Back from pooled values


class MaxUnpool1d(Unpool, torch.nn.MaxUnpool1d):
    """Values back to where they were in the last axis, zeros elsewhere, as `torch.nn.MaxUnpool1d`."""

    rank = 1


class MaxUnpool2d(Unpool, torch.nn.MaxUnpool2d):
    """Values back to where they were in the last two axes, zeros elsewhere, as `torch.nn.MaxUnpool2d`."""

    rank = 2


class MaxUnpool3d(Unpool, torch.nn.MaxUnpool3d):
    """Values back to where they were in the last three axes, zeros elsewhere, as `torch.nn.MaxUnpool3d`."""

    rank = 3
