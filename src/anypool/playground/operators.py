"""The operators that the page knows: what the classes say of themselves, and within which numbers a reader moves."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any

from anypool.operators import OPERATORS
from anypool.operators.order import MIDDLES


@dataclass(frozen=True)
class Range:
    """From where to where a number can be moved, and by how much at once. Integers where `step` is one."""

    low: float
    high: float
    step: float


CHOICES: dict[str, dict[str, Range | tuple[Any, ...]]] = {
    "max": {},
    "min": {},
    "average": {"count_include_pad": (False, True)},
    "sum": {},
    "median": {"mid": MIDDLES},
    "lp": {"p": Range(1.0, 8.0, 0.5)},
    "gem": {"p": Range(0.5, 10.0, 0.5)},
    "power_mean": {"p": Range(-6.0, 6.0, 0.5)},
    "geometric_mean": {},
    "harmonic_mean": {},
    "logsumexp": {"r": Range(-5.0, 5.0, 0.25)},
    "soft": {"beta": Range(-5.0, 5.0, 0.25)},
    "mixed": {"a": Range(0.0, 1.0, 0.05)},
    "avgmax": {},
    "quantile": {"q": Range(0.0, 1.0, 0.05)},
    "rank": {"k": Range(1, 9, 1)},
    "trimmed_mean": {"proportion": Range(0.0, 0.45, 0.05)},
    "topk_mean": {"k": Range(1, 9, 1)},
    "variance": {"ddof": (0, 1)},
    "std": {"ddof": (0, 1)},
    "range": {},
    "count": {},
}
"""The fields of each operator that a reader can change. The others keep their defaults."""


def definitions() -> list[dict[str, Any]]:
    """What the page is told of each operator, in what JSON has: names, formula, source and fields.

    >>> lp = next(each for each in definitions() if each["name"] == "lp")
    >>> lp["class"], lp["formula"], lp["fields"][0]["name"], lp["fields"][0]["default"]
    ('Lp', '(Σ|x|ᵖ)^(1/p)', 'p', 2.0)
    """
    return [_definition(name, choices) for name, choices in CHOICES.items()]


def _definition(name: str, choices: dict[str, Range | tuple[Any, ...]]) -> dict[str, Any]:
    kind = OPERATORS[name]
    return {
        "name": name,
        "class": kind.__name__,
        "formula": kind.info.formula,
        "source": kind.info.source,
        "needsElement": kind().needs_element,
        "fields": [
            {"name": each.name, "default": each.default} | _control(choices.get(each.name))
            for each in fields(kind)
            if each.default is not MISSING
        ],
    }


def _control(choice: Range | tuple[Any, ...] | None) -> dict[str, Any]:
    if isinstance(choice, Range):
        return {"low": choice.low, "high": choice.high, "step": choice.step}
    return {} if choice is None else {"choices": list(choice)}
