"""The command line: `anypool compare`, `anypool show` and `anypool shape`.

Wrong input is one line on stderr and exit code 2, before any work.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

try:
    import rich.box
    import typer
    from rich.console import Console
    from typer.exceptions import TyperException
except ImportError as missing:
    print(f"anypool: the command line needs {missing.name!r}: pip install 'anypool[lab]'", file=sys.stderr)
    raise SystemExit(2) from missing

import anypool as ap
from anypool.lab.files import check_writable, write_whole
from anypool.lab.poolings import POOLINGS, check_names

if TYPE_CHECKING:
    from anypool.lab.compare import Results, Run
    from anypool.lab.data import Dataset
    from anypool.lab.pictures import Panel

HEADINGS = (
    "test accuracy",
    "shift\nconsistency",
    "fidelity",
    "values kept\nper image",
    "parameters\nafter",
    "seconds\nper epoch",
)
REFUSED = 2
INTERRUPTED = 130
KERAS_DEFAULTS = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_last"}
"""What `import keras` writes to keras.json by itself: nobody's choice."""

app = typer.Typer(name="anypool", rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False)
ALL = ",".join(POOLINGS)

# Options that several commands share.
Pool = Annotated[str, typer.Option(metavar="NAMES", help=f"Poolings, separated by commas, of {ALL}.")]
Size = Annotated[str, typer.Option(metavar="K", help="Elements per window; an integer, or one per axis: 3,2.")]
Stride = Annotated[str | None, typer.Option(metavar="S", help="Distance between windows.", show_default="the size")]


class Refused(Exception):
    """Wrong input; the message names the argument, the value and the rule."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 when done, 2 for wrong input, 130 when interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        code = app(given, prog_name="anypool", standalone_mode=False)
    except (Refused, TyperException) as error:
        said = error.format_message() if isinstance(error, TyperException) else str(error)
        print("anypool:", " ".join(said.split()), file=sys.stderr)
        raise SystemExit(REFUSED) from error
    raise SystemExit(code or 0)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what the checks inside raise into `Refused`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise Refused(f"this command needs {error.name!r}: pip install 'anypool[lab]'") from error
    except (ValueError, TypeError, OSError) as error:
        raise Refused(str(error).replace("kernel_size", "size")) from error


def _version(wanted: bool) -> None:
    if wanted:
        print(f"anypool {ap.__version__}")
        raise typer.Exit


@app.callback()
def anypool(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Pooling: every way to keep one number per window. See it, measure it, choose."""


# ---------------------------------------------------------------------------------------------------------------------
# compare


@app.command()
def compare(
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME_OR_FILE",
            help="digits, mnist, fashion_mnist, cifar10, or an .npz file with x_train, y_train, x_test, y_test.",
        ),
    ] = "digits",
    pool: Pool = ALL,
    epochs: Annotated[
        int | None,
        typer.Option(
            parser=_whole, metavar="N", help="Epochs of training.", show_default="43,000 images: 30 of digits"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(parser=_whole, metavar="N", help="Training runs per pooling.")] = 3,
    invert: Annotated[bool, typer.Option("--invert", help="Train on images with dark and light swapped too.")] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The directory for results.json and report.html.")] = Path(
        "anypool-report"
    ),
) -> None:
    """Train a small network once per pooling and seed, and say what each pooling gains and costs.

    Every run is kept in results.json as it ends: the same command continues where it was stopped.
    """
    from anypool.lab.compare import MOST_EPOCHS, Results, check_count, default_epochs, plan_runs, settings_for
    from anypool.lab.data import load

    choose_backend()
    with refusing():
        keys = plan_runs(_names(pool), seeds, invert)
        if epochs is not None:
            check_count("epochs", epochs, MOST_EPOCHS)
        _check_directory(out)
        images = load(data)
        chosen = default_epochs(images) if epochs is None else epochs
        results = Results(out / "results.json", settings_for(images, chosen))
        out.mkdir(parents=True, exist_ok=True)
    console = _console()
    count = f"{len(images.x_train):,} images to train on and {len(images.x_test):,} to test on"
    console.print(f"[bold]{images.name}[/bold]: {count}; {chosen} epochs; Keras on {results.settings['backend']}")
    stopped = False
    try:
        _train_missing(console, images, keys, chosen, results)
    except KeyboardInterrupt:
        stopped = True
    runs = results.chosen(keys)
    if runs:
        _write_report(console, images, runs, results)
    if stopped:
        kept = f"{len(runs)} of {len(keys)} runs are kept in {results.path}"
        console.print(f"Stopped: {kept}; the same command continues", soft_wrap=True)
        raise typer.Exit(INTERRUPTED)


def choose_backend() -> None:
    """Let Keras use JAX where the user chose nothing: no KERAS_BACKEND, no keras.json but the one Keras writes."""
    if os.environ.get("KERAS_BACKEND"):
        return
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        configured = json.loads((folder / "keras.json").read_text())
    except (OSError, ValueError):
        configured = KERAS_DEFAULTS
    if configured == KERAS_DEFAULTS or "backend" not in configured:
        os.environ["KERAS_BACKEND"] = "jax"


def _check_directory(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f"out must be a directory, got {str(out)!r}, which is a file")
    nearest = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    check_writable("out", out, nearest)


def _train_missing(
    console: Console, data: Dataset, keys: Sequence[tuple[int, str, str]], epochs: int, results: Results
) -> None:
    from dataclasses import replace

    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    from anypool.lab.compare import AS_GIVEN, INVERTED, train

    by_polarity = {AS_GIVEN: data}
    if any(polarity == INVERTED for _, polarity, _ in keys):
        by_polarity[INVERTED] = data.inverted()
    missing = [key for key in keys if key not in results.runs]
    if len(missing) < len(keys):
        console.print(f"{len(keys) - len(missing)} of {len(keys)} runs are there already, in {results.path}")
    share = TextColumn("{task.percentage:.0f} %")
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), share, TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(missing) * epochs)
        for done, (seed, polarity, pool) in enumerate(missing):
            label = f"{pool:<{max(map(len, POOLINGS))}}  seed {seed}  {polarity}"

            def on_epoch(epoch: int, accuracy: float, done: int = done, label: str = label) -> None:
                said = f"{label}  epoch {epoch} of {epochs}  {accuracy:.1%}"
                progress.update(task, completed=done * epochs + epoch, description=said)

            progress.update(task, description=f"{label}  compiling")
            run = replace(train(by_polarity[polarity], pool, seed, epochs, on_epoch), polarity=polarity)
            results.add(run)
            said = f"{label}  accuracy {run.accuracy:.1%}  consistency {run.consistency:.1%}"
            progress.console.print(said, highlight=False)


def _write_report(console: Console, data: Dataset, runs: Sequence[Run], results: Results) -> None:
    from anypool.lab.report import render

    report = results.path.with_name("report.html")
    write_whole(report, render(results.settings, runs, data).encode())
    _print_summary(console, runs)
    console.print(f"The report is {report}, the runs are in {results.path}", soft_wrap=True, highlight=False)


def _print_summary(console: Console, runs: Sequence[Run]) -> None:
    from rich.table import Table

    from anypool.lab.report import seconds, with_spread
    from anypool.lab.summary import best, summarise, verdict

    rows = summarise(runs)
    for polarity in dict.fromkeys(row.polarity for row in rows):
        mine = [row for row in rows if row.polarity == polarity]
        table = Table(title=f"Images {polarity}", title_justify="left", box=rich.box.SIMPLE_HEAD, padding=(0, 1))
        table.add_column("pooling")
        for heading in HEADINGS:
            table.add_column(heading, justify="right")
        for row in mine:
            table.add_row(
                row.pool,
                f"{with_spread(row.accuracy)}\n[dim]{verdict(row, best(mine))}[/dim]",
                with_spread(row.consistency),
                with_spread(row.fidelity),
                "\n".join(f"{layer.values_in:,} → {layer.values_out:,}" for layer in row.layers),
                "\n".join(f"{layer.parameters_after:,}" for layer in row.layers),
                seconds(row.seconds),
            )
        console.print(table)


# ---------------------------------------------------------------------------------------------------------------------
# show


@app.command()
def show(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A PNG, JPEG or .npy file.", show_default=False)],
    pool: Pool = ALL,
    size: Size = "2",
    stride: Stride = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="The picture to write.", show_default="IMAGE-pooled.png, here"),
    ] = None,
) -> None:
    """Draw an image and each pooled version of it side by side.

    For example: anypool show photo.jpg --pool max,average --size 8
    """
    with refusing():
        names = check_names(_names(pool))
        window = _window(size, stride)
        target = Path(f"{image.stem}-pooled.png") if out is None else out
        _check_picture(target, image)
        from anypool.lab.pictures import png, pooled, read_image, side_by_side

        picture = read_image(image)
        window.output_shape(picture.shape[:2])
    panels = pooled(picture, names, window)
    write_whole(target, png(side_by_side(panels)))
    _print_panels(panels, f"size {size}, stride {stride or size}")
    print(f"The picture is {target}")


def _check_picture(target: Path, image: Path) -> None:
    if target.suffix.lower() != ".png":
        raise ValueError(f"out must end in .png, got {str(target)!r}")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise ValueError(f"out must be a file in a directory that exists, got {str(target)!r}")
    if target.exists() and image.exists() and target.samefile(image):
        raise ValueError(f"out must not be the image itself, got {str(target)!r}")
    check_writable("out", target, target.absolute().parent)


def _print_panels(panels: Sequence[Panel], window: str) -> None:
    from rich.table import Table

    table = Table("", "shape", "values", box=rich.box.SIMPLE_HEAD, caption=window, caption_justify="left")
    for panel in panels:
        table.add_row(panel.title, panel.shape, panel.values.removeprefix("values "))
    _console().print(table)


# ---------------------------------------------------------------------------------------------------------------------
# shape


@app.command()
def shape(
    lengths: Annotated[
        list[int],
        typer.Argument(parser=_whole, metavar="LENGTH...", help="The length of each pooled axis.", show_default=False),
    ],
    size: Size = "2",
    stride: Stride = None,
    padding: Annotated[str, typer.Option(help="Positions added at both ends, or valid, same, same_lower.")] = "valid",
    dilation: Annotated[str, typer.Option(help="Distance between the elements of a window.")] = "1",
    ceil_mode: Annotated[bool, typer.Option("--ceil-mode", help="Round up: a last, partial window counts.")] = False,
) -> None:
    """Print the output size of pooling, and the arithmetic that gives it.

    For example: anypool shape 28 28 --size 2 --stride 2
    """
    from anypool.lab.shapes import explain

    with refusing():
        window = _window(size, stride, padding, dilation, ceil_mode)
        lines = explain(window, lengths)
        outputs = window.output_shape(lengths)
    print(f"{' × '.join(map(str, lengths))} → {' × '.join(map(str, outputs))}")
    for axis, line in enumerate(lines):
        print(f"axis {axis}: {line}")


# ---------------------------------------------------------------------------------------------------------------------
# What arguments say, and where tables go


def _names(pool: str) -> list[str]:
    return [name.strip() for name in pool.split(",")] if pool.strip() else []


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"must be an integer, got {text!r}") from None


def _window(
    size: str, stride: str | None, padding: str = "valid", dilation: str = "1", ceil_mode: bool = False
) -> ap.Sliding:
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


def _console() -> Console:
    """Where tables go: as wide as the terminal, and wide enough where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=110)
