"""Averages and maxima, mixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anypool.operators.base import Info, Operator, float_count, parameter
from anypool.operators.extremes import Max


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
class Gated(Operator):
    """y = a·max xᵢ + (1 − a)·Σxᵢ/n, where the window itself opens the gate: a = σ(Σ ωᵢ·xᵢ). NaN wins.

    Gradients: those of `Mixed`, and (max x − Σx/n)·a·(1 − a)·ωᵢ more; of ωᵢ: (max x − Σx/n)·a·(1 − a)·xᵢ.
    Source: Lee, Gallagher, Tu 2016, arXiv 1509.08985.

    Args:
        omega: ω: a tuple with one entry for every element of the window in row-major order of the pooled axes, or an
            array (…, k) whose other axes broadcast against x with length 1 along the pooled axes; or one number.

    Raises:
        TypeError: an entry is no number. ValueError: there are fewer or more entries than elements in a window.

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.Gated((0, 0)), ap.Sliding(2), axes=0)
    array([4. , 1.5])
    """

    omega: Any = parameter(0.0, per_element=True)

    info = Info("gated", "a·max x + (1 − a)·Σx/n, a = σ(Σωx)", "arXiv 1509.08985", layer="Gated")

    def reduce(self, windows: Any, valid: Any, omega: Any, xp: Any) -> Any:
        elements = xp.where(valid, windows, 0)
        logit = xp.sum(xp.where(valid, elements * omega, 0), axis=-1)
        small = xp.exp(xp.where(logit < 0, logit, -logit))  # of no positive number, so that none overflows
        a = xp.where(logit < 0, small, 1) / (1 + small)
        count = xp.maximum(float_count(windows, valid, xp), 1)
        average = (xp.sum(elements, axis=-1, keepdims=True) / count)[..., 0]
        return a * Max().reduce(windows, valid, xp) + (1 - a) * average


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
