"""`anypool tune`: the best pooling for every site of a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import TextColumn

from anypool.lab.callbacks import TuneCallback
from anypool.lab.data import Dataset, load
from anypool.lab.measures import MEASURES
from anypool.lab.poolings import split_names
from anypool.lab.tuning.space import POOLINGS

from .compare import SOMETHING_FAILED, choose_backend, count
from .console import console, print_table
from .errors import Failed, refusing
from .interruption import Interruption
from .options import Data, Model, Network, Pool, Shift, Weights, Where, integer, one_model, share
from .telling import Telling

if TYPE_CHECKING:
    from rich.console import Console

    from anypool.lab.tuning.outcome import Trial, Tuning
    from anypool.lab.tuning.search import Search
    from anypool.lab.tuning.space import Choice

DEFAULT_POOLINGS = ",".join(POOLINGS)


def tune(
    network: Network = None,
    model: Model = None,
    data: Data = "digits",
    pool: Pool = DEFAULT_POOLINGS,
    aims: Annotated[
        str, typer.Option("--aim", metavar="NAMES", help="What to search for: accuracy, consistency, latency, …")
    ] = "accuracy",
    trials: Annotated[int, typer.Option(parser=integer, metavar="N", help="How many trials there are to be.")] = 30,
    sizes: Annotated[
        str | None, typer.Option(metavar="K,…", help="Windows to try.", show_default="2,3; those of yours, and larger")
    ] = None,
    strides: Annotated[
        str | None, typer.Option(metavar="S,…", help="Strides to try.", show_default="1,2; those of yours")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            parser=integer,
            metavar="N",
            help="Epochs of a trial; of fine-tuning for a network of yours.",
            show_default="43,000 images: 30 of digits; none for a network of yours",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(parser=integer, metavar="N", help="Of weights, order and search.")] = 0,
    shift: Shift = None,
    where: Where = "all",
    recalibrate: Annotated[
        bool,
        typer.Option("--recalibrate/--no-recalibrate", help="Take batch normalisation's statistics anew."),
    ] = True,
    weights: Weights = None,
    jobs: Annotated[int, typer.Option(parser=integer, metavar="N", help="Trials side by side.")] = 1,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A database for many machines.", show_default="trials.db in --out"),
    ] = None,
    out: Annotated[
        str, typer.Option(metavar="DIR", help="The directory for the trials, the best network and its code.")
    ] = "anypool-tuning",
) -> None:
    """Search the best pooling, window and stride for every site of a network.

    Every trial is kept as it ends: the same command continues where it was stopped. With --storage any number of
    machines search together, each with this command. Ctrl-C stops after the batch at hand.

    For example: anypool tune --data mnist --aim accuracy,latency --trials 50 --jobs 2
    """
    choose_backend("course" if network is None else network)
    interruption = Interruption()

    def images(scale: bool) -> Dataset:
        with interruption.at_once():  # it may have to be downloaded
            return load(data, scale)

    with interruption.watching():
        with refusing():
            from anypool.lab.tuning.search import prepare
            from anypool.lab.tuning.store import StoreError

            search = prepare(
                one_model(network, model),
                images,
                split_names(pool),
                aims=[aim.strip() for aim in aims.split(",")],
                trials=trials,
                sizes=None if sizes is None else _integers("sizes", sizes),
                strides=None if strides is None else _integers("strides", strides),
                epochs=epochs,
                seed=seed,
                shift=None if shift is None else share(shift),
                where=where,
                recalibrate=recalibrate,
                weights=weights,
                jobs=jobs,
                storage=storage,
                out=out,
            )
        try:
            with OfSearch(console(), interruption) as telling:
                found = search.run(telling)
        except StoreError as error:
            raise Failed(f"{error}; trials that were told are kept") from error
        _finish(telling.console, found)
    if found.stopped:
        raise typer.Exit(interruption.exit_code)
    if found.failures or found.best is None:
        raise typer.Exit(SOMETHING_FAILED)


def _integers(name: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name} must be integers separated by commas, got {text!r}") from None


class OfSearch(Telling, TuneCallback):
    """Says on a console how a search goes, and asks the user's Ctrl-C whether it should stop."""

    def __init__(self, console: Console, interruption: Interruption) -> None:
        super().__init__(console, interruption, TextColumn("{task.completed} of {task.total}"))
        self.epochs = 0

    def on_wait(self, out: Path) -> None:
        self.say(f"Another anypool tune works in {out}; this one waits for its end")

    def on_begin(self, search: Search, finished: Sequence[Any]) -> None:
        images, epochs = search.task.data, search.task.plan.epochs
        counts = f"{len(images.x_train):,} images to train on and {len(images.x_test):,} to choose by"
        what = f"{count(len(search.sites), 'pooling')} to choose; {', '.join(search.task.aims)}"
        learning = f"{count(epochs, 'epoch')}; " if epochs else ""
        self.say(f"{images.name}: {counts}; {learning}{what}; {search.task.subject.framework}")
        if finished:
            self.say(f"{len(finished)} of {count(search.trials, 'trial')} are there already")
        self.epochs = epochs
        self.progress.start_task(self.task)
        done = min(len(finished), search.trials)
        self.progress.update(self.task, total=search.trials, completed=done, description="searching")

    def on_trial_begin(self, number: int, choices: Sequence[Choice]) -> None:
        self.describe(f"trial {number}  compiling")

    def on_epoch_end(self, number: int, epoch: int, accuracy: float) -> None:
        self.describe(f"trial {number}  epoch {epoch} of {self.epochs}  {accuracy:.1%}")

    def on_trial_end(self, trial: Trial, tuning: Tuning) -> None:
        self.progress.update(self.task, advance=1)
        chosen = ", ".join(map(str, trial.choices))
        values = "  ".join(said(aim, value) for aim, value in trial.values.items())
        after = f"after {count(len(trial.curve), 'epoch')}" if trial.state == "stopped early" else ""
        what = f"failed: {trial.reason}" if trial.reason else values
        best = "  best so far" if tuning.best is not None and tuning.best.number == trial.number else ""
        state = f"{trial.state} {after}" if after else what
        self.say(f"trial {trial.number}  {chosen}  {state}{best}")

    def on_best_begin(self, trial: Trial) -> None:
        self.describe(f"the best, trial {trial.number}, on all images")


def said(aim: str, value: float) -> str:
    """An aim's value in words.

    >>> said("accuracy", 0.981), said("ms_forward", 0.01234)
    ('accuracy 98.1%', 'ms_forward 0.0123')
    """
    return f"{aim} {_cell(aim, value)}"


def _cell(aim: str, value: float) -> str:
    unit = MEASURES[aim].unit
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:,.0f}" if unit in ("count", "bytes") else f"{value:.3g}"


# ---------------------------------------------------------------------------------------------------------------------
# What came of it


def _finish(to: Console, found: Tuning) -> None:
    def say(line: str) -> None:
        to.print(line, soft_wrap=True, highlight=False, markup=False)

    search, best = found.search, found.best
    if found.front:
        _print_front(to, found)
        if search.folder is not None:
            say(f"The report is {search.folder / 'report.html'}")
    if found.measures and best is not None:
        _print_best(to, found)
        folder = search.folder
        assert folder is not None
        say(f"The best model is {found.model_file}; {folder / 'best.json'} says what it has, and")
        say(f"{folder / 'best.py'} builds it:\n")
        say(found.code)
    if found.failures:
        say(f"{len(found.failures)} of {count(len(found.trials), 'trial')} failed")
    if not found.stopped and len(found.trials) < search.trials:
        say(f"There is nothing else to try: {count(len(found.trials), 'trial')} tried all")
    if found.stopped:
        kept = f"{len(found.trials)} of {count(search.trials, 'trial')} are kept in {_place(search)}"
        say(f"Stopped: {kept}; the same command continues")


def _place(search: Search) -> str:
    from anypool.lab.tuning.store import shown

    if search.storage is not None:
        return shown(search.storage)
    return os.path.join(search.folder or "", "trials.db")


def _print_front(to: Console, found: Tuning) -> None:
    """The trials that no other beats in every aim; of one aim it is one."""
    aims = found.search.task.aims
    by_number = {trial.number: trial for trial in found.trials}
    rows = []
    for number in found.front:
        trial = by_number[number]
        values = [_cell(aim, trial.values[aim]) for aim in aims]
        rows.append((str(number), *values, ", ".join(map(str, trial.choices))))
    title = "No trial beats these in all aims" if len(aims) > 1 else "The best trial"
    print_table(to, title, ("trial", *(MEASURES[aim].heading for aim in aims), "poolings"), rows, texts=("poolings",))


def _print_best(to: Console, found: Tuning) -> None:
    names: list[str] = [
        name for name in ("accuracy", "consistency", "fidelity", "ms_forward") if name in found.measures
    ]
    names += [aim for aim in found.search.task.aims if aim not in names and aim in found.measures]
    cells = [_cell(name, found.measures[name]) for name in names]
    assert found.best is not None
    title = f"Trial {found.best.number}, made on all images and measured on those that chose nothing"
    print_table(to, title, [MEASURES[name].heading for name in names], [cells])
