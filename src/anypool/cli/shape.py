"""`anypool shape`: output sizes, explained."""

from __future__ import annotations

from typing import Annotated

import typer

from .errors import refusing
from .options import Size, Stride, integer, sliding

EMPTY = (
    "Some windows hold nothing but padding: max, min and an average that leaves padding out refuse them, "
    "a sum and an average that counts padding give 0."
)


def shape(
    lengths: Annotated[
        list[int],
        typer.Argument(parser=integer, metavar="LENGTH...", help="The length of each pooled axis.", show_default=False),
    ],
    size: Size = "2",
    stride: Stride = None,
    padding: Annotated[
        str, typer.Option(metavar="P", help="Positions added at both ends, or valid, same, same_lower.")
    ] = "valid",
    dilation: Annotated[str, typer.Option(metavar="D", help="Distance between the elements of a window.")] = "1",
    ceil_mode: Annotated[bool, typer.Option("--ceil-mode", help="Round up: a last, partial window counts.")] = False,
) -> None:
    """Print the output size of pooling, and the arithmetic that gives it.

    For example: anypool shape 28 28 --size 2 --stride 2
    """
    from anypool.lab.shapes import explain, has_empty_window

    with refusing():
        window = sliding(size, stride, padding, dilation, ceil_mode)
        lines = explain(window, lengths)
        outputs = window.output_shape(lengths)
    print(f"{' × '.join(map(str, lengths))} → {' × '.join(map(str, outputs))}")
    for axis, line in enumerate(lines):
        print(f"axis {axis}: {line}")
    if has_empty_window(window, lengths):
        print(EMPTY)
