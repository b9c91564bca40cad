"""Grey-scale morphology: maxima and minima with a structuring function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anypool.operators.base import Info, Operator, parameter
from anypool.operators.extremes import Max, Min


@dataclass(frozen=True)
class Dilation(Operator):
    """y = max (xᵢ + hᵢ) over the window, with a number hᵢ for every place in it. Ties go to the first, NaN wins.

    The window is not mirrored: scipy.ndimage.grey_dilation takes the mirrored h. Gradients: 1 at the first greatest
    xᵢ + hᵢ, of x and of h. Source: Groenendijk et al. 2022, arXiv 2211.14037.

    Args:
        structure: h: a tuple with one entry for every element of the window in row-major order of the pooled axes, or
            an array (…, k) whose other axes broadcast against x with length 1 along the pooled axes; or one number.

    Raises:
        TypeError: an entry is no number. ValueError: there are fewer or more entries than elements in a window.

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.Dilation((0, -4)), ap.Sliding(2, stride=1), axes=0)
    array([1., 5., 2.])
    """

    structure: Any = parameter(0.0, per_element=True)

    info = Info("dilation", "max(x + h)", "arXiv 2211.14037", layer="Dilation")

    def reduce(self, windows: Any, valid: Any, structure: Any, xp: Any) -> Any:
        return Max().reduce(windows + structure, valid, xp)


@dataclass(frozen=True)
class Erosion(Operator):
    """y = min (xᵢ − hᵢ) over the window, with a number hᵢ for every place in it. Ties go to the first, NaN wins.

    As scipy.ndimage.grey_erosion with `structure`. Gradients: 1 at the first least xᵢ − hᵢ, and −1 of h there.
    Source: Groenendijk et al. 2022, arXiv 2211.14037.

    Args:
        structure: h: a tuple with one entry for every element of the window in row-major order of the pooled axes, or
            an array (…, k) whose other axes broadcast against x with length 1 along the pooled axes; or one number.

    Raises:
        TypeError: an entry is no number. ValueError: there are fewer or more entries than elements in a window.

    >>> import anypool as ap
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], ap.Erosion((0, 4)), ap.Sliding(2, stride=1), axes=0)
    array([ 1., -2., -4.])
    """

    structure: Any = parameter(0.0, per_element=True)

    info = Info("erosion", "min(x − h)", "arXiv 2211.14037", layer="Erosion")

    def reduce(self, windows: Any, valid: Any, structure: Any, xp: Any) -> Any:
        return Min().reduce(windows - structure, valid, xp)
