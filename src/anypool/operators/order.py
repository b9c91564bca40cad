"""Order statistics: what stands at some place of the sorted window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anypool.operators.base import Defaults, Info, Operator, count_valid

MIDDLES = ("lower", "mean")


@dataclass(frozen=True)
class Median(Operator):
    """y = the middle element of the sorted window; of two, the lower one or their mean. NaN wins.

    Gradient: 1 at that element, or ½ at each of the two; ties go to the first in sorted order, which is stable.

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

    def reduce(self, windows: Any, valid: Any, xp: Any) -> Any:
        # Elements that are none sort to the end; NaN among the elements is put back afterwards.
        elements = xp.where(valid, windows, xp.highest(windows))
        ordered = xp.sort(elements)
        count = count_valid(windows, valid, xp)
        middle = xp.take_along_axis(ordered, xp.maximum(count - 1, 0) // 2)[..., 0]
        if self.mid == "mean":
            upper = xp.take_along_axis(ordered, count // 2)[..., 0]
            middle = middle + xp.where(middle == upper, 0, upper - middle) / 2  # where: ∞ − ∞ is no number
        if not xp.is_floating(windows):
            return middle
        return xp.where(xp.any(valid & xp.isnan(windows), axis=-1), xp.nan_like(middle), middle)

    def dtypes(self, dtype: str, requested: str | None, defaults: Defaults) -> tuple[str, str]:
        if self.mid == "mean":
            return super().dtypes(dtype, requested, defaults)
        if requested not in (None, dtype):
            raise ValueError(
                f"dtype={requested!r}: a lower median keeps its elements' dtype, {dtype!r}; cast the result"
            )
        return ("uint8" if dtype == "bool" else dtype), dtype
