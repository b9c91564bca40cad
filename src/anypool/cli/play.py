"""`anypool play`: the playground, on an image of the user's."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from anypool.lab.files import check_writable, write_whole
from anypool.playground import page

from .errors import Failed, refusing


def play(
    image: Annotated[
        str | None,
        typer.Argument(metavar="[IMAGE]", help="A PNG, JPEG or .npy file.", show_default="a photograph"),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.html", help="Write the page, and open nothing.", show_default="a temporary file, opened"
        ),
    ] = None,
) -> None:
    """Open the playground: move a window over an image or a table of numbers, and see what each pooling makes of it.

    For example: anypool play photo.jpg --out playground.html
    """
    with refusing():
        target = None if out is None else _target(out, image)
        text = _page(image)
    try:
        if target is None:
            with tempfile.NamedTemporaryFile(prefix="anypool-", suffix=".html", delete=False) as temporary:
                target = Path(temporary.name)
        write_whole(target, text.encode())
    except OSError as error:
        raise Failed(f"{target or 'a temporary file'} cannot be written: {error.strerror}") from error
    print(f"The page is {target}")
    if out is None and not webbrowser.open(target.as_uri()):
        print("There is no browser to open it in; open it yourself, or say --out FILE.html")


def _page(image: str | None) -> str:
    if image is None:
        return page()
    if not image:
        raise ValueError("image must be a PNG, JPEG or .npy file, got ''")
    from anypool.lab.pictures import read_image

    return page(read_image(Path(image)), name=Path(image).name)


def _target(text: str, image: str | None) -> Path:
    target = Path(text)
    if target.suffix.lower() != ".html":
        raise ValueError(f"out must end in .html, got {text!r}")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise ValueError(f"out must be a file in a directory that exists, got {text!r}")
    if image and target.exists() and Path(image).exists() and target.samefile(image):
        raise ValueError(f"out must not be the image itself, got {text!r}")
    check_writable("out", target, target.absolute().parent)
    return target
