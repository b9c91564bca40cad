"""What a search tries at every site: poolings with their parameters, windows and strides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..networks.base import Site
from ..poolings import ORIGINAL, Candidate, candidate

if TYPE_CHECKING:
    import optuna

POOLINGS = ("max", "min", "average", "gem", "mixed", "lp")
SIZES, STRIDES = (2, 3), (1, 2)
"""Of windows in networks of ours. One of the user's keeps its strides, and tries windows one element larger."""

WINDOWED = ("sliding", "strided")
"""The kinds of sites that have a window."""


class Range(NamedTuple):
    """Where a parameter is searched."""

    low: float
    high: float
    log: bool = False


FACTOR = 4
"""A positive parameter is searched from its default divided by this to its default times this."""

FIXED = {
    ("lp", "p"): Range(1, 8, log=True),
    ("quantile", "q"): Range(0.05, 0.95),
    ("trimmed_mean", "proportion"): Range(0.0, 0.4),
}
"""Of fields that are no parameters to be learned, and so say nothing of their bounds."""


@dataclass(frozen=True)
class Choice:
    """What pools at a site: a pooling with its settings, as in `gem:p=2.5`, and its window where there is one.

    `original` is what the network had there.
    """

    pool: str
    size: int | None = None
    stride: int | None = None

    @property
    def candidate(self) -> Candidate:
        """The pooling itself."""
        return candidate(self.pool)

    def entry(self) -> dict[str, Any]:
        """The choice as files hold it."""
        return asdict(self)

    def __str__(self) -> str:
        """As in `gem:p=2.5 3/2`, a window of 3 with stride 2.

        >>> print(Choice("gem:p=2.5", 3, 2), Choice("max"))
        gem:p=2.5 3/2 max
        """
        return self.pool if self.size is None else f"{self.pool} {self.size}/{self.stride}"


@dataclass(frozen=True)
class Space:
    """All that may be chosen at these sites."""

    sites: tuple[Site, ...]
    poolings: tuple[str, ...]
    sizes: tuple[int, ...] | None
    """None: those of the site, and one element more."""
    strides: tuple[int, ...] | None
    """None: those of the site."""

    def suggest(self, trial: optuna.Trial) -> tuple[Choice, ...]:
        """What a trial chooses for every site; `first` gives its parameters for a start."""
        return tuple(self._suggest(trial, number, site) for number, site in enumerate(self.sites, 1))

    def first(self) -> dict[str, Any]:
        """The parameters of the trial to begin with: the first of the poolings, in the windows that are there."""
        found: dict[str, Any] = {}
        for number, site in enumerate(self.sites, 1):
            found[f"{number} pool"] = self.allowed(site)[0]
            if site.kind in WINDOWED and self.allowed(site)[0] != ORIGINAL:
                found |= {
                    f"{number} {name}": own
                    for name, own, tried in zip(("size", "stride"), window_of(site), self._windows(site), strict=True)
                    if own in tried
                }
        return found

    def _windows(self, site: Site) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The sizes and the strides that are tried at a site."""
        size, stride = window_of(site)
        return self.sizes or (size, size + 1), self.strides or (stride,)

    def allowed(self, site: Site) -> tuple[str, ...]:
        """The poolings that can take the place of this one."""
        return tuple(name for name in self.poolings if name == ORIGINAL or site.kind in candidate(name).kinds)

    def _suggest(self, trial: optuna.Trial, number: int, site: Site) -> Choice:
        pool = trial.suggest_categorical(f"{number} pool", list(self.allowed(site)))
        if pool == ORIGINAL:
            return Choice(pool)
        pool = _with_parameters(trial, number, pool)
        if site.kind not in WINDOWED:
            return Choice(pool)
        sizes, strides = self._windows(site)
        return Choice(
            pool,
            trial.suggest_categorical(f"{number} size", list(sizes)),
            trial.suggest_categorical(f"{number} stride", list(strides)),
        )


def window_of(site: Site) -> tuple[int, int]:
    """The size and the stride of a site's window; of one that is not square, its longer side's."""
    size = _longest(site.settings["pool_size" if "pool_size" in site.settings else "kernel_size"])
    stride = site.settings["strides" if "strides" in site.settings else "stride"]
    return size, _longest(stride or size)


def _longest(value: Any) -> int:
    return value if isinstance(value, int) else max(value)


def ranges(name: str) -> dict[str, Range]:
    """The parameters of a pooling that are searched, and where; those that the name sets are not.

    >>> ranges("gem")
    {'p': Range(low=0.75, high=12.0, log=True)}
    >>> ranges("gem:p=3"), ranges("max")
    ({}, {})
    """
    operator = None if ":" in name else candidate(name).operator
    if operator is None:
        return {}
    found = {field: fixed for (pool, field), fixed in FIXED.items() if pool == name}
    for each in operator.parameters():
        if each.per_element:
            continue
        if math.isfinite(each.at_least) and math.isfinite(each.at_most):
            found[each.name] = Range(each.at_least, each.at_most)
        elif each.default > 0:
            low, high = max(each.default / FACTOR, each.at_least), min(each.default * FACTOR, each.at_most)
            found[each.name] = Range(low, high, log=True)
    return found


def _with_parameters(trial: optuna.Trial, number: int, name: str) -> str:
    """The pooling with what the trial chooses of its parameters, to three digits."""
    chosen = {
        field: trial.suggest_float(f"{number} {name}.{field}", each.low, each.high, log=each.log)
        for field, each in ranges(name).items()
    }
    settings = ",".join(f"{field}={value:.3g}" for field, value in chosen.items())
    return f"{name}:{settings}" if settings else name


def check_numbers(name: str, numbers: Sequence[int] | None) -> tuple[int, ...] | None:
    """Sizes or strides, each an integer from 1 to 64 and said once; None where nobody says."""
    if numbers is None:
        return None
    found = tuple(numbers)
    if not found or not all(type(number) is int and 1 <= number <= 64 for number in found):
        raise ValueError(f"{name} must be integers from 1 to 64, got {list(found)!r}")
    if len(set(found)) < len(found):
        raise ValueError(f"{name} must name each number once, got {list(found)!r}")
    return found
