"""Poolings that smooth before they drop elements, so that what is too fine for the output does not alias into it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from anypool.arguments import as_integer, is_known
from anypool.operators.base import Info, Operator
from anypool.operators.extremes import Max
from anypool.plans import Plan, SlidingAxis
from anypool.windows import Sliding, Window

Pool = Callable[..., Any]
"""pool(x, operator, window, axes): a pooling that another is composed of; axes default to the pooled ones."""


@dataclass(frozen=True)
class BinomialSum(Operator):
    """y = Σ wⱼ·xⱼ, with the binomial weights of `Blur`: what blurs of masked elements are made of."""

    info = Info("binomial_sum", "Σ C(k−1, j)·xⱼ/2ᵏ⁻¹")
    separable = True

    @property
    def needs_element(self) -> bool:
        return False

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        return xp.sum(xp.where(valid, windows, 0) * _binomial(windows, xp), axis=-1)


@dataclass(frozen=True)
class Blur(Operator):
    """y = Σ wⱼ·xⱼ / Σ wⱼ over the window's elements, with binomial weights wⱼ = C(k−1, j)/2ᵏ⁻¹ for the j-th of k places
    along every axis: [1, 1]/2, [1, 2, 1]/4, [1, 3, 3, 1]/8, … A low-pass filter.

    Over windows of 3 at stride 2 with padding_mode="reflect" this is Zhang's blur pooling. Elements beyond the edge, or
    masked, are left out of both sums. Gradient: wⱼ / Σ wⱼ. Source: Zhang 2019, arXiv 1904.11486.

    Args:
        filter_size: k, at least the window's, for a filter about the middle of every window; beyond the edge lies what
            the window's padding_mode says, by default x reflected. So windows of 2 at stride 2 can be blurred by
            [1, 2, 1]/4. Default: the window is the filter.

    Raises:
        TypeError: filter_size is no integer. ValueError: it is below 1, or below a window's size; or windows have a
        size that is not known yet.

    >>> import anypool as ap
    >>> x = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    >>> ap.pool(x, ap.Blur(), ap.Sliding(3, 2, 1, padding_mode="circular"), axes=0)
    array([0.25, 0.75, 0.25, 0.75])
    >>> ap.pool(x, ap.Blur(filter_size=3), ap.Sliding(2), axes=0)
    array([0.25, 0.75, 0.25, 1.  ])
    """

    filter_size: int | None = None

    info = Info("blur", "Σ C(k−1, j)·xⱼ / Σ C(k−1, j)", "arXiv 1904.11486", layer="Blur")
    separable = True
    reductions = (BinomialSum(), BinomialSum())

    def __post_init__(self) -> None:
        if self.filter_size is not None:
            object.__setattr__(self, "filter_size", as_integer("filter_size", self.filter_size, 1))

    @property
    def composed(self) -> bool:
        return self.filter_size is not None

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        weights = xp.where(valid, _binomial(windows, xp), 0)
        total = xp.sum(weights, axis=-1)
        return xp.sum(xp.where(valid, windows, 0) * weights, axis=-1) / xp.where(total > 0, total, 1)

    def lift(self, x: Any, xp: Any) -> tuple[Any, ...]:
        return x, xp.astype_like(xp.index_ones_like(x), x)

    def finish(self, reduced: Any, count: Any, xp: Any) -> Any:
        total, weights = reduced
        return total / xp.where(weights > 0, weights, 1)

    def plan_refusal(self, window: Window, plan: Plan) -> str | None:
        wide = [along.kernel_size for along in plan if is_known(along.kernel_size)]
        if not isinstance(window, Sliding) or window.ceil_mode:
            return "filter_size goes with sliding windows without ceil_mode"
        if any(size != 1 for size in _entries(window.dilation, len(plan))):
            return "filter_size goes with windows without dilation"
        if self.filter_size is not None and max(wide, default=1) > self.filter_size:
            return f"filter_size must be at least the window's size, {max(wide)}, got {self.filter_size}"
        return None

    def compose(self, x: Any, window: Any, plan: Plan, axes: tuple[int, ...], pool: Pool, xp: Any) -> Any:
        assert self.filter_size is not None
        for axis, along in zip(axes, plan, strict=True):
            assert isinstance(along, SlidingAxis)
            wider = self.filter_size - along.kernel_size
            before, after = along.pad_before + wider // 2, along.pad_after + (wider + 1) // 2
            around = Sliding(self.filter_size, along.stride, ((before, after),), padding_mode=_mode(window))
            x = pool(x, Blur(), around, (axis,))
        return x


@dataclass(frozen=True)
class MaxBlur(Operator):
    """The greatest element of every window at stride 1, then a binomial filter at the window's stride.

    y = Σ wⱼ·m(s·o + j − ⌊(k−1)/2⌋), with m the maxima of windows one position apart, and the weights of `Blur`; beyond
    their edge the maxima are reflected, or go on as the window's padding_mode says. Shifts of x change y far less than
    a maximum at stride s. There are as many outputs as of `Max`. Gradient: the filter's weights, at every maximum's
    first element.
    Source: Zhang 2019, arXiv 1904.11486.

    Args:
        filter_size: the filter's size k along every axis; 3 is the paper's triangle, 5 its binomial.

    Raises:
        TypeError: filter_size is no integer. ValueError: it is below 1, the window is no sliding one or has ceil_mode,
        or an axis has too few maxima to be reflected.

    >>> import anypool as ap
    >>> ap.pool([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0], ap.MaxBlur(3), ap.Sliding(2), axes=0)
    array([0.5, 1. , 0.5, 1. ])
    """

    filter_size: int = 3

    info = Info("maxblur", "Σ C(k−1, j)·max(x₊ⱼ) / 2ᵏ⁻¹", "arXiv 1904.11486", layer="MaxBlur")

    def __post_init__(self) -> None:
        object.__setattr__(self, "filter_size", as_integer("filter_size", self.filter_size, 1))

    def plan_refusal(self, window: Window, plan: Plan) -> str | None:
        if not isinstance(window, Sliding) or window.ceil_mode:
            return "it takes sliding windows, without ceil_mode"
        return None

    def compose(self, x: Any, window: Any, plan: Plan, axes: tuple[int, ...], pool: Pool, xp: Any) -> Any:
        settings = window.padding, window.dilation, False, window.padding_mode
        dense = pool(x, Max(), Sliding(window.kernel_size, 1, *settings))
        before, after = (self.filter_size - 1) // 2, self.filter_size // 2
        padding = ((before, after),) * len(axes)
        return pool(dense, Blur(), Sliding(self.filter_size, window.stride, padding, padding_mode=_mode(window)))


def _mode(window: Sliding) -> str:
    """What lies beyond the edge for the filter, where the window does not say."""
    return "reflect" if window.padding_mode == "exclude" else window.padding_mode


def _entries(value: Any, rank: int) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,) * rank


def _binomial(windows: Any, xp: Any) -> Any:
    """C(k−1, j)/2ᵏ⁻¹ for the k places of windows along one axis."""
    size = xp.shape(windows)[-1]
    if not is_known(size):
        raise ValueError("a blur needs windows of a size that is known: its weights depend on it")
    weights = [math.comb(size - 1, j) / 2 ** (size - 1) for j in range(size)]
    return xp.astype_like(xp.asarray(np.asarray(weights)), windows)
