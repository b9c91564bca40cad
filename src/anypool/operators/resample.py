"""Poolings of the array as a whole: the phase, the frequencies or the wavelets that are kept of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from anypool.arguments import as_integer, as_number, is_known
from anypool.operators.base import Info, Operator
from anypool.operators.smooth import Pool
from anypool.plans import Plan, SlidingAxis
from anypool.windows import Adaptive, Global, Sliding, Window


@dataclass(frozen=True)
class AdaptivePolyphase(Operator):
    """Windows at stride 1 over an array that goes on circularly, of which the s phases along every axis compete: the
    one of the greatest norm is kept, of equal ones the first.

    y = p_k, with phases p_k[o] = d[s·o + k] of the dense pooling d and k = argmax ‖p_k‖ over the channels and all
    pooled axes. A circular shift of x by any number of positions shifts y circularly and changes nothing else, norms
    that are equal apart. Gradient: that of d at the phase. Source: Chaman and Dokmanić 2021, arXiv 2011.14214.

    Args:
        of: the dense pooling, an operator by its name. norm: the order of the norm, at least 1.
        batch_axis: the axis along which every entry has a phase of its own, unless it is pooled; None for one phase.

    Raises:
        ValueError: the window is no sliding one, has a padding mode other than "circular", or does not give length /
        stride outputs along every axis, unless all strides are 1: then this is the dense pooling.

    >>> import anypool as ap
    >>> x = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 5.0]
    >>> ap.pool(x, ap.AdaptivePolyphase(), ap.Sliding(2), axes=0)
    array([1., 1., 1., 5.])
    >>> ap.pool(x[1:] + x[:1], ap.AdaptivePolyphase(), ap.Sliding(2), axes=0)
    array([1., 1., 1., 5.])
    """

    of: str = "max"
    norm: float = 2.0
    batch_axis: int | None = 0

    info = Info("aps", "argmax_k ‖d[s·o + k]‖", "arXiv 2011.14214", layer="AdaptivePolyphase")

    def __post_init__(self) -> None:
        from anypool.operators.registry import operator_for

        norm = as_number("norm", self.norm)
        if not 1 <= norm < math.inf:
            raise ValueError(f"norm must be at least 1 and finite, got {norm}")
        if not isinstance(self.of, str) or operator_for(self.of).composed:
            raise ValueError(f"of must be the name of an operator of single windows, got {self.of!r}")
        object.__setattr__(self, "norm", norm)
        if self.batch_axis is not None:
            object.__setattr__(self, "batch_axis", as_integer("batch_axis", self.batch_axis, 0))

    def whole_axes(self, axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
        return tuple(axis for axis in range(ndim) if axis in axes or axis != self.batch_axis)

    def plan_refusal(self, window: Window, plan: Plan) -> str | None:
        if not isinstance(window, Sliding) or window.ceil_mode or window.padding_mode not in ("exclude", "circular"):
            return "it takes sliding windows of arrays that go on circularly, without ceil_mode"
        for along in plan if _strides(plan) else ():
            assert isinstance(along, SlidingAxis)
            if is_known(along.length) and (along.outputs * along.stride != along.length or not along.length):
                return (
                    f"of length {along.length} at stride {along.stride} it keeps length / stride outputs, and these "
                    f"windows have {along.outputs}"
                )
            if is_known(along.pad_before) and along.pad_before > (along.kernel_size - 1) * along.dilation:
                return f"a window begins at most at its last element, with padding {along.pad_before} it does before"
        return None

    def compose(self, x: Any, window: Any, plan: Plan, axes: tuple[int, ...], pool: Pool, xp: Any) -> Any:
        if not _strides(plan):
            return pool(x, self.of, window)
        strides, padding = [], []
        for along in plan:
            assert isinstance(along, SlidingAxis)
            strides.append(along.stride)
            padding.append((along.pad_before, (along.kernel_size - 1) * along.dilation - along.pad_before))
        around = Sliding(window.kernel_size, 1, tuple(padding), window.dilation, padding_mode="circular")
        phases, others = _phases(pool(x, self.of, around), axes, [along.outputs for along in plan], strides, xp)
        fixed = xp.stop_gradient(phases)
        scores = xp.exp(self.norm * xp.log(xp.where(fixed == 0, 1, xp.abs(fixed)))) if self.norm != 2 else fixed * fixed
        scores = xp.where(fixed == 0, 0, scores)
        for axis in reversed(range(len(xp.shape(phases)) - 1)):
            if not (axis < len(others) and others[axis] == self.batch_axis):
                scores = xp.sum(scores, axis=axis, keepdims=True)
        number = math.prod(strides)
        greatest = xp.max(scores, axis=-1, keepdims=True)
        first = xp.min(xp.where(scores == greatest, xp.arange(number), number - 1), axis=-1, keepdims=True)
        kept = xp.take_along_axis(phases, xp.broadcast_to(first, (*xp.shape(phases)[:-1], 1)))[..., 0]
        return xp.moveaxis(kept, tuple(range(-len(axes), 0)), axes)


def _strides(plan: Plan) -> bool:
    """Whether there is more than one phase."""
    return any(isinstance(along, SlidingAxis) and along.stride > 1 for along in plan)


def _phases(dense: Any, axes: Any, outputs: Any, strides: Any, xp: Any) -> tuple[Any, list[int]]:
    """The phases along a last axis, shape (others…, outputs…, phases), and which axes the others were."""
    shape, rank = xp.shape(dense), len(axes)
    others = [axis for axis in range(len(shape)) if axis not in axes]
    lead = [shape[axis] for axis in others]
    apart = xp.reshape(
        xp.transpose(dense, (*others, *axes)),
        (*lead, *(length for pair in zip(outputs, strides, strict=True) for length in pair)),
    )
    start = len(others)
    order = (*range(start), *range(start, start + 2 * rank, 2), *range(start + 1, start + 2 * rank, 2))
    return xp.reshape(xp.transpose(apart, order), (*lead, *outputs, math.prod(strides))), others


@dataclass(frozen=True)
class Spectral(Operator):
    """The lowest frequencies of the array's Fourier transform, as many as there are outputs: a low-pass crop.

    y[m] = 1/n · Σ_f X[f]·e^(2πi·f·m/o) over |f| < o/2 along every axis of n elements and o outputs; where o is even,
    the bin at o/2 is its real part, so that y is real. The mean of x stays. At stride 2 this is also the low-pass crop
    of Grabinski 2022, arXiv 2204.00491. y is linear in x. Source: Rippel, Snoek, Adams 2015, arXiv 1506.03767.

    Args:
        cutoff: the part of the frequencies that is kept, above 0 and at most 1: less smooths more.

    Raises:
        TypeError: cutoff is no number. ValueError: it lies outside (0, 1], windows are padded or dilated, there are
        more outputs than elements, or a length is not known yet.

    >>> import anypool as ap
    >>> ap.adaptive_pool([1.0, 5.0, 1.0, 5.0, 3.0, 3.0], ap.Spectral(), 3, axes=0).round(3)
    array([2.333, 3.333, 3.333])
    """

    cutoff: float = 1.0

    info = Info("spectral", "F⁻¹(crop F(x))", "arXiv 1506.03767", layer="Spectral")

    def __post_init__(self) -> None:
        cutoff = as_number("cutoff", self.cutoff)
        if not 0 < cutoff <= 1:
            raise ValueError(f"cutoff must be above 0 and at most 1, got {cutoff}")
        object.__setattr__(self, "cutoff", cutoff)

    def plan_refusal(self, window: Window, plan: Plan) -> str | None:
        padded = isinstance(window, Sliding) and (window.ceil_mode or any(map(_pads_or_dilates, plan)))
        if padded or not isinstance(window, Sliding | Adaptive | Global):
            return "it takes windows without padding, dilation and ceil_mode, for the number of their outputs"
        if any(is_known(along.length) and along.outputs > along.length for along in plan):
            return "an axis has more outputs than elements, and no more frequencies than those"
        return None

    def compose(self, x: Any, window: Any, plan: Plan, axes: tuple[int, ...], pool: Pool, xp: Any) -> Any:
        for axis, along in zip(axes, plan, strict=True):
            if not (is_known(along.length) and is_known(along.outputs)):
                raise ValueError("Spectral needs lengths that are known: its frequencies depend on them")
            matrix = xp.astype_like(xp.asarray(_crop(along.length, along.outputs, self.cutoff)), x)
            x = xp.moveaxis(xp.matmul(xp.moveaxis(x, (axis,), (-1,)), matrix), (-1,), (axis,))
        return x


def _pads_or_dilates(along: Any) -> bool:
    return along.dilation != 1 or along.pad_before != 0 or along.pad_after != 0


def _crop(length: int, outputs: int, cutoff: float) -> np.ndarray:
    """The matrix (length, outputs) of a row's Fourier transform, cropped, and back."""
    if outputs == length and cutoff == 1:
        return np.eye(length)
    j, i = np.arange(length)[:, None], np.arange(outputs)[None, :]
    matrix = np.full((length, outputs), 1 / length)
    for f in range(1, outputs // 2 + 1):
        if f <= cutoff * outputs / 2:
            turns = (f * i % outputs) / outputs - (f * j % length) / length
            matrix += (1 if 2 * f == outputs else 2) / length * np.cos(2 * np.pi * turns)
    return matrix


@dataclass(frozen=True)
class Haar(Operator):
    """y = (x₁ ± x₂)/√2 of windows of two elements along one axis."""

    high: bool = False

    info = Info("haar", "(x₁ ± x₂)/√2")
    separable = True

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        signs = np.array([1, -1 if self.high else 1]) / math.sqrt(2)
        return xp.sum(xp.where(valid, windows, 0) * xp.astype_like(xp.asarray(signs), windows), axis=-1)


@dataclass(frozen=True)
class Wavelet(Operator):
    """A band of the Haar wavelet transform: y = (x₁ ± x₂)/√2 along every axis, + for the low band, − for the high one.

    The low band of every axis is what Williams and Li keep; with all bands of tiles of two nothing is lost, and Σ y²
    over them is Σ x². Gradient: ±2^(−r/2) over r axes. Source: Williams and Li 2018, "Wavelet pooling for convolutional
    neural networks".

    Args:
        band: "l" or "h" for every pooled axis, or one letter for all: "ll", "lh", "hl", "hh" of images.

    Raises:
        ValueError: band has other letters, or not as many as axes are pooled; windows have other than two elements.

    >>> import anypool as ap
    >>> ap.pool([[1.0, 5.0], [2.0, 0.0]], "wavelet:band=lh", ap.Sliding(2))
    array([[-1.]])
    """

    band: str = "l"

    info = Info("wavelet", "Σ ±x / 2^(r/2)", "Williams and Li 2018", layer="Wavelet")

    def __post_init__(self) -> None:
        if not isinstance(self.band, str) or not self.band or set(self.band) - set("lh"):
            raise ValueError(
                f"band must have the letters 'l' and 'h', one for all axes or one for each, got {self.band!r}"
            )

    def plan_refusal(self, window: Window, plan: Plan) -> str | None:
        if len(self.band) not in (1, len(plan)):
            return f"band must have one letter, or one per pooled axis ({len(plan)})"
        if not isinstance(window, Sliding) or any(along.kernel_size != 2 for along in plan) or window.ceil_mode:
            return "it takes sliding windows of two elements along every axis, without ceil_mode"
        return None

    def compose(self, x: Any, window: Any, plan: Plan, axes: tuple[int, ...], pool: Pool, xp: Any) -> Any:
        letters = self.band * len(axes) if len(self.band) == 1 else self.band
        for letter, axis, along in zip(letters, axes, plan, strict=True):
            assert isinstance(along, SlidingAxis)
            padding = ((along.pad_before, along.pad_after),)
            pairs = Sliding(2, along.stride, padding, along.dilation, padding_mode=window.padding_mode)
            x = pool(x, Haar(letter == "h"), pairs, (axis,))
        return x
