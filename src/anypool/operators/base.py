"""What an operator is: one class that holds its formula, what of it can be learned, and what it is called.

An operator is written in one of two ways, in functions of an array namespace `xp` (NumPy's names on every framework,
see `anypool.adapters.Adapter`) and of its parameters:

- `lift` makes of x the arrays to be reduced, `reductions` names how each is reduced over every window ("max", "min" or
  "sum", by whoever does that fastest), and `finish` makes the value of the reductions and the number of elements;
- `reduce` makes the value of windows laid out along a last axis, with a mask of their valid elements.

With both, `reduce` is the definition and lifting an acceleration of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, cast

import numpy as np

from anypool.arguments import FLOATS, as_number, wide


@dataclass(frozen=True, eq=False)
class Defaults:
    """The dtypes a framework gives where the operand does not say: averages of integers, sums of small integers.

    Part of every call's key, so a framework keeps one object for each of its settings.
    """

    floating: str = "float64"
    signed: str = "int64"
    unsigned: str = "uint64"
    widest: str = "float64"
    """The widest float there is."""


@dataclass(frozen=True)
class Info:
    """What an operator is called and where it is from.

    >>> import anypool as ap
    >>> ap.Max.info.formula
    'max x'
    """

    name: str
    """In texts, as in `pool(x, "gem:p=3", …)`."""
    formula: str
    source: str = ""
    layer: str = ""
    """How layers are called, as "Max" in MaxPool2d and MaxPooling2D; "" where they have no names of their own."""


@dataclass(frozen=True)
class Parameter:
    """A number of an operator that can be learned: one for all, or one per channel.

    >>> import anypool as ap
    >>> ap.GeM.parameters()
    (Parameter(name='p', default=3.0, at_least=0.001, at_most=inf),)
    """

    name: str
    default: float
    at_least: float = -math.inf
    at_most: float = math.inf


def parameter(default: float, *, at_least: float = -math.inf, at_most: float = math.inf) -> Any:
    """A field of an operator that can be learned: a number within these bounds, or an array of x's framework that
    broadcasts against x and has length 1 along the pooled axes.

    >>> import anypool as ap
    >>> @dataclass(frozen=True)
    ... class Scaled(ap.Operator):
    ...     scale: float = ap.parameter(1.0, at_least=0.0)
    ...     info = ap.Info("scaled", "scale·max x")
    ...     reductions = ("max",)
    ...
    ...     def finish(self, reduced, count, scale, xp):
    ...         return scale * reduced[0]
    >>> ap.pool([1.0, 5.0, 2.0, 0.0], Scaled(2), ap.Sliding(2), axes=0)
    array([10.,  4.])
    """
    return field(default=default, metadata={"at_least": at_least, "at_most": at_most})


ARRAY = ...
"""Stands for an array in an operator whose arrays were taken out (`Operator.split`)."""


@dataclass(frozen=True)
class Operator:
    """One number per window. A subclass is a frozen dataclass with `info`, and `lift`, `reductions` and `finish`, or
    `reduce`; it works on every window and framework, with gradients, in layers and by name.

    >>> import anypool as ap
    >>> @dataclass(frozen=True)
    ... class RootMeanSquare(ap.Operator):
    ...     info = ap.Info("rms", "√(Σx²/n)")
    ...     reductions = ("sum",)
    ...
    ...     def lift(self, x, xp):
    ...         return (x * x,)
    ...
    ...     def finish(self, reduced, count, xp):
    ...         return xp.sqrt(reduced[0] / count)
    >>> ap.pool([3.0, 4.0, 0.0, 2.0], RootMeanSquare(), ap.Sliding(2), axes=0)
    array([3.53553391, 1.41421356])
    """

    info: ClassVar[Info]

    reductions: ClassVar[tuple[str, ...]] = ()
    """How what `lift` gives is reduced: "max", "min" or "sum" for each array."""

    lift_dtype: ClassVar[str | None] = None
    """The dtype to lift in, where the accumulator's would lose too much; None for the accumulator's."""

    separable: ClassVar[bool] = False
    """Whether `reduce` over one axis after another gives the same as over all at once."""

    selects: ClassVar[bool] = False
    """Whether the value is an element, so that it has an index and `offset` says which."""

    random: ClassVar[bool] = False
    """Whether it draws random numbers."""

    def __post_init__(self) -> None:
        for each in self.parameters():
            value = getattr(self, each.name)
            if not _is_array(value):
                number = as_number(each.name, value)
                if not each.at_least <= number <= each.at_most:
                    bounds = f"between {each.at_least:g} and {each.at_most:g}"
                    raise ValueError(f"{each.name} must be {bounds}, got {value!r}")
                object.__setattr__(self, each.name, number)

    # What an operator computes

    def lift(self, x: Any, *parameters_and_xp: Any) -> tuple[Any, ...]:
        """The arrays to reduce, one per entry of `reductions`, of x's shape; what follows them goes to `finish` as it
        is. Called as lift(x, *parameters, xp)."""
        return (x,)

    def finish(self, reduced: Any, count: Any, *parameters_and_xp: Any) -> Any:
        """The value, from the reductions of every window (a tuple) and the number of its valid elements, in shapes that
        broadcast. Called as finish(reduced, count, *parameters, xp)."""
        return reduced[0]

    def reduce(self, windows: Any, valid: Any, *parameters_and_xp: Any) -> Any:
        """The value of every window: shape (…, k) to (…). `windows` holds 0 where there is no element, and `valid`,
        which broadcasts to it, says where there is one. Called as reduce(windows, valid, *parameters, xp)."""
        raise NotImplementedError

    def offset(self, windows: Any, valid: Any, xp: Any) -> Any:
        """The place of the selected element in every window, for operators that select: shape (…, k) to (…)."""
        raise NotImplementedError

    def identity(self, windows: Any, xp: Any) -> Any:
        """What a window without an element gives where that is allowed; in the dtype of `windows`."""
        return xp.nan_like(windows)

    # What is known of it

    @property
    def counts_padding(self) -> bool:
        """Whether explicit padding is data: zeros, and valid in the mask."""
        return False

    @property
    def needs_element(self) -> bool:
        """Whether a window without an element has no value."""
        return True

    def lift_refusal(self, dtype: str, accumulator: str) -> str | None:
        """Why lifting elements of `dtype` in `lift_dtype` would not be exact enough where results are to be as exact as
        `accumulator` is; None where it is."""
        return None

    def dtypes(self, dtype: str, requested: str | None, defaults: Defaults) -> tuple[str, str]:
        """The dtype to compute in and the dtype of the result, by name, for elements of `dtype`."""
        result = requested or (dtype if dtype in FLOATS else defaults.floating)
        accumulator = wide(dtype) if dtype in FLOATS else defaults.floating
        return ("float64" if result == "float64" else accumulator), result

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """What can be learned, in the order of the arguments of `lift`, `finish` and `reduce`."""
        return _parameters(cls)

    @classmethod
    def is_lifted(cls) -> bool:
        """Whether lifting is its definition."""
        return cls.reduce is Operator.reduce

    def split(self) -> tuple[Operator, tuple[Any, ...]]:
        """The operator without arrays, which can be hashed, and the arrays it had in its parameters."""
        arrays = {each.name: getattr(self, each.name) for each in self.parameters()}
        arrays = {name: value for name, value in arrays.items() if _is_array(value) and value is not ARRAY}
        return (replace(self, **dict.fromkeys(arrays, ARRAY)) if arrays else self), tuple(arrays.values())

    def values(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """The parameters, with these arrays where `split` took them out."""
        given = iter(arrays)
        return tuple(
            next(given) if value is ARRAY else value
            for value in (getattr(self, each.name) for each in self.parameters())
        )


def count_valid(windows: Any, valid: Any, xp: Any) -> Any:
    """How many elements every window has: shape (…, k) to (…, 1), integers."""
    return xp.sum(xp.where(valid, xp.index_ones_like(windows), 0), axis=-1, keepdims=True)


_PARAMETERS: dict[type, tuple[Parameter, ...]] = {}


def _parameters(kind: type[Operator]) -> tuple[Parameter, ...]:
    found = _PARAMETERS.get(kind)
    if found is None:
        declared = [each for each in fields(kind) if "at_least" in each.metadata]
        found = _PARAMETERS[kind] = tuple(
            Parameter(each.name, cast(float, each.default), **each.metadata) for each in declared
        )
    return found


def _is_array(value: Any) -> bool:
    """Whether a parameter is an array: what has a shape, but NumPy's scalars and arrays of one number."""
    return value is ARRAY or (
        hasattr(value, "shape") and not (isinstance(value, np.generic | np.ndarray) and value.ndim == 0)
    )
