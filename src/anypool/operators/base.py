"""What an operator is: one class that holds its formula, what of it can be learned, and what it is called.

An operator is written in one of three ways, in functions of an array namespace `xp` (NumPy's names on every framework,
see `anypool.adapters.Adapter`) and of its parameters:

- `lift` makes of x the arrays to be reduced, `reductions` names how each is reduced over every window ("max", "min" or
  "sum", by whoever does that fastest), and `finish` makes the value of the reductions and the number of elements;
- `reduce` makes the value of windows laid out along a last axis, with a mask of their valid elements, which has no axes
  where all are valid;
- `compose` makes the values of the whole array, of other poolings, where they are not those of single windows.

With the first two, `reduce` is the definition and lifting an acceleration of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, cast

import numpy as np

from anypool.arguments import FLOATS, as_number, is_known, wide
from anypool.plans import Plan


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
    """A number of an operator that can be learned: one for all, one per channel, or one per element of the window; or
    numbers that are drawn, one per window.

    >>> import anypool as ap
    >>> ap.GeM.parameters()[0].name, ap.GeM.parameters()[0].at_least
    ('p', 0.001)
    """

    name: str
    default: float
    at_least: float = -math.inf
    at_most: float = math.inf
    per_element: bool = False
    """Whether there may be one for every element of the window, along a last axis of its own."""
    per_window: bool = False
    """Whether there is one for every window: a number that is drawn, and not learned; None for none."""
    per_position: bool = False
    """Whether there is one for every element of x, which comes with x, and is not learned itself."""


def parameter(
    default: float | None,
    *,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    per_element: bool = False,
    per_window: bool = False,
    per_position: bool = False,
) -> Any:
    """A field of an operator that can be learned: a finite number within these bounds, or an array of x's framework
    that broadcasts against x and has length 1 along the pooled axes.

    With `per_element` it is a number for all elements of the window; a tuple with one for each, in row-major order of
    the pooled axes; or an array (…, k), with one for each of the window's k elements along its last axis and the axes
    before it as above. With `per_window` it is an array that broadcasts to the output, or None; with `per_position` one
    that broadcasts to x.

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
    bounds = {"at_least": at_least, "at_most": at_most}
    shape = {"per_element": per_element, "per_window": per_window, "per_position": per_position}
    return field(default=default, metadata={**bounds, **shape})


Place = tuple[int, int, float]
"""(first, last, t): (1 − t)·x₍first₎ + t·x₍last₎ of a sorted window, counted from 0."""


@dataclass(frozen=True)
class Compiled:
    """Which compiled kernel computes an operator, and with what numbers."""

    name: str
    """As the compiled module calls it."""
    place: Callable[[int], Place] | None = None
    """Of an order statistic: what it is of windows of n elements."""
    numbers: tuple[float, float] = (0.0, 0.0)
    """Parameters."""


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

    reductions: ClassVar[tuple[Any, ...]] = ()
    """How what `lift` gives is reduced: "max", "min" or "sum" for each array, or an operator that is 0 of nothing."""

    lift_dtype: ClassVar[str | None] = None
    """The dtype to lift in, where the accumulator's would lose too much; None for the accumulator's."""

    separable: ClassVar[bool] = False
    """Whether `reduce` over one axis after another gives the same as over all at once."""

    selects: ClassVar[bool] = False
    """Whether the value is an element, so that it has an index and `offset` says which."""

    random: ClassVar[bool] = False
    """Whether layers draw numbers for it while they train."""

    def __post_init__(self) -> None:
        for each in self.parameters():
            value = getattr(self, each.name)
            if each.per_element and isinstance(value, list | tuple):
                object.__setattr__(self, each.name, tuple(_within(each, number) for number in value))
            elif not (_is_array(value) or (value is None and each.per_window)):
                object.__setattr__(self, each.name, _within(each, value))

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
        which broadcasts to it, says where there is one; it has no axes where all are elements. Called as
        reduce(windows, valid, *parameters, xp)."""
        raise NotImplementedError

    def compose(
        self, x: Any, window: Any, plan: Plan, axes: tuple[int, ...], pool: Any, *parameters_and_xp: Any
    ) -> Any:
        """The values of an array, for operators that are composed: `window` and `plan` say where the outputs are, and
        pool(x, operator, window, axes) pools, over the same axes where it is not told. Called as compose(x, window,
        plan, axes, pool, *parameters, xp)."""
        raise NotImplementedError

    def offset(self, windows: Any, valid: Any, xp: Any) -> Any:
        """The place of the selected element in every window, for operators that select: shape (…, k) to (…)."""
        raise NotImplementedError

    def identity(self, windows: Any, xp: Any) -> Any:
        """What a window without an element gives where that is allowed; in the dtype of `windows`."""
        return xp.nan_like(windows)

    # What is known of it

    @property
    def composed(self) -> bool:
        """Whether it is no reduction of single windows, but of other poolings, or of the array as a whole."""
        return type(self).compose is not Operator.compose

    def compiled(self) -> Compiled | None:
        """The kernel that computes it with these parameters, if there is one. A subclass may compute something else, so
        this is not inherited: `own_kernel` asks the class itself."""
        return None

    def own_kernel(self) -> Compiled | None:
        """`compiled`, if this very class says it."""
        return self.compiled() if "compiled" in vars(type(self)) else None

    @property
    def counts_padding(self) -> bool:
        """Whether explicit padding is data: zeros, and valid in the mask."""
        return False

    @property
    def needs_element(self) -> bool:
        """Whether a window without an element has no value."""
        return True

    @property
    def min_elements(self) -> int:
        """How many elements a window must have to have a value."""
        return int(self.needs_element)

    @property
    def keeps_dtype(self) -> bool:
        """Whether the value is one of the elements, and so has their dtype."""
        return self.selects

    def window_refusal(self, size: int, fewest: Callable[[], int]) -> str | None:
        """Why windows of `size` elements, of which the emptiest holds `fewest()`, have no value; None if they have."""
        for each in self.parameters():
            value = getattr(self, each.name)
            if isinstance(value, tuple) and len(value) != size:
                return f"{each.name} must have one entry per element of the window ({size}), got {len(value)}"
        return None

    def plan_refusal(self, window: Any, plan: Plan) -> str | None:
        """Why an operator that is composed has no values in these windows; None if it has."""
        return None

    def whole_axes(self, axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
        """The axes along which an operator that is composed must see all of an array."""
        return axes

    def lift_refusal(self, dtype: str, accumulator: str) -> str | None:
        """Why lifting elements of `dtype` in `lift_dtype` would not be exact enough where results are to be as exact as
        `accumulator` is; None where it is."""
        return None

    def dtypes(self, dtype: str, requested: str | None, defaults: Defaults) -> tuple[str, str]:
        """The dtype to compute in and the dtype of the result, by name, for elements of `dtype`."""
        if self.keeps_dtype:
            if requested not in (None, dtype):
                raise ValueError(
                    f"dtype={requested!r}: {type(self).__name__} keeps its elements' dtype, {dtype!r}; cast the result"
                )
            return ("uint8" if dtype == "bool" else dtype), dtype
        result = requested or (dtype if dtype in FLOATS else defaults.floating)
        accumulator = wide(dtype) if dtype in FLOATS else defaults.floating
        return ("float64" if result == "float64" else accumulator), result

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """What can be learned, in the order of the arguments of `lift`, `finish` and `reduce`."""
        return _parameters(cls)

    @classmethod
    def learnable(cls) -> tuple[Parameter, ...]:
        """The parameters that can be learned: those that are not drawn, and do not come with x."""
        return tuple(each for each in cls.parameters() if not (each.per_window or each.per_position))

    def start_of_weight(self, parameter: Parameter, window: Any, rank: int) -> Any:
        """What the weight of a layer begins with that learns this parameter: its number, one for every element of the
        window where there may be, or the array that it has.

        ValueError where nobody knows how many elements these windows over `rank` axes have, or they are not as many.
        """
        value, size = getattr(self, parameter.name), window.elements(rank)
        if parameter.per_element and isinstance(value, int | float):
            if size is None:
                raise ValueError(
                    f"{parameter.name}={value:g} of {self.info.name} cannot be learned for windows whose number of "
                    f"elements depends on the input ({window}): give a tuple with one entry per element, or "
                    "learnable=False"
                )
            return (float(value),) * size
        refusal = self.window_refusal(size, lambda: size) if isinstance(value, tuple) and size is not None else None
        if refusal:
            raise ValueError(f"{refusal}: {self} over {window}")
        return tuple(map(float, value)) if isinstance(value, tuple) else value

    @classmethod
    def is_lifted(cls) -> bool:
        """Whether lifting is its definition."""
        return cls.reduce is Operator.reduce

    def split(self) -> tuple[Operator, tuple[Any, ...]]:
        """The operator without arrays, which can be hashed, and the arrays it had in its parameters."""
        parameters = self.parameters()
        if not parameters:
            return self, ()
        arrays = {each.name: getattr(self, each.name) for each in parameters}
        arrays = {name: value for name, value in arrays.items() if _is_array(value) and value is not ARRAY}
        return (replace(self, **dict.fromkeys(arrays, ARRAY)) if arrays else self), tuple(arrays.values())

    def values(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """The parameters, with these arrays where `split` took them out."""
        given = iter(arrays)
        return tuple(
            next(given) if value is ARRAY else value
            for value in (getattr(self, each.name) for each in self.parameters())
        )


def is_fixed(value: Any) -> bool:
    """Whether a parameter's value is a number, or not given, and no array."""
    return value is None or isinstance(value, int | float)


def count_valid(windows: Any, valid: Any, xp: Any) -> Any:
    """How many elements every window has: an integer where all are valid, else integers that broadcast to (…, 1)."""
    size = xp.shape(windows)[-1]
    if not xp.shape(valid):
        return size
    mask = xp.broadcast_to(valid, (*xp.shape(valid)[:-1], size))
    return xp.sum(xp.where(mask, xp.index_ones_like(mask), 0), axis=-1, keepdims=True)


def float_count(windows: Any, valid: Any, xp: Any) -> Any:
    """`count_valid` as floats, in the dtype of `windows`, which broadcast to (…, 1)."""
    count = count_valid(windows, valid, xp)
    return xp.zero(windows) + count if is_known(count) else xp.astype_like(count, windows)


def _within(declared: Parameter, value: Any) -> float:
    number = as_number(declared.name, value)
    if not (declared.at_least <= number <= declared.at_most and math.isfinite(number)):
        unbounded = math.isinf(declared.at_least) and math.isinf(declared.at_most)
        bounds = "finite" if unbounded else f"between {declared.at_least:g} and {declared.at_most:g}"
        raise ValueError(f"{declared.name} must be {bounds}, got {value!r}")
    return number


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
