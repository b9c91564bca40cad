"""Operators by name: in texts such as "gem:p=3", on the command line, and in files."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Iterator
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from anypool.operators.base import Operator
from anypool.operators.chance import RandomMixed, Stochastic
from anypool.operators.extremes import Max, Min
from anypool.operators.importance import DetailPreserving, LocalImportance
from anypool.operators.mixtures import AvgMax, Gated, Mixed
from anypool.operators.morphology import Dilation, Erosion
from anypool.operators.order import Median, OrderedWeighted, Quantile, Rank, TopKMean, TrimmedMean
from anypool.operators.power import GeM, GeometricMean, HarmonicMean, Lp, PowerMean
from anypool.operators.resample import AdaptivePolyphase, Spectral, Wavelet
from anypool.operators.smooth import Blur, MaxBlur
from anypool.operators.soft import AdaPool, LogSumExp, Soft
from anypool.operators.statistics import Count, Mode, Range, Std, Variance
from anypool.operators.sums import Average, Sum

OPERATORS: dict[str, type[Operator]] = {}
"""The operators by name."""


def register_operator(kind: type[Operator]) -> type[Operator]:
    """Let an operator be named: `pool(x, "name:p=3", …)`, in layers, on the command line. Also a class decorator.

    Raises:
        TypeError: kind is no subclass of `Operator` with an `info`. ValueError: another operator has the name.

    >>> import anypool as ap
    >>> register_operator(ap.Max) is ap.Max
    True
    """
    if not (isinstance(kind, type) and issubclass(kind, Operator) and hasattr(kind, "info")):
        raise TypeError(f"kind must be a subclass of anypool.Operator with an info, got {kind!r}")
    known = OPERATORS.get(kind.info.name)
    if known is not None and _place(known) != _place(kind):
        raise ValueError(f"the name {kind.info.name!r} is {_place(known)}'s already, got {_place(kind)}")
    OPERATORS[kind.info.name] = kind
    kind.parameters()  # found now, since torch.compile, which may follow the first call, cannot read dataclasses
    return kind


BUILT_IN: tuple[type[Operator], ...] = (
    *(Max, Min, Average, Sum, Lp, GeM),
    *(Median, Quantile, Rank, TrimmedMean, TopKMean, OrderedWeighted),
    *(PowerMean, GeometricMean, HarmonicMean),
    *(LogSumExp, Soft, AdaPool, Mixed, AvgMax, Gated),
    *(LocalImportance, DetailPreserving),
    *(Variance, Std, Range, Mode, Count),
    *(Dilation, Erosion),
    *(Stochastic, RandomMixed),
    *(Blur, MaxBlur, AdaptivePolyphase, Spectral, Wavelet),
)
for _kind in BUILT_IN:
    register_operator(_kind)


def operator_for(operator: Any) -> Operator:
    """The operator, given as one or as text: a name, and its fields behind a colon.

    Raises:
        TypeError: it is neither, or a field has the wrong type. ValueError: no operator or field is called so, or a
            value is out of range.

    >>> operator_for("gem:p=4")
    GeM(p=4, eps=1e-06)
    """
    if isinstance(operator, Operator):
        return operator
    if not isinstance(operator, str):
        raise TypeError(f"operator must be an anypool operator such as anypool.Max(), or its name, got {operator!r}")
    name, _, settings = operator.partition(":")
    kind = OPERATORS.get(name.strip())
    if kind is None:
        near = dict.fromkeys([*get_close_matches(name, OPERATORS, 3), "max", "min", "average", "sum"])
        raise ValueError(
            f"operator must be a name in anypool.OPERATORS, such as {', '.join(map(repr, near))}, got {operator!r}"
        )
    return kind(**dict(_settings(operator, kind, settings))) if settings else kind()


def _settings(text: str, kind: type[Operator], settings: str) -> Iterator[tuple[str, Any]]:
    names = [each.name for each in fields(kind)]
    for setting in settings.split(","):
        name, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or name not in names:
            rule = (
                f"settings of {kind.info.name!r} are {', '.join(names)}"
                if names
                else f"{kind.info.name!r} has no settings"
            )
            raise ValueError(f"{rule}, as in name=value, got {setting.strip()!r} in {text!r}")
        try:
            yield name, literal_eval(value)
        except (ValueError, SyntaxError):
            yield name, value


# ---------------------------------------------------------------------------------------------------------------------
# What files hold


def serialize(operator: Operator) -> dict[str, Any]:
    """The operator in what JSON has: its name, its class where that name is not registered for it, and its fields."""
    kind = type(operator)
    values = {each.name: getattr(operator, each.name) for each in fields(kind)}
    for name, value in values.items():
        if not isinstance(value, bool | int | float | str | tuple | list | None):
            raise TypeError(
                f"{name} of {kind.__name__} must be a number or a name to be saved, got {type(value).__name__}"
            )
    registered = OPERATORS.get(kind.info.name) is kind
    return {"operator": kind.info.name if registered else _place(kind), **values}


def deserialize(config: dict[str, Any]) -> Operator:
    """The operator that `serialize` wrote; ValueError where its class is not known here. Nothing is imported for it."""
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in config.items()
    }
    return operator_class(settings.pop("operator"))(**settings)


def operator_class(name: str) -> type[Operator]:
    """The operator class of a registered name, or of "module:Class" where that class exists in this process."""
    known = OPERATORS.get(name)
    kind = known or next((kind for kind in _subclasses(Operator) if _place(kind) == name), None)
    if kind is None:
        raise ValueError(
            f"operator {name!r} is not known here: import the module that defines it, and its class registers"
        )
    return kind


def _subclasses(kind: type[Operator]) -> Iterator[type[Operator]]:
    for each in reversed(kind.__subclasses__()):  # the latest first: a notebook may define a class again
        yield each
        yield from _subclasses(each)


def _place(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
