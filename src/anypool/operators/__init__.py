"""What: the operators."""

from anypool.operators.base import (
    DTYPES,
    FLOATS,
    HALF_PRECISION,
    INTEGERS,
    OPERATORS,
    UNSIGNED,
    Average,
    Defaults,
    Lp,
    Max,
    Min,
    Operator,
    Sum,
    operator_for,
    wide,
)

__all__ = [
    "DTYPES",
    "FLOATS",
    "HALF_PRECISION",
    "INTEGERS",
    "OPERATORS",
    "UNSIGNED",
    "Average",
    "Defaults",
    "Lp",
    "Max",
    "Min",
    "Operator",
    "Sum",
    "operator_for",
    "wide",
]
