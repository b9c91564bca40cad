"""`anypool operators`: what there is to pool with."""

from __future__ import annotations

from dataclasses import fields

import anypool as ap

from .console import console, print_table


def operators() -> None:
    """List the operators: what they are called, their formulas, their settings and where they are from."""
    rows = []
    for name, kind in ap.OPERATORS.items():
        info, plain = kind.info, kind()
        settings = ", ".join(f"{field.name}={getattr(plain, field.name)}" for field in fields(plain))
        rows.append((name, info.formula, settings, info.source))
    print_table(console(), "", ("name", "formula", "settings", "source"), rows, texts=("formula", "settings", "source"))
