"""What options of several commands say."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

import typer

import anypool as ap
from anypool.lab.models import NETWORKS
from anypool.lab.networks.base import WHERE
from anypool.lab.poolings import DEFAULT, help_text

DEFAULT_POOLINGS = ",".join(DEFAULT)

Pool = Annotated[str, typer.Option(metavar="NAMES", help=help_text())]
Size = Annotated[str, typer.Option(metavar="K", help="Elements per window; an integer, or one per axis: 3,2.")]
Stride = Annotated[str | None, typer.Option(metavar="S", help="Distance between windows.", show_default="the size")]

Network = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="A network of yours: a .keras file, or package.module:function that returns a Keras or torch model.",
        show_default="the course network",
    ),
]
Model = Annotated[
    str | None, typer.Option(metavar="NAME", help=f"A network of ours, to be trained: {', '.join(NETWORKS)}.")
]
Data = Annotated[
    str,
    typer.Option(
        metavar="NAME_OR_FILE",
        help="digits, mnist, fashion_mnist, cifar10, an .npz file with x_train, y_train, x_test, y_test, "
        "or a folder with a subfolder of images per class.",
    ),
]
Shift = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="How far images are moved: a share of their shorter side, 1/14 or 0.07, or an integer of pixels.",
        show_default="1/14, at least a pixel",
    ),
]
Where = Annotated[str, typer.Option(metavar="KIND", help=f"Poolings of yours to swap: {', '.join(WHERE)}.")]
Weights = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Weights for a network of yours: .weights.h5, or .pt with a torch state."),
]


def one_model(network: str | None, model: str | None) -> str:
    """What is compared or tuned: a network of the user's, or one of ours.

    Raises:
        ValueError: both are said.
    """
    if network is not None and model is not None:
        raise ValueError(f"model must be said once, got {network!r} and --model {model!r}")
    return next((name for name in (network, model) if name is not None), "course")


def integer(text: str) -> int:
    """The integer that an argument gives."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"must be an integer, got {text!r}") from None


def share(text: str) -> float:
    """The shift that `1/14`, `0.07` or `2` gives; integers are pixels.

    >>> share("1/4"), share("2")
    (0.25, 2)
    """
    try:
        return int(text) if text.strip().lstrip("+-").isdecimal() else float(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        rule = "a share of the side, such as 1/14 or 0.07, or an integer of pixels"
        raise ValueError(f"shift must be {rule}, got {text!r}") from None


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
