"""A run: what was measured of one pooling, and how it is written down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .shown import Shown

AS_GIVEN = "as given"
INVERTED = "inverted"
POLARITIES = (AS_GIVEN, INVERTED)

TRAINED = "trained"
SWAPPED, RECALIBRATED, FINE_TUNED = "swapped", "recalibrated", "fine-tuned"
STAGES = (TRAINED, SWAPPED, RECALIBRATED, FINE_TUNED)
"""What was done to a network before it was measured: trained from its first weights; or, with its poolings swapped,
nothing else, batch normalisation's statistics taken anew, and trained for some epochs from there."""

LEARNING = (TRAINED, FINE_TUNED)
"""The stages in which there are epochs."""


class RunKey(NamedTuple):
    """What tells runs with the same settings apart."""

    seed: int
    polarity: str
    pool: str
    stage: str = TRAINED


@dataclass(frozen=True)
class PoolingLayer:
    """What one pooling layer does to an image: values before and after it, and parameters in the layers that follow."""

    name: str
    values_in: int
    values_out: int
    parameters_after: int

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> PoolingLayer:
        """The layer of an entry in results.json; what this version does not know is left out."""
        return cls(**{name.name: entry[name.name] for name in fields(cls)})


@dataclass(frozen=True)
class Run:
    """What one network with one pooling measured, on the test images."""

    pool: str
    seed: int
    measures: dict[str, float]
    """By the names of `anypool.lab.measures.MEASURES`; what could not be measured is not there."""
    parameters: int
    layers: list[PoolingLayer]
    polarity: str = AS_GIVEN
    """`as given`, or `inverted`: dark and light swapped."""
    stage: str = TRAINED
    curve: list[float] = field(default_factory=list)
    """Accuracy after each epoch."""
    epoch_seconds: list[float] = field(default_factory=list)
    """Training alone; the first includes compilation."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long it took: `total`, and `computing`, those of them in which the network trained and predicted."""
    environment: dict[str, str] = field(default_factory=dict)
    """Versions and machine."""
    unknown: dict[str, Any] = field(default_factory=dict)
    """Fields that another version wrote and this one does not know: kept, and written again."""
    shown: Shown | None = field(default=None, compare=False, repr=False)
    """Pictures of it, which have files of their own."""

    @property
    def key(self) -> RunKey:
        return RunKey(self.seed, self.polarity, self.pool, self.stage)

    def entry(self) -> dict[str, Any]:
        """The run as results.json holds it."""
        known = {name: getattr(self, name) for name in _written()}
        known["layers"] = [vars(layer) for layer in self.layers]
        return known | self.unknown

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Run:
        """The run of an entry in results.json.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: it is none.
        """
        names = _written()
        known = {name: value for name, value in entry.items() if name in names}
        known["layers"] = [PoolingLayer.from_entry(layer) for layer in entry["layers"]]
        run = cls(**known, unknown={name: value for name, value in entry.items() if name not in names})
        run._check()
        return run

    def _check(self) -> None:
        numbers = [*self.measures.values(), *self.curve, *self.epoch_seconds, *self.seconds.values()]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError(f"the run {tuple(self.key)} has a measure that is no number")
        if type(self.seed) is not int or type(self.pool) is not str or type(self.stage) is not str:
            raise ValueError(f"the run {tuple(self.key)} is of no known kind")
        if self.polarity not in POLARITIES:
            raise ValueError(f"the run {tuple(self.key)} is of no known kind")


def _written() -> list[str]:
    """The fields of a run that results.json holds."""
    return [name.name for name in fields(Run) if name.name not in ("unknown", "shown")]


@dataclass(frozen=True)
class Failure:
    """A run that came to no result, and why, in one sentence."""

    key: RunKey
    reason: str

    def entry(self) -> dict[str, Any]:
        """The failure as results.json holds it."""
        return {**self.key._asdict(), "reason": self.reason}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Failure:
        """The failure of an entry in results.json."""
        return cls(RunKey(**{name: entry[name] for name in RunKey._fields}), str(entry["reason"]))
