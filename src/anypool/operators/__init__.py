"""What: the operators, one class each."""

from anypool.operators.base import ARRAY, Defaults, Info, Operator, Parameter, parameter
from anypool.operators.extremes import Max, Min
from anypool.operators.order import Median
from anypool.operators.power import GeM, Lp
from anypool.operators.registry import (
    OPERATORS,
    deserialize,
    operator_class,
    operator_for,
    register_operator,
    serialize,
)
from anypool.operators.statistics import Variance
from anypool.operators.sums import Average, Sum

__all__ = [
    "ARRAY",
    "OPERATORS",
    "Average",
    "Defaults",
    "GeM",
    "Info",
    "Lp",
    "Max",
    "Median",
    "Min",
    "Operator",
    "Parameter",
    "Sum",
    "Variance",
    "deserialize",
    "operator_class",
    "operator_for",
    "parameter",
    "register_operator",
    "serialize",
]
