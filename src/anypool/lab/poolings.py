"""What poolings are called in the lab and on the command line: here, and nowhere else, names become candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anypool as ap

DEFAULT = ("max", "min", "average")

_LAYERS = {
    "max": (ap.Max(), "MaxPooling2D"),
    "min": (ap.Min(), "MinPooling2D"),
    "average": (ap.Average(), "AveragePooling2D"),
}


@dataclass(frozen=True)
class Candidate:
    """A pooling to compare: an operator for arrays, and what makes layers of it."""

    name: str
    operator: ap.Operator

    @property
    def layer(self) -> Callable[..., Any]:
        """Makes a Keras layer, called with pool_size and strides."""
        import anypool.keras

        return getattr(anypool.keras, _LAYERS[self.name][1])


def candidate(name: str) -> Candidate:
    """The pooling of this name.

    Raises:
        ValueError: there is none.

    >>> candidate("max").operator
    Max()
    """
    if name not in _LAYERS:
        raise ValueError(f"pool must name some of {', '.join(_LAYERS)}, got {name!r}")
    return Candidate(name, _LAYERS[name][0])


def candidates(names: Sequence[str]) -> tuple[Candidate, ...]:
    """The poolings of these names, each known and said once.

    Raises:
        ValueError: there is none, or one is unknown or repeated.

    >>> [found.name for found in candidates(["max", "average"])]
    ['max', 'average']
    """
    if not names:
        raise ValueError(f"pool must name one or more of {', '.join(_LAYERS)}, got none")
    found = tuple(candidate(name) for name in names)
    for place, one in enumerate(found):
        if any(one.name == earlier.name for earlier in found[:place]):
            raise ValueError(f"pool must name each pooling once, got {names[place]!r} twice")
    return found


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
    return f"Poolings, separated by commas, of {','.join(_LAYERS)}."
