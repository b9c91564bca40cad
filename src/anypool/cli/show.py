"""`anypool show`: an image, and what each pooling keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import anypool as ap
from anypool.lab.files import check_writable, write_whole
from anypool.lab.poolings import candidates, split_names

from .console import console, print_table
from .errors import Failed, refusing
from .options import DEFAULT_POOLINGS, Pool, Size, Stride, sliding

if TYPE_CHECKING:
    from anypool.lab.pictures import Panel


def show(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A PNG, JPEG or .npy file.", show_default=False)],
    pool: Pool = DEFAULT_POOLINGS,
    size: Size = "2",
    stride: Stride = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE.png", help="The picture to write.", show_default="IMAGE-pooled.png, here"),
    ] = None,
) -> None:
    """Draw an image and each pooled version of it side by side.

    For example: anypool show photo.jpg --pool max,average --size 8
    """
    with refusing():
        chosen = _operators(split_names(pool))
        window = sliding(size, stride)
        if not image:
            raise ValueError("image must be a PNG, JPEG or .npy file, got ''")
        source = Path(image)
        text = f"{source.stem}-pooled.png" if out is None else out
        target = Path(text)
        _check_picture(text, source)
        from anypool.lab.pictures import png, pooled, read_image, side_by_side

        picture = read_image(source)
        window.output_shape(picture.shape[:2])
        panels = pooled(picture, chosen, window)
    try:
        write_whole(target, png(side_by_side(panels)))
    except OSError as error:
        raise Failed(f"{target} cannot be written: {error.strerror}") from error
    _print_panels(panels, f"Size {size}, stride {stride or size}")
    print(f"The picture is {target}")


def _operators(names: Sequence[str]) -> list[tuple[str, ap.Operator]]:
    """The operators of these names; networks alone have anything else."""
    found = [(one.name, one.operator) for one in candidates(names)]
    for name, operator in found:
        if operator is None:
            raise ValueError(f"pool must name operators, which images can be pooled with, got {name!r}")
    return [(name, operator) for name, operator in found if operator is not None]


def _check_picture(text: str, image: Path) -> None:
    target = Path(text)
    if target.suffix.lower() != ".png":
        raise ValueError(f"out must end in .png, got {text!r}")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise ValueError(f"out must be a file in a directory that exists, got {str(target)!r}")
    if target.exists() and image.exists() and target.samefile(image):
        raise ValueError(f"out must not be the image itself, got {str(target)!r}")
    check_writable("out", target, target.absolute().parent)


def _print_panels(panels: Sequence[Panel], window: str) -> None:
    rows = [(panel.title, panel.shape, panel.values.removeprefix("values ")) for panel in panels]
    print_table(console(), window, ("", "shape", "values"), rows)
