"""What `accelerate` reports of a model: which pooling layers it replaced, which it kept, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Acceleration:
    """The pooling layers of a model by name, with the names of what holds them: replaced, or kept for a reason.

    >>> print(Acceleration(("stem/pool",), (("head/pool", "a subclass may compute something else"),)))
    replaced 1 pooling layer: stem/pool
    kept head/pool: a subclass may compute something else
    """

    replaced: tuple[str, ...]
    kept: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        count = len(self.replaced)
        names = f": {', '.join(self.replaced)}" if count else ""
        lines = [f"replaced {count} pooling layer{'' if count == 1 else 's'}{names}"]
        return "\n".join([*lines, *(f"kept {name}: {reason}" for name, reason in self.kept)])
