"""Modules for descriptors, which hold what is learned of them: attention, covariances, residuals to centres."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from anypool.adapters.base import Adapter
from anypool.adapters.torch.adapter import ADAPTER
from anypool.arguments import as_flag, as_integer, as_number
from anypool.descriptors import attention_pool, covariance_pool, gated_attention_pool, net_vlad
from anypool.pooling import as_axis

FUNCTIONS: dict[str, Callable[..., Any]] = {
    each.__name__: each for each in (attention_pool, covariance_pool, gated_attention_pool, net_vlad)
}


def describe(
    adapter: Adapter,
    x: Any,
    where: Any,
    function: str,
    arguments: tuple[Any, ...],
    options: tuple[tuple[str, Any], ...],
    channel_dim: int,
) -> Tensor:
    """One of `FUNCTIONS` over all axes but the first, the batch, and that of the channels."""
    if not isinstance(x, Tensor):
        raise TypeError(f"input must be a Tensor, got {type(x).__name__}")
    ndim = x.dim()
    if ndim < 3 or not -ndim <= channel_dim < ndim or channel_dim % ndim == 0:
        raise ValueError(
            f"input must have a batch, elements and channels along axis {channel_dim}, got shape {tuple(x.shape)}"
        )
    channels = channel_dim % ndim
    axes = tuple(axis for axis in range(1, ndim) if axis != channels)
    result: Tensor = FUNCTIONS[function](x, *arguments, axes=axes, channel_axis=channels, where=where, **dict(options))
    return result


class Descriptor(torch.nn.Module):
    """What the modules share: all axes but the first, the batch, and that of the channels are pooled."""

    def __init__(self, channel_dim: int) -> None:
        super().__init__()
        self.channel_dim = as_axis(channel_dim, "channel_dim")

    def _pool(self, function: str, input: Tensor, where: Tensor | None, *arguments: Any, **options: Any) -> Tensor:
        result: Tensor = ADAPTER.call(
            describe, input, where, function, arguments, tuple(options.items()), self.channel_dim
        )
        return result


class AttentionPool(Descriptor):
    """The average of vectors weighted by how well they answer a learned query: (N, L, C) to (N, C).

    Args:
        num_features: the channels C. num_heads: how many queries, each for its part of the channels.
        channel_dim: the axis of the channels; −1 for tokens (N, L, C), 1 for maps (N, C, H, W).

    Called with a mask too, booleans that broadcast to the input with length 1 along the channels. The query starts at
    0, which is the average. Source: Ilse et al. 2018, arXiv 1802.04712. See `anypool.attention_pool`.

    >>> AttentionPool(4)(torch.ones(2, 5, 4)).shape
    torch.Size([2, 4])
    """

    def __init__(self, num_features: int, num_heads: int = 1, channel_dim: int = -1) -> None:
        super().__init__(channel_dim)
        features, heads = as_integer("num_features", num_features, 1), as_integer("num_heads", num_heads, 1)
        if features % heads:
            raise ValueError(f"num_features must be a multiple of num_heads, got {features} and {heads}")
        self.query = torch.nn.Parameter(torch.zeros(heads, features // heads))

    def forward(self, input: Tensor, where: Tensor | None = None) -> Tensor:
        return self._pool("attention_pool", input, where, self.query)

    def extra_repr(self) -> str:
        heads, each = self.query.shape
        return f"{heads * each}, num_heads={heads}, channel_dim={self.channel_dim}"


class GatedAttentionPool(Descriptor):
    """The average of vectors weighted by a small gated network that is learned: (N, L, C) to (N, C).

    Args:
        num_features: the channels C. hidden_features: the width of the network.
        channel_dim: the axis of the channels; −1 for tokens (N, L, C), 1 for maps (N, C, H, W).

    Called with a mask too, booleans that broadcast to the input with length 1 along the channels.
    Source: Ilse et al. 2018, arXiv 1802.04712. See `anypool.gated_attention_pool`.

    >>> GatedAttentionPool(4)(torch.ones(2, 5, 4)).shape
    torch.Size([2, 4])
    """

    def __init__(self, num_features: int, hidden_features: int = 128, channel_dim: int = -1) -> None:
        super().__init__(channel_dim)
        features, hidden = (
            as_integer("num_features", num_features, 1),
            as_integer("hidden_features", hidden_features, 1),
        )
        self.value, self.gate = (torch.nn.Parameter(torch.empty(features, hidden)) for _ in range(2))
        self.score = torch.nn.Parameter(torch.empty(hidden))
        for weight in (self.value, self.gate):
            torch.nn.init.xavier_uniform_(weight)
        torch.nn.init.uniform_(self.score, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    def forward(self, input: Tensor, where: Tensor | None = None) -> Tensor:
        return self._pool("gated_attention_pool", input, where, self.value, self.gate, self.score)

    def extra_repr(self) -> str:
        features, hidden = self.value.shape
        return f"{features}, hidden_features={hidden}, channel_dim={self.channel_dim}"


class CovariancePool(Descriptor):
    """The matrix square root of the covariances of the channels (iSQRT-COV): (N, C, H, W) to (N, C(C + 1)/2).

    Args:
        iterations: of Newton and Schulz; 0 gives the covariances themselves.
        triangle: whether to give the upper triangle alone; otherwise (N, C, C).
        channel_dim: the axis of the channels; 1 for maps (N, C, H, W), −1 for tokens (N, L, C).

    Called with a mask too. Source: Li et al. 2018, arXiv 1712.01034. See `anypool.covariance_pool`.

    >>> CovariancePool()(torch.rand(2, 4, 5, 5)).shape
    torch.Size([2, 10])
    """

    def __init__(self, iterations: int = 5, triangle: bool = True, channel_dim: int = 1) -> None:
        super().__init__(channel_dim)
        self.iterations, self.triangle = as_integer("iterations", iterations, 0), as_flag("triangle", triangle)

    def forward(self, input: Tensor, where: Tensor | None = None) -> Tensor:
        return self._pool("covariance_pool", input, where, self.iterations, triangle=self.triangle)

    def extra_repr(self) -> str:
        return f"iterations={self.iterations}, triangle={self.triangle}, channel_dim={self.channel_dim}"


class NetVLAD(Descriptor):
    """The residuals of vectors to learned centres: (N, C, H, W) to (N, K·C).

    Args:
        num_features: the channels C. num_clusters: the centres K.
        alpha: how sharp the assignment to centres starts.
        centers: (K, C), as those that k-means finds; default: random directions.
        normalize_input: whether vectors are brought to length 1 before.
        channel_dim: the axis of the channels; 1 for maps (N, C, H, W), −1 for tokens (N, L, C).

    Called with a mask too. Source: Arandjelović et al. 2016, arXiv 1511.07247. See `anypool.net_vlad`.

    >>> NetVLAD(8, num_clusters=4)(torch.rand(2, 8, 5, 5)).shape
    torch.Size([2, 32])
    """

    def __init__(
        self,
        num_features: int,
        num_clusters: int = 64,
        alpha: float = 100.0,
        centers: Any = None,
        normalize_input: bool = True,
        channel_dim: int = 1,
    ) -> None:
        super().__init__(channel_dim)
        features, clusters = as_integer("num_features", num_features, 1), as_integer("num_clusters", num_clusters, 1)
        sharpness = as_number("alpha", alpha)
        if centers is None:
            centers = torch.nn.functional.normalize(torch.randn(clusters, features), dim=1)
        start = torch.as_tensor(centers).detach().clone()
        if tuple(start.shape) != (clusters, features):
            raise ValueError(f"centers must have shape ({clusters}, {features}), got {tuple(start.shape)}")
        self.normalize_input = as_flag("normalize_input", normalize_input)
        self.centers = torch.nn.Parameter(start)
        self.weight = torch.nn.Parameter(2 * sharpness * start.T.contiguous())
        self.bias = torch.nn.Parameter(-sharpness * start.square().sum(1))

    def forward(self, input: Tensor, where: Tensor | None = None) -> Tensor:
        learned = self.centers, self.weight, self.bias
        return self._pool("net_vlad", input, where, *learned, normalize_input=self.normalize_input)

    def extra_repr(self) -> str:
        clusters, features = self.centers.shape
        return f"{features}, num_clusters={clusters}, channel_dim={self.channel_dim}"
