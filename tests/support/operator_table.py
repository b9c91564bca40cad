"""The operators under test: instances of every registered one, what the reference makes of them, how exact they are."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import window_functions as f

import anypool as ap


@dataclass(frozen=True)
class Row:
    """An operator, what the reference calls it or its (value, slopes), and what may be asked of both."""

    operator: ap.Operator
    reference: str | tuple
    exact: bool = False
    """Whether values are the reference's to the last bit, as the elements of a window are."""
    keeps_dtype: bool = False
    sums_integers: bool = False
    """Whether integers become the integers that numpy.sum gives."""
    counts: bool = False
    """Whether the result is a number of elements."""
    error: float = 8
    """How many roundings of the arithmetic there are, at the size of the greatest element to this power."""
    degree: int = 1
    steep: float = 16
    """As `error`, of the gradient."""
    domain: Callable = lambda x: x
    """Makes of any array one that the operator has a value for."""
    needs_element: bool = True
    fewest: int = 1
    """How many elements the emptiest window must have."""
    size: int = 1
    """How many elements a window without padding must have."""

    @property
    def function(self):
        """What `reference.pool` takes."""
        return self.reference if isinstance(self.reference, str) else self.reference[0]

    def has_values(self, fewest, size):
        """Whether windows of `size` elements, of which the emptiest holds `fewest`, all have one."""
        return size >= self.size and fewest >= (self.fewest if self.needs_element else 0)

    @property
    def slopes(self):
        """What `reference.gradient` takes; None where there is no gradient."""
        return self.reference if isinstance(self.reference, str) else self.reference[1]


def not_negative(x):
    if x.dtype.kind == "i":
        return np.maximum(x, 0)
    return x if x.dtype.kind in "ub" else np.abs(x)


def moderate(x):
    """Integers whose squares fit into any float."""
    return np.clip(x, 0 if x.dtype.kind == "u" else -100, 100) if x.dtype.kind in "iu" else x


def labels(x):
    return (
        x if x.dtype.kind in "iub" else np.rint(np.nan_to_num(x.astype(np.float32), posinf=9, neginf=-9)).astype("i4")
    )


POWER = {"domain": not_negative, "error": 1024, "steep": 512}
"""In logarithms, of which the greatest in float64 is 710."""

ROWS = {
    "max": Row(ap.Max(), "max", exact=True, keeps_dtype=True),
    "min": Row(ap.Min(), "min", exact=True, keeps_dtype=True),
    "average": Row(ap.Average(), "average"),
    "sum": Row(ap.Sum(), "sum", sums_integers=True, needs_element=False),
    "lp": Row(ap.Lp(), "lp", needs_element=False),
    "gem": Row(ap.GeM(3), f.gem(3, 1e-6), error=128, steep=512),
    "median": Row(ap.Median(), f.lower_median(), exact=True, keeps_dtype=True),
    "median:mid=mean": Row(ap.Median("mean"), f.quantile(0.5)),
    "quantile:q=0.3": Row(ap.Quantile(0.3), f.quantile(0.3)),
    "rank:k=2": Row(ap.Rank(2), f.rank(2), exact=True, keeps_dtype=True, fewest=2),
    "rank:k=-1": Row(ap.Rank(-1), f.rank(-1), exact=True, keeps_dtype=True),
    "trimmed_mean:proportion=0.3": Row(ap.TrimmedMean(0.3), f.trimmed_mean(0.3)),
    "topk_mean:k=2": Row(ap.TopKMean(2), f.topk_mean(2), size=2),
    "ordered_weighted": Row(ap.OrderedWeighted(), f.ordered_weighted(lambda r: 0)),
    "power_mean:p=1.5": Row(ap.PowerMean(1.5), f.power_mean(1.5), **POWER),
    "power_mean:p=-2": Row(ap.PowerMean(-2), f.power_mean(-2), **POWER),
    "geometric_mean": Row(ap.GeometricMean(), f.power_mean(0), **POWER),
    "harmonic_mean": Row(ap.HarmonicMean(), f.power_mean(-1), **POWER),
    "logsumexp": Row(ap.LogSumExp(), f.log_sum_exp(1)),
    "logsumexp:r=-10": Row(ap.LogSumExp(-10), f.log_sum_exp(-10), steep=256),
    "soft": Row(ap.Soft(), f.soft(1), error=16, steep=64),
    "soft:beta=-2,gradient=straight_through": Row(
        ap.Soft(-2, "straight_through"), f.straight_through(-2), error=32, steep=64
    ),
    "adapool:b=0.3": Row(ap.AdaPool(0.3), f.adapool(0.3), error=16, steep=64),
    "mixed:a=0.3": Row(ap.Mixed(0.3), f.mixed(0.3)),
    "avgmax": Row(ap.AvgMax(), f.mixed(0.5)),
    "variance": Row(ap.Variance(), f.variance(0), degree=2, domain=moderate),
    "std": Row(ap.Std(), f.std(0), domain=moderate, steep=1024),
    "range": Row(ap.Range(), f.spread(), sums_integers=True),
    "mode": Row(ap.Mode(), f.mode(), exact=True, keeps_dtype=True, domain=labels),
    "count": Row(ap.Count(), f.count(), exact=True, counts=True, needs_element=False),
    "dilation:structure=0.5": Row(ap.Dilation(0.5), f.dilation(0.5)),
    "erosion:structure=0.5": Row(ap.Erosion(0.5), f.erosion(0.5)),
    "stochastic": Row(ap.Stochastic(), f.stochastic(), error=16, steep=256),
    "random_mixed": Row(ap.RandomMixed(), f.mixed(0.5)),
    "gated:omega=0.3": Row(ap.Gated(0.3), f.gated(0.3), error=32, steep=128),
    "local_importance": Row(ap.LocalImportance(), f.average()),
    "detail:lam=-0.5,alpha=0.3": Row(
        ap.DetailPreserving(-0.5, 0.3), f.detail(-0.5, 0.3), error=64, steep=512, domain=moderate
    ),
    "blur": Row(ap.Blur(), f.blur()),
}
"""By their names in texts, as in `anypool.pool(x, "quantile:q=0.3", …)`."""

COMPOSED = ("maxblur", "aps", "spectral", "wavelet")
"""Those that are no reduction of single windows, by name: tests/core/test_antialiasing.py has their reference."""

OPERATORS = tuple(ROWS)
CORE = ("max", "min", "average", "sum", "lp")
"""Those with operations of their own in frameworks and kernels, of which sweeps draw more."""
DIFFERENTIABLE_OPERATORS = tuple(name for name, row in ROWS.items() if row.slopes is not None)
