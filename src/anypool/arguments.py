"""Checks of arguments that everyone shares: an error names the argument, the value and the rule."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

HALF_PRECISION = ("float16", "bfloat16")
FLOATS = (*HALF_PRECISION, "float32", "float64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = ("int8", "int16", "int32", "int64", *UNSIGNED)
DTYPES = ("bool", *INTEGERS, *FLOATS)
PARTS = {"complex64": "float32", "complex128": "float64"}
"""The complex dtypes, of which sums and averages are pooled, and those of their parts."""

LARGEST = 2**31 - 1
"""No size, stride, padding or dilation may exceed this, so that positions and products of two fit 64 bits."""


def is_known(length: Any) -> bool:
    """Whether a length is a plain integer, not a framework's symbol for one."""
    return isinstance(length, int)


_PLAIN = (type(None), bool, int, float, str)


def plain(value: Any) -> Any:
    """A setting without NumPy: its scalars as Python's, its arrays and all lists as tuples.

    >>> plain([np.int64(2), np.array([1, 3]), np.True_])
    (2, (1, 3), True)
    """
    if type(value) in _PLAIN:  # torch.compile follows this line and the next, and no further
        return value
    if isinstance(value, list | tuple):
        return tuple([plain(entry) for entry in value])
    if isinstance(value, np.floating):
        return float(value)  # np.longdouble has no other
    return plain(value.tolist()) if isinstance(value, np.generic | np.ndarray) else value


def as_integer(name: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`; TypeError or ValueError naming the argument, the value and the rule."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer or a tuple of integers, got {value!r}") from None
    if not least <= number <= LARGEST:
        raise ValueError(f"{name} must be between {least} and {LARGEST}, got {number}")
    return number


def as_flag(name: str, value: Any) -> bool:
    """`value` as a bool, of Python or NumPy; TypeError where it is anything else."""
    flag = plain(value)
    if not isinstance(flag, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return flag


def as_number(name: str, value: Any) -> float:
    """`value` as a Python int or float, of Python or NumPy; TypeError where it is anything else."""
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return number


def per_axis(name: str, value: Any, least: int, optional: bool = False) -> Any:
    """An int for every axis, or a tuple with one per axis, checked; with `optional` an entry may be None."""
    value = plain(value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        return as_integer(name, value, least)
    if len(value) == 0:
        raise ValueError(f"{name} must have one entry per pooled axis, got {value!r}")
    return tuple(None if optional and v is None else as_integer(name, v, least) for v in value)


def dtype_name(dtype: Any) -> str:
    """The name of a dtype of any framework, or of a dtype's name; TypeError where pooling has no such dtype."""
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        try:
            name = np.dtype(dtype).name
        except TypeError:
            name = None
    if name not in DTYPES:
        raise TypeError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    return name


def wide(dtype: str) -> str:
    """The float to accumulate in: at least float32."""
    return "float32" if dtype in HALF_PRECISION else dtype
