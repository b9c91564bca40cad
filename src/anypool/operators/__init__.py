"""What: the operators, one class each."""

from anypool.operators.base import ARRAY, Defaults, Info, Operator, Parameter, is_fixed, parameter
from anypool.operators.chance import RandomMixed, Stochastic
from anypool.operators.extremes import Max, Min
from anypool.operators.importance import DetailPreserving, LocalImportance
from anypool.operators.mixtures import AvgMax, Gated, Mixed
from anypool.operators.morphology import Dilation, Erosion
from anypool.operators.order import Median, OrderedWeighted, Quantile, Rank, TopKMean, TrimmedMean
from anypool.operators.power import GeM, GeometricMean, HarmonicMean, Lp, PowerMean
from anypool.operators.registry import (
    OPERATORS,
    deserialize,
    operator_class,
    operator_for,
    register_operator,
    serialize,
)
from anypool.operators.resample import AdaptivePolyphase, Spectral, Wavelet
from anypool.operators.smooth import Blur, MaxBlur
from anypool.operators.soft import AdaPool, LogSumExp, Soft
from anypool.operators.statistics import Count, Mode, Range, Std, Variance
from anypool.operators.sums import Average, Sum

__all__ = [
    "ARRAY",
    "OPERATORS",
    "AdaPool",
    "AdaptivePolyphase",
    "Average",
    "AvgMax",
    "Blur",
    "Count",
    "Defaults",
    "DetailPreserving",
    "Dilation",
    "Erosion",
    "Gated",
    "GeM",
    "GeometricMean",
    "HarmonicMean",
    "Info",
    "LocalImportance",
    "LogSumExp",
    "Lp",
    "Max",
    "MaxBlur",
    "Median",
    "Min",
    "Mixed",
    "Mode",
    "Operator",
    "OrderedWeighted",
    "Parameter",
    "PowerMean",
    "Quantile",
    "RandomMixed",
    "Range",
    "Rank",
    "Soft",
    "Spectral",
    "Std",
    "Stochastic",
    "Sum",
    "TopKMean",
    "TrimmedMean",
    "Variance",
    "Wavelet",
    "deserialize",
    "is_fixed",
    "operator_class",
    "operator_for",
    "parameter",
    "register_operator",
    "serialize",
]
