"""`anypool compare`: which pooling, for these images."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import TextColumn

from anypool.lab.callbacks import Callback
from anypool.lab.clock import overhead
from anypool.lab.cluster import ClusterError
from anypool.lab.comparison import prepare
from anypool.lab.data import Dataset, load
from anypool.lab.poolings import split_names
from anypool.lab.results import ResultsError
from anypool.lab.runs import AS_GIVEN, LEARNING, TRAINED

from .console import console, print_table
from .errors import Failed, refusing
from .interruption import Interruption
from .options import DEFAULT_POOLINGS, Data, Model, Network, Pool, Shift, Weights, Where, integer, one_model, share
from .telling import Telling

if TYPE_CHECKING:
    from rich.console import Console

    from anypool.lab.comparison import Comparison
    from anypool.lab.runs import Failure, Run, RunKey
    from anypool.lab.summary import Row

SOMETHING_FAILED = 1
KERAS_DEFAULTS = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_last"}
"""What `import keras` writes to keras.json by itself: nobody's choice."""


def compare(
    network: Network = None,
    model: Model = None,
    data: Data = "digits",
    pool: Pool = DEFAULT_POOLINGS,
    epochs: Annotated[
        int | None,
        typer.Option(
            parser=integer,
            metavar="N",
            help="Epochs of training; of fine-tuning for a network of yours.",
            show_default="43,000 images: 30 of digits; none for a network of yours",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(parser=integer, metavar="N", help="Training runs per pooling.")] = 3,
    invert: Annotated[bool, typer.Option("--invert", help="Train on images with dark and light swapped too.")] = False,
    shift: Shift = None,
    where: Where = "all",
    recalibrate: Annotated[
        bool,
        typer.Option("--recalibrate/--no-recalibrate", help="Also measure with batch normalisation's statistics anew."),
    ] = True,
    weights: Weights = None,
    out: Annotated[
        str, typer.Option(metavar="DIR", help="The directory for results.json, results.csv and report.html.")
    ] = "anypool-report",
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="A Dask scheduler that makes the runs.", show_default="they are made here"
        ),
    ] = None,
) -> None:
    """Say what each pooling gains and costs, in a network of ours that is trained or in one of yours.

    A network of ours is trained once per pooling and seed. In yours each pooling takes the place of its own: swapped
    and nothing else, with batch normalisation recalibrated, and fine-tuned for N epochs.

    Every run is kept in results.json as it ends: the same command continues where it was stopped. Ctrl-C stops after
    the batch at hand.
    """
    choose_backend("course" if network is None else network)
    interruption = Interruption()

    def images(scale: bool) -> Dataset:
        with interruption.at_once():  # it may have to be downloaded
            return load(data, scale)

    with interruption.watching():
        with refusing():
            comparison = prepare(
                one_model(network, model),
                images,
                poolings=split_names(pool),
                epochs=epochs,
                seeds=seeds,
                invert=invert,
                shift=None if shift is None else share(shift),
                where=where,
                recalibrate=recalibrate,
                weights=weights,
                out=out,
                cluster=cluster,
            )
        try:
            with OfComparison(console(), interruption) as telling:
                comparison.run(telling)
            _finish(telling.console, comparison)
        except (ResultsError, ClusterError) as error:
            raise Failed(f"{error}; {_kept(comparison)}") from error
    if comparison.stopped:
        raise typer.Exit(interruption.exit_code)
    if comparison.failures:
        raise typer.Exit(SOMETHING_FAILED)


def choose_backend(model: str = "course") -> None:
    """Choose Keras's backend where the user chose none: no KERAS_BACKEND, no keras.json but the one Keras writes.

    JAX trains small networks fastest. TensorFlow, where it is installed, predicts by large ones many times faster, and
    so it is for networks in files.
    """
    if os.environ.get("KERAS_BACKEND"):
        return
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        configured = json.loads((folder / "keras.json").read_text())
    except (OSError, ValueError):
        configured = KERAS_DEFAULTS
    if configured == KERAS_DEFAULTS or "backend" not in configured:
        in_file = model.endswith(".keras") and find_spec("tensorflow") is not None
        os.environ["KERAS_BACKEND"] = "tensorflow" if in_file else "jax"


class OfComparison(Telling, Callback):
    """Says on a console how a comparison goes, and asks the user's Ctrl-C whether it should stop."""

    def __init__(self, console: Console, interruption: Interruption) -> None:
        super().__init__(console, interruption, TextColumn("{task.percentage:.0f} %"))
        self.steps_before = 0

    def on_wait(self, out: Path) -> None:
        self.say(f"Another anypool compare works in {out}; this one waits for its end")

    def on_begin(self, comparison: Comparison, missing: Sequence[RunKey]) -> None:
        images, settings = comparison.data, comparison.settings
        counts = f"{len(images.x_train):,} images to train on and {len(images.x_test):,} to test on"
        moves = f"moves of up to {count(settings['max_shift'], 'pixel')} of {min(images.input_shape[:2])}"
        epochs = f"{count(settings['epochs'], 'epoch')}; " if settings["epochs"] else ""
        self.say(f"{images.name}: {counts}; {epochs}{moves}; {comparison.subject.framework}")
        if images.untested:
            self.say(f"Classes without a test image: {', '.join(images.untested)}")
        planned = len(comparison.keys)
        if len(missing) < planned:
            there = f"{planned - len(missing)} of {count(planned, 'run')}"
            self.say(f"{there} are there already, in {comparison.results.path}")
        self.epochs = settings["epochs"]
        self.progress.start_task(self.task)
        self.progress.update(self.task, total=self._steps(missing))

    def on_run_begin(self, key: RunKey) -> None:
        self.describe(f"{_label(key)}  compiling")

    def on_epoch_end(self, key: RunKey, epoch: int, accuracy: float) -> None:
        done = self.steps_before + epoch
        said = f"{_label(key)}  epoch {epoch} of {self.epochs}  {accuracy:.1%}"
        self.progress.update(self.task, completed=done, description=said)

    def _steps(self, keys: Sequence[RunKey]) -> int:
        """How much there is to do, an epoch being a step and so being a run without any."""
        return sum(max(1, self.epochs) if key.stage in LEARNING else 1 for key in keys)

    def on_run_end(self, run: Run) -> None:
        self.steps_before += self._steps([run.key])
        self.progress.update(self.task, completed=self.steps_before)
        measures = run.measures
        self.say(f"{_label(run.key)}  accuracy {measures['accuracy']:.1%}  consistency {measures['consistency']:.1%}")

    def on_failure(self, failure: Failure) -> None:
        self.steps_before += self._steps([failure.key])
        self.say(f"{_label(failure.key)}  failed: {failure.reason}")


def _label(key: RunKey) -> str:
    polarity = f"  {key.polarity}" if key.polarity != AS_GIVEN else ""
    return f"{key.pool}  seed {key.seed}{polarity}" + (f"  {key.stage}" if key.stage != TRAINED else "")


def count(number: int, thing: str) -> str:
    """How many there are of something: 1 epoch, 2 epochs.

    >>> count(1, "epoch"), count(1200, "run")
    ('1 epoch', '1,200 runs')
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _kept(comparison: Comparison) -> str:
    return f"{len(comparison.runs)} of {len(comparison.keys)} runs are kept in {comparison.results.path}"


# ---------------------------------------------------------------------------------------------------------------------
# What came of it


def _finish(to: Console, comparison: Comparison) -> None:
    """Write the report, print the table, and say what is where and what failed."""
    if comparison.runs:
        _print_summary(to, comparison)
        share = overhead(comparison.runs)
        if share is not None:
            spent = sum(run.seconds.get("total", 0.0) for run in comparison.runs)
            to.print(f"The runs took {spent:,.0f} s, {1 - share:.0%} of it training and predicting", highlight=False)
        said = f"The report is {comparison.write_report()}, the runs are in {comparison.results.path}"
        to.print(said, soft_wrap=True, highlight=False, markup=False)
    if comparison.failures:
        said = (
            f"{len(comparison.failures)} of {count(len(comparison.keys), 'run')} failed; the same command tries again"
        )
        to.print(said, soft_wrap=True, highlight=False)
    if comparison.stopped:
        to.print(f"Stopped: {_kept(comparison)}; the same command continues", soft_wrap=True, highlight=False)


def _print_summary(to: Console, comparison: Comparison) -> None:
    """A table per polarity and stage; where there are several stages, first one of what each does to the accuracy."""
    from anypool.lab.summary import summarise

    rows = summarise(comparison.runs)
    for polarity in dict.fromkeys(row.polarity for row in rows):
        mine = [row for row in rows if row.polarity == polarity]
        stages = list(dict.fromkeys(row.stage for row in mine))
        if len(stages) > 1:
            _print_stages(to, f"Images {polarity}, test accuracy", stages, mine)
        for stage in stages:
            title = f"Images {polarity}" if stage == TRAINED else f"Images {polarity}, {stage}"
            _print_rows(to, title, [row for row in mine if row.stage == stage], comparison.settings["test_images"])


def _print_stages(to: Console, title: str, stages: Sequence[str], rows: Sequence[Row]) -> None:
    from anypool.lab.tables import with_spread

    found = {(row.pool, row.stage): with_spread(row.accuracy) for row in rows}
    pools = dict.fromkeys(row.pool for row in rows)
    cells = [(pool, *(found.get((pool, stage), "—") for stage in stages)) for pool in pools]
    print_table(to, title, ("pooling", *stages), cells)


def _print_rows(to: Console, title: str, rows: Sequence[Row], images: int) -> None:
    from anypool.lab.summary import accuracy_interval, verdicts
    from anypool.lab.tables import percent, seconds, with_spread

    columns: dict[str, list[str]] = {"pooling": [row.pool for row in rows]}
    intervals = [accuracy_interval(row.accuracy, images) for row in rows]
    columns["test accuracy"] = [
        f"{with_spread(row.accuracy)}\n{percent(low)} to {percent(high)}\n{verdict}"
        for row, (low, high), verdict in zip(rows, intervals, verdicts(rows, images), strict=True)
    ]
    for heading, name in (("shift\nconsistency", "consistency"), ("fidelity", "fidelity")):
        columns[heading] = [with_spread(row.measures[name]) for row in rows]
    if any(row.layers for row in rows):
        columns["values kept\nper image"] = [
            "\n".join(f"{layer.values_in:,} → {layer.values_out:,}" for layer in row.layers) for row in rows
        ]
    columns["parameters"] = [f"{row.parameters:,}" for row in rows]
    if any(row.seconds for row in rows):
        columns["seconds\nper epoch"] = [seconds(row.seconds) for row in rows]
    print_table(to, title, list(columns), list(zip(*columns.values(), strict=True)))
