"""What options of several commands say."""

from __future__ import annotations

from typing import Annotated

import typer

import anypool as ap
from anypool.lab.poolings import DEFAULT, help_text

DEFAULT_POOLINGS = ",".join(DEFAULT)

Pool = Annotated[str, typer.Option(metavar="NAMES", help=help_text())]
Size = Annotated[str, typer.Option(metavar="K", help="Elements per window; an integer, or one per axis: 3,2.")]
Stride = Annotated[str | None, typer.Option(metavar="S", help="Distance between windows.", show_default="the size")]


def integer(text: str) -> int:
    """The integer that an argument gives."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"must be an integer, got {text!r}") from None


def sliding(
    size: str, stride: str | None, padding: str = "valid", dilation: str = "1", ceil_mode: bool = False
) -> ap.Sliding:
    """The window that options give.

    Raises:
        ValueError: they give none.
    """
    return ap.Sliding(
        _integers("size", size),
        None if stride is None else _integers("stride", stride),
        _integers("padding", padding) if padding[:1] in "-0123456789" else padding,
        _integers("dilation", dilation),
        ceil_mode,
    )


def _integers(name: str, text: str) -> int | tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{name} must be an integer, or one per axis separated by commas, got {text!r}") from None
    return numbers[0] if len(numbers) == 1 else numbers
