"""Averages and maxima, mixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anypool.operators.base import Info, Operator, parameter


@dataclass(frozen=True)
class AverageAndMax(Operator):
    """What mixes a window's average and its maximum."""

    reductions = ("sum", "max")

    def lift(self, x: Any, *parameters_and_xp: Any) -> tuple[Any, ...]:
        return x, x


@dataclass(frozen=True)
class Mixed(AverageAndMax):
    """y = a·max xᵢ + (1 − a)·Σxᵢ/n. NaN wins.

    Gradients: (1 − a)/n at every element, and a more at the first greatest; of a: max xᵢ − Σxᵢ/n.
    Source: Lee, Gallagher, Tu 2016, arXiv 1509.08985.

    Args:
        a: the maximum's part, between 0 and 1; a number, or an array that broadcasts against x, with a gradient.

    Raises:
        TypeError: a is neither. ValueError: it lies outside [0, 1].

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.Mixed(0.25), ap.Sliding(2), axes=0)
    array([3.5 , 1.25])
    """

    a: Any = parameter(0.5, at_least=0.0, at_most=1.0)

    info = Info("mixed", "a·max x + (1 − a)·Σx/n", "arXiv 1509.08985", layer="Mixed")

    def finish(self, reduced: Any, count: Any, a: Any, xp: Any) -> Any:
        total, greatest = reduced
        return a * greatest + (1 - a) * (total / count)


@dataclass(frozen=True)
class AvgMax(AverageAndMax):
    """y = (Σxᵢ/n + max xᵢ)/2. NaN wins.

    Gradient: 1/(2n) at every element, and ½ more at the first greatest. Source: timm's SelectAdaptivePool2d("avgmax").

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.AvgMax(), ap.Sliding(2), axes=0)
    array([4. , 1.5])
    """

    info = Info("avgmax", "(Σx/n + max x)/2", "timm.layers.SelectAdaptivePool2d", layer="AvgMax")

    def finish(self, reduced: Any, count: Any, xp: Any) -> Any:
        total, greatest = reduced
        return total / count / 2 + greatest / 2
