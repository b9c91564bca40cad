"""What poolings are called in the lab and on the command line: here, and nowhere else, names become candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anypool as ap

DEFAULT = ("max", "min", "average")
STRIDED = "strided"
ORIGINAL = "original"

_OPERATORS = {
    "max": (ap.Max(), "Max", "Max"),
    "min": (ap.Min(), "Min", "Min"),
    "average": (ap.Average(), "Average", "Avg"),
}
"""By name: the operator, and what layers of Keras and of torch are called after it."""

_PREFIXES = {"sliding": "", "global": "Global", "adaptive": "Adaptive"}


@dataclass(frozen=True)
class Candidate:
    """A pooling to compare: an operator, and what makes layers of it."""

    name: str
    operator: ap.Operator | None
    """None for what is no operator: a strided convolution, or a network's own poolings."""
    kinds: tuple[str, ...] = ("sliding", "global", "adaptive")
    """The kinds of pooling layers that it can take the place of."""

    def keras_layer(self, kind: str, **settings: Any) -> Any:
        """A Keras layer of this kind, with Keras's names of settings."""
        if self.name == STRIDED:
            from .networks.keras import StridedConvolution

            return StridedConvolution(**settings)
        import anypool.keras

        return getattr(anypool.keras, f"{_PREFIXES[kind]}{_OPERATORS[self.name][1]}Pooling2D")(**settings)

    def torch_module(self, kind: str, **settings: Any) -> Any:
        """A torch module of this kind, with torch's names of settings."""
        if self.name == STRIDED:
            from .networks.torch import StridedConvolution

            return StridedConvolution(**settings)
        import anypool.torch

        return getattr(anypool.torch, f"{_PREFIXES[kind]}{_OPERATORS[self.name][2]}Pool2d")(**settings)


def candidate(name: str) -> Candidate:
    """The pooling of this name.

    Raises:
        ValueError: there is none.

    >>> candidate("max").operator
    Max()
    """
    if name == STRIDED:
        return Candidate(name, None, ("sliding",))
    if name not in _OPERATORS:
        raise ValueError(f"pool must name some of {_known()}, got {name!r}")
    return Candidate(name, _OPERATORS[name][0])


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
        if any(one.name == earlier.name for earlier in found[:place]):
            raise ValueError(f"pool must name each pooling once, got {names[place]!r} twice")
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
    return f"Poolings, separated by commas, of {_known()}."


def _known() -> str:
    return ", ".join((*_OPERATORS, STRIDED))
