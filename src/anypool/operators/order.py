"""Order statistics: what stands at some places of the sorted window."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from anypool.arguments import as_integer, as_number, is_known
from anypool.operators.base import Compiled, Info, Operator, Place, count_valid, parameter
from anypool.operators.stable import softmax

MIDDLES = ("lower", "mean")


@dataclass(frozen=True)
class OrderStatistic(Operator):
    """What `of_sorted` makes of every window in ascending order. NaN among the elements wins.

    Sorting is stable: of equal elements the first in row-major order stands first and has the gradient of its place.
    """

    def reduce(self, windows: Any, valid: Any, *parameters_and_xp: Any) -> Any:
        xp, count = parameters_and_xp[-1], count_valid(windows, valid, parameters_and_xp[-1])
        elements = windows if is_known(count) else xp.where(valid, windows, xp.highest(windows))
        value = self.of_sorted(xp.sort(elements), count, *parameters_and_xp)
        if not xp.is_floating(windows):
            return value
        return xp.where(xp.any(xp.isnan(windows), axis=-1), xp.nan_like(value), value)

    def of_sorted(self, ordered: Any, count: Any, *parameters_and_xp: Any) -> Any:
        """The value of sorted windows, shape (…, k) to (…). `count` of them are elements, which stand first: an
        integer, or integers that broadcast to (…, 1). Called as of_sorted(ordered, count, *parameters, xp)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Median(OrderStatistic):
    """y = the middle element of the sorted window; of two, the lower one or their mean. NaN wins.

    Gradient: 1 at that element, or ½ at each of the two; ties go to the first in sorted order, which is stable, and
    all of the gradient to the first where the two are equal.

    Args:
        mid: of an even number of elements, "lower" takes the lower middle one, as torch.median, and keeps the dtype;
            "mean" takes the mean of both, as numpy.median, and makes integers floats.

    >>> import anypool as ap
    >>> ap.pool([1, 5, 2, 0], ap.Median(), ap.Sliding(3, stride=1), axes=0)
    array([2, 2])
    >>> ap.pool([1, 5, 2, 0], ap.Median("mean"), ap.Sliding(2), axes=0)
    array([3., 1.])
    """

    mid: str = "lower"

    info = Info("median", "x₍⌈n/2⌉₎", "scipy.ndimage.median_filter; torch.median", layer="Median")

    def __post_init__(self) -> None:
        if self.mid not in MIDDLES:
            raise ValueError(f"mid must be one of {', '.join(map(repr, MIDDLES))}, got {self.mid!r}")

    @property
    def keeps_dtype(self) -> bool:
        return self.mid == "lower"

    def compiled(self) -> Compiled:
        return Compiled("order", self._place)

    def _place(self, n: int) -> Place:
        middle = (n - 1) // 2
        return _between(n, 0.5) if self.mid == "mean" else (middle, middle, 0.0)

    def of_sorted(self, ordered: Any, count: Any, xp: Any) -> Any:
        if self.mid == "mean":
            return _interpolated(ordered, count, 0.5, xp)
        return _at(ordered, (count - 1) // 2, xp)


@dataclass(frozen=True)
class Quantile(OrderStatistic):
    """y = (1 − t)·x₍ⱼ₎ + t·x₍ⱼ₊₁₎ of the sorted window (counted from 0), where j + t = (n − 1)·q: numpy.quantile's
    "linear". NaN wins.

    Gradient: 1 − t and t at the two; all of it at the first where they are equal.

    Args:
        q: between 0 (the minimum) and 1 (the maximum).

    Raises:
        TypeError: q is no number. ValueError: it lies outside [0, 1].

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.Quantile(0.25), ap.Sliding(2), axes=0)
    array([2. , 0.5])
    """

    q: float = 0.5

    info = Info("quantile", "x₍(n−1)q₎", "numpy.quantile", layer="Quantile")

    def __post_init__(self) -> None:
        q = as_number("q", self.q)
        if not 0 <= q <= 1:
            raise ValueError(f"q must be between 0 and 1, got {q}")
        object.__setattr__(self, "q", q)

    def compiled(self) -> Compiled:
        return Compiled("order", lambda n: _between(n, self.q))

    def of_sorted(self, ordered: Any, count: Any, xp: Any) -> Any:
        return _interpolated(ordered, count, self.q, xp)


@dataclass(frozen=True)
class Rank(OrderStatistic):
    """y = the k-th smallest element of the window, or the k-th greatest for k < 0, in the elements' dtype. NaN wins.

    Gradient: 1 at that element; of equal ones, in row-major order.

    Args:
        k: from 1 (the minimum) or −1 (the maximum) to the number of elements of the emptiest window.

    Raises:
        TypeError: k is no integer. ValueError: it is 0, or a window has fewer elements.

    >>> import anypool as ap
    >>> ap.pool([1, 5, 2, 0], ap.Rank(2), ap.Sliding(3, stride=1), axes=0)
    array([2, 2])
    >>> ap.pool([1, 5, 2, 0], ap.Rank(-1), ap.Sliding(3, stride=1), axes=0)
    array([5, 5])
    """

    k: int = 1

    info = Info("rank", "x₍ₖ₎", "torch.kthvalue; scipy.ndimage.rank_filter", layer="Rank")

    def __post_init__(self) -> None:
        if isinstance(self.k, bool | np.bool_) or not hasattr(self.k, "__index__"):
            raise TypeError(f"k must be an integer, got {self.k!r}")
        k = operator.index(self.k)
        if k == 0:
            raise ValueError("k must be at least 1, or at most -1 to count from the greatest, got 0")
        object.__setattr__(self, "k", k)

    @property
    def keeps_dtype(self) -> bool:
        return True

    @property
    def min_elements(self) -> int:
        return abs(self.k)

    def window_refusal(self, size: int, fewest: Callable[[], int]) -> str | None:
        number = fewest()
        return _too_few(self.k, number) if number < abs(self.k) else None

    def compiled(self) -> Compiled:
        return Compiled("order", lambda n: (self._place(n), self._place(n), 0.0))

    def of_sorted(self, ordered: Any, count: Any, xp: Any) -> Any:
        return _at(ordered, self._place(count), xp)

    def _place(self, count: Any) -> Any:
        return self.k - 1 if self.k > 0 else count + self.k


@dataclass(frozen=True)
class TrimmedMean(OrderStatistic):
    """y = the mean of the sorted window without its ⌊proportion·n⌋ least and as many greatest elements. NaN wins.

    Gradient: 1/m at each of the m elements that are left; ties are cut in row-major order.
    Source: scipy.stats.trim_mean.

    Args:
        proportion: cut from each end; at least 0 (the average) and below 0.5.

    Raises:
        TypeError: proportion is no number. ValueError: it lies outside [0, 0.5).

    >>> import anypool as ap
    >>> ap.pool([1.0, 50.0, 2.0, 0.0], ap.TrimmedMean(0.25), ap.Sliding(4), axes=0)
    array([1.5])
    """

    proportion: float = 0.1

    info = Info("trimmed_mean", "Σx₍ⱼ₎/m, ⌊pn⌋ < j ≤ n − ⌊pn⌋", "scipy.stats.trim_mean", layer="TrimmedMean")

    def __post_init__(self) -> None:
        proportion = as_number("proportion", self.proportion)
        if not 0 <= proportion < 0.5:
            raise ValueError(f"proportion must be at least 0 and below 0.5, got {proportion}")
        object.__setattr__(self, "proportion", proportion)

    def of_sorted(self, ordered: Any, count: Any, xp: Any) -> Any:
        cut = _of_count(lambda n: self.proportion * n // 1, ordered, count, xp)
        return _mean_between(ordered, cut, count - cut, xp)


@dataclass(frozen=True)
class TopKMean(OrderStatistic):
    """y = the mean of the k greatest elements; of all where a window at the edge has fewer. NaN wins.

    Gradient: 1/k at each of them; of equal elements the last in row-major order are taken first.

    Args:
        k: from 1 (the maximum) to the number of elements of a window (the average).

    Raises:
        TypeError: k is no integer. ValueError: it is below 1, or more than the elements of a window.

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.TopKMean(2), ap.Sliding(4), axes=0)
    array([3.5])
    """

    k: int = 1

    info = Info("topk_mean", "(x₍ₙ₎ + … + x₍ₙ₋ₖ₊₁₎)/k", "torch.topk", layer="TopKMean")

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", as_integer("k", self.k, 1))

    def window_refusal(self, size: int, fewest: Callable[[], int]) -> str | None:
        return _too_few(self.k, size) if size < self.k else None

    def of_sorted(self, ordered: Any, count: Any, xp: Any) -> Any:
        first = max(count - self.k, 0) if is_known(count) else xp.maximum(count - self.k, 0)
        return _mean_between(ordered, first, count, xp)


@dataclass(frozen=True)
class OrderedWeighted(OrderStatistic):
    """y = Σ wᵣ·x₍ᵣ₎ over the window in descending order, with w = softmax(logits): the maximum (all weight first), the
    average (equal logits), the minimum, and what lies between. NaN wins.

    A window with n elements, fewer than there are logits, takes the softmax of the first n. Gradients: w of its place
    at every element, equal ones in row-major order; wᵣ·(x₍ᵣ₎ − y) of a logit. Source: Forcén et al. 2020, arXiv
    2007.01243.

    Args:
        logits: one for every element of the window, the greatest element's first: a tuple, or an array (…, k) whose
            other axes broadcast against x with length 1 along the pooled axes; or one number for all.

    Raises:
        TypeError: a logit is no number. ValueError: there are fewer or more logits than elements in a window.

    >>> import anypool as ap
    >>> import numpy as np
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.OrderedWeighted(np.log([3, 1])), ap.Sliding(2), axes=0)
    array([4. , 1.5])
    """

    logits: Any = parameter(0.0, per_element=True)

    info = Info("ordered_weighted", "Σ softmax(θ)ᵣ·x₍ᵣ₎", "arXiv 2007.01243", layer="OrderedWeighted")

    def reduce(self, windows: Any, valid: Any, logits: Any, xp: Any) -> Any:
        # Descending, so that the first logit is the maximum's in a window of any size, and stable.
        return -super().reduce(-windows, valid, logits, xp)

    def of_sorted(self, ordered: Any, count: Any, logits: Any, xp: Any) -> Any:
        there = xp.arange(xp.shape(ordered)[-1]) < count
        weights = softmax(logits + xp.zero(ordered), there, xp)
        return xp.sum(xp.where(there, weights * xp.where(there, ordered, 0), 0), axis=-1)


def _too_few(k: int, number: int) -> str:
    return f"k={k} asks for {abs(k)} elements, and there is a window of {number}"


# ---------------------------------------------------------------------------------------------------------------------
# Places of a sorted window


def _at(ordered: Any, place: Any, xp: Any) -> Any:
    """What stands at a place, counted from 0: an integer, or integers that broadcast to (…, 1)."""
    if isinstance(place, int):
        return ordered[..., max(place, 0)]
    places = xp.broadcast_to(xp.maximum(place, 0), (*xp.shape(ordered)[:-1], 1))
    return xp.take_along_axis(ordered, places)[..., 0]


def _between(n: Any, q: float) -> tuple[Any, Any, Any]:
    """The places of the two elements around (n − 1)·q, and how far it lies from the first to the second."""
    return (n - 1) * q // 1, -(-(n - 1) * q // 1), (n - 1) * q % 1


def _interpolated(ordered: Any, count: Any, q: float, xp: Any) -> Any:
    """Between the two elements around (n − 1)·q."""
    lower = _of_count(lambda n: _between(n, q)[0], ordered, count, xp)
    upper = _of_count(lambda n: _between(n, q)[1], ordered, count, xp)
    t = _of_count(lambda n: _between(n, q)[2], ordered, count, xp, index=False)
    below, above = _at(ordered, lower, xp), _at(ordered, upper, xp)
    t = t if isinstance(t, float) else t[..., 0]
    between = below * (1 - t) + xp.where(below == above, 0, above) * t  # where: ∞·0 is no number
    return xp.where(below == above, below, between)


def _mean_between(ordered: Any, first: Any, stop: Any, xp: Any) -> Any:
    """The mean of the elements at places first to stop − 1."""
    if isinstance(first, int) and isinstance(stop, int):
        return xp.sum(ordered[..., first:stop], axis=-1) / (stop - first)
    place = xp.arange(xp.shape(ordered)[-1])
    total = xp.sum(xp.where((place >= first) & (place < stop), ordered, 0), axis=-1)
    number = xp.astype_like(stop - first, ordered) if not is_known(stop - first) else stop - first
    return total / (number[..., 0] if not is_known(number) else number)


def _of_count(function: Callable[[Any], Any], ordered: Any, count: Any, xp: Any, index: bool = True) -> Any:
    """A function of the number of elements: a number, or an array that broadcasts to (…, 1), integers where `index`.

    Of windows of known size it is worked out in Python's floats, so that rounding is the same everywhere.
    """
    size = xp.shape(ordered)[-1]
    if isinstance(count, int):
        return int(function(count)) if index else math.fabs(function(count))
    if is_known(size):
        table = np.array([function(n) for n in range(size + 1)], np.float64)
        value = xp.astype_like(xp.asarray(table), ordered)
        value = xp.sum(xp.where(xp.arange(size + 1) == count, value, 0), axis=-1, keepdims=True)
    else:
        value = function(xp.astype_like(count, ordered))
    return xp.astype_like(value, count) if index else value
