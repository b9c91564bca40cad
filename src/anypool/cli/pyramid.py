"""`anypool pyramid`: the levels of an image pyramid, beside level 0 or elsewhere."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import anypool as ap
from anypool.pyramids import IncompletePyramid, Pyramid

from .console import console
from .errors import Failed, Refused, refusing

EVERY = 10.0
"""Seconds between lines of progress, where there is no terminal."""


def pyramid(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="An OME-Zarr image, a zarr group with one array, or a GeoTIFF.", show_default=False
        ),
    ],
    destination: Annotated[
        str | None,
        typer.Argument(
            metavar="[OUT]",
            help="A new group with a copy of level 0 and the levels; of a GeoTIFF the cloud-optimized GeoTIFF.",
            show_default="the levels are added beside level 0",
        ),
    ] = None,
    operator: Annotated[
        str, typer.Option(metavar="NAME", help="mean, mode, median, min, max or sum; labels get mode for mean.")
    ] = "mean",
    factors: Annotated[
        str,
        typer.Option(metavar="F", help="From level to level: an integer, one per axis (1,2,2), or isotropic."),
    ] = "2",
    levels: Annotated[str, typer.Option(metavar="N", help="How many after level 0, or auto.")] = "auto",
    memory: Annotated[str, typer.Option(metavar="BYTES", help="For all threads together: 2GB, 512MiB.")] = "2GB",
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on where the same command was stopped, or begin again.")
    ] = True,
    part: Annotated[
        str | None, typer.Option(metavar="I/N", help="The I-th of N shares; each may run on a machine of its own.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A dask.distributed scheduler, whose workers compute.")
    ] = None,
    ome: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Of OME-Zarr: 0.5 or 0.4.", show_default="the source's, or 0.5"),
    ] = None,
    nodata: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE", help="Of pixels that do not count: a number or nan.", show_default="a GeoTIFF's own"
        ),
    ] = None,
    axes: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Of an array whose metadata do not say: letters of tczyx.")
    ] = None,
) -> None:
    """Make the levels of an image pyramid, each of them exactly the pooling of level 0.

    For example: anypool pyramid image.zarr --operator mean --levels 5
    """
    printer = console()
    with refusing():
        settings = {
            "factors": _factors(factors),
            "levels": levels if levels == "auto" else _number("levels", levels, int),
            "nodata": None if nodata is None else _number("nodata", nodata, _integer_or_float),
        }
    with Telling(printer) as telling:
        try:
            with refusing():
                made = ap.pyramid(
                    source, destination, operator, memory=memory, resume=resume, client=cluster, part=part, ome=ome,
                    axes=axes, progress=telling.on_progress, **settings,
                )  # fmt: skip
        except IncompletePyramid as error:
            raise Failed(str(error)) from error
        except ImportError as error:
            raise Refused(str(error)) from error
    _print(made, printer)


def _number(name: str, text: str, kind: Any) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {text!r}") from None


def _integer_or_float(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _factors(text: str) -> Any:
    if text == "isotropic":
        return text
    numbers = tuple(_number("factors", each, int) for each in text.split(","))
    return numbers[0] if len(numbers) == 1 else numbers


class Telling:
    """Shows what is done and what remains: a bar on a terminal, else a line now and then."""

    def __init__(self, printer: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.printer = printer
        self.progress = Progress(*columns, console=printer, transient=True, disable=not printer.is_terminal)
        self.task = self.progress.add_task("", total=None)
        self.said = time.monotonic()

    def __enter__(self) -> Telling:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def on_progress(self, done: int, total: int, what: str) -> None:
        self.progress.update(self.task, description=what, completed=done, total=total)
        now = time.monotonic()
        if not self.printer.is_terminal and now - self.said >= EVERY:
            self.said = now
            _say(self.printer, f"{done} of {total} {what}")


def _print(made: Pyramid, printer: Console) -> None:
    for note in made.notes:
        _say(printer, f"{made.operator}: {note}")
    for level in made.levels:
        _say(printer, f"level {level.number}: {' × '.join(map(str, level.shape))}")
    there = "complete" if made.complete else "not complete: other parts remain"
    _say(printer, f"{made.location}: {made.computed} of {made.blocks} superblocks computed now; {there}")


def _say(printer: Console, said: str) -> None:
    printer.print(said, highlight=False, markup=False, soft_wrap=True)
