"""Max and min."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anypool.operators.base import Compiled, Info, Operator


@dataclass(frozen=True)
class Extreme(Operator):
    """Max and min: the first element, in row-major order, that no other beats; NaN beats all.

    The value is taken from its place, so a gradient flows to that element alone. Of zeros of both signs, which are
    equal, the first is given wherever there are indices or a gradient, and by the definition; the kernels' values alone
    may have either sign.
    """

    separable = True
    selects = True

    def offset(self, windows: Any, valid: Any, xp: Any) -> Any:
        elements = xp.where(valid, windows, self.identity(windows, xp))
        wins = valid & (elements == self.best(elements, xp))
        if xp.is_floating(windows):
            nan = valid & xp.isnan(windows)
            wins = xp.where(xp.any(nan, axis=-1, keepdims=True), nan, wins)
        size = xp.shape(windows)[-1]
        return xp.min(xp.where(wins, xp.arange(size), size - 1), axis=-1)

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        return xp.take_along_axis(windows, self.offset(windows, valid, xp)[..., None])[..., 0]

    def best(self, elements: Any, xp: Any) -> Any:
        """The greatest, or the least, of the last axis, which stays with length 1."""
        raise NotImplementedError


@dataclass(frozen=True)
class Max(Extreme):
    """y = max xᵢ. Ties go to the first element, NaN wins.

    Where zeros of both signs tie, the sign of the value is the first one's if indices or a gradient are asked for, and
    either's otherwise.

    Gradient: 1 at the first greatest element, 0 elsewhere.

    >>> import anypool as ap
    >>> ap.pool([1, 5, 2, 0], ap.Max(), ap.Sliding(2), axes=0)
    array([5, 2])
    """

    info = Info("max", "max x", layer="Max")

    def compiled(self) -> Compiled:
        return Compiled("max")

    def best(self, elements: Any, xp: Any) -> Any:
        return xp.max(elements, axis=-1, keepdims=True)

    def identity(self, windows: Any, xp: Any) -> Any:
        return xp.lowest(windows)


@dataclass(frozen=True)
class Min(Extreme):
    """y = min xᵢ. Ties go to the first element, NaN wins.

    Where zeros of both signs tie, the sign of the value is the first one's if indices or a gradient are asked for, and
    either's otherwise.

    Gradient: 1 at the first least element, 0 elsewhere.

    >>> import anypool as ap
    >>> ap.pool([1, 5, 2, 0], ap.Min(), ap.Sliding(2), axes=0)
    array([1, 0])
    """

    info = Info("min", "min x", layer="Min")

    def compiled(self) -> Compiled:
        return Compiled("min")

    def best(self, elements: Any, xp: Any) -> Any:
        return xp.min(elements, axis=-1, keepdims=True)

    def identity(self, windows: Any, xp: Any) -> Any:
        return xp.highest(windows)
