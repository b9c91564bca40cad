"""What poolings are called in the lab and on the command line: here, and nowhere else, names become candidates."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import anypool as ap

DEFAULT = ("max", "min", "average")
STRIDED = "strided"
ORIGINAL = "original"

_PREFIXES = {"sliding": "", "strided": "", "global": "Global", "adaptive": "Adaptive"}


@dataclass(frozen=True)
class Candidate:
    """A pooling to compare: an operator, and what makes layers of it."""

    name: str
    operator: ap.Operator | None
    """None for what is no operator: a strided convolution."""
    kinds: tuple[str, ...] = ("sliding", "global", "adaptive", "strided")
    """The kinds of pooling layers that it can take the place of."""

    def keras_layer(self, kind: str, **settings: Any) -> Any:
        """A Keras layer of this kind, with Keras's names of settings."""
        if self.operator is None:
            from .networks.keras import StridedConvolution

            return StridedConvolution(**settings)
        import anypool.keras

        return _made(anypool.keras, self.operator, layer_name("keras", self.operator, kind), settings)

    def torch_module(self, kind: str, **settings: Any) -> Any:
        """A torch module of this kind, with torch's names of settings."""
        if self.operator is None:
            from .networks.torch import StridedConvolution

            return StridedConvolution(**settings)
        import anypool.torch

        return _made(anypool.torch, self.operator, layer_name("torch", self.operator, kind), settings)


def layer_name(framework: str, operator: ap.Operator, kind: str) -> tuple[str, bool]:
    """The name of an operator's layer, and whether it is its own.

    Max, min and averages as they are have their own, but torch's of averages, which counts padding. That of all others
    takes the operator and learns what of it can be learned.

    >>> layer_name("keras", ap.Max(), "global"), layer_name("torch", ap.GeM(), "sliding")
    (('GlobalMaxPooling2D', True), ('Pool2d', False))
    """
    end = "Pooling2D" if framework == "keras" else "Pool2d"
    plain = operator in (ap.Max(), ap.Min()) or (framework == "keras" and operator == ap.Average())
    return f"{_PREFIXES[kind]}{operator.info.layer if plain else ''}{end}", plain


def _made(room: Any, operator: ap.Operator, name: tuple[str, bool], settings: dict[str, Any]) -> Any:
    layer = getattr(room, name[0])
    return layer(**settings) if name[1] else layer(operator, **settings)


def candidate(name: str) -> Candidate:
    """The pooling of this name: an operator's, with settings as in `gem:p=3`, a class as `module:Class`, or `strided`.

    Raises:
        ValueError: there is none, or its settings break a rule.

    >>> candidate("gem:p=4").operator
    GeM(p=4, eps=1e-06)
    """
    if name == STRIDED:
        return Candidate(name, None, ("sliding", "strided"))
    start, _, rest = name.partition(":")
    try:
        place = rest and start not in ap.OPERATORS and _is_place(name)
        operator = _imported(name) if place else ap.operator_for(name)
        return Candidate(name, operator, *([("sliding", "strided")] if operator.composed else []))
    except (ValueError, TypeError) as error:
        if rest:
            raise ValueError(f"pool must name operators, but {name!r} is none: {error}") from error
        raise ValueError(f"pool must name some of {_known()}, got {name!r}") from error


def _is_place(name: str) -> bool:
    module, _, attribute = name.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), attribute))


def _imported(name: str) -> ap.Operator:
    """The operator that `module:Class` names; modules in the working directory are found too."""
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(str(error)) from error
    made = found() if isinstance(found, type) else found
    if not isinstance(made, ap.Operator):
        raise ValueError(f"it is {type(made).__name__}, and must be a subclass of anypool.Operator")
    return made


def candidates(names: Sequence[str]) -> tuple[Candidate, ...]:
    """The poolings of these names, each known and said once.

    Raises:
        ValueError: there is none, or one is unknown or repeated.

    >>> [found.name for found in candidates(["max", "average"])]
    ['max', 'average']
    """
    if not names:
        raise ValueError(f"pool must name one or more of {_known()}, got none")
    found = tuple(candidate(name) for name in names)
    for place, one in enumerate(found):
        same = [earlier.name for earlier in found[:place] if earlier.operator == one.operator]
        if same:
            again = f"{one.name!r} twice" if same[0] == one.name else f"{one.name!r}, which is {same[0]!r}"
            raise ValueError(f"pool must name each pooling once, got {again}")
    return found


def operators_of(names: Sequence[str]) -> list[tuple[str, ap.Operator]]:
    """Those of these names that are operators, which arrays can be pooled with."""
    found = ((name, candidate(name).operator) for name in names if name != ORIGINAL)
    return [(name, operator) for name, operator in found if operator is not None]


def split_names(text: str) -> list[str]:
    """The names in a list separated by commas; settings keep the commas between them.

    >>> split_names("max, gem:p=3,eps=1e-6,median")
    ['max', 'gem:p=3,eps=1e-6', 'median']
    """
    names: list[str] = []
    for piece in text.split(",") if text.strip() else []:
        if names and "=" in piece and ":" not in piece:
            names[-1] += f",{piece.strip()}"
        else:
            names.append(piece.strip())
    return names


def help_text() -> str:
    """What an option that takes names says of them."""
    names = ", ".join(DEFAULT)
    return (
        f"Poolings, separated by commas: {names} and the others that `anypool operators` lists, with settings as in "
        f"gem:p=3; {STRIDED}; or a class of yours, module:Class."
    )


def _known() -> str:
    return ", ".join((*ap.OPERATORS, STRIDED))
