"""One comparison: a run per pooling and seed, kept as each ends, so that nothing is trained twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import data as datasets
from .callbacks import Callback, Stopped, check_stop
from .clock import timed
from .data import Dataset
from .examples import Examples
from .files import check_writable
from .measures.shifts import pixels_of_shift
from .networks.base import BATCH_SIZE
from .poolings import DEFAULT, candidates
from .results import Results, ResultsError, read_settings, records
from .runs import POLARITIES, Failure, Run, RunKey
from .shown import FOLDER
from .subjects import Job, Plan, Subject, find_subject

if TYPE_CHECKING:
    import pandas

IMAGES_SHOWN = 43_000
"""By default training shows the network about this many images: 30 epochs of the digits, 2 of a large set."""

Data = str | Dataset | Callable[[bool], Dataset]

MOST_EPOCHS, MOST_SEEDS = 100_000, 1000
MOST_CHARACTERS = 300
"""Of the reason of a failure; what frameworks say can be pages long."""


def compare(
    model: Any = "course",
    data: Data = "digits",
    poolings: Iterable[str] = DEFAULT,
    *,
    epochs: int | None = None,
    seeds: int = 3,
    invert: bool = False,
    shift: float | None = None,
    where: str = "all",
    recalibrate: bool = True,
    weights: str | Path | None = None,
    out: str | Path | None = None,
    cluster: str | None = None,
    callback: Callback | None = None,
) -> Comparison:
    """Measure what each pooling gains and costs in a network, on these images.

    A network of ours is trained with each pooling. In a network of yours each pooling takes the place of those that are
    there, and is measured in stages: swapped and nothing else, with the statistics of batch normalisation taken anew,
    and fine-tuned for `epochs` from there.

    Args:
        model: `course`, `vgg-small`, `resnet-small` or `all-conv`; or a .keras file, package.module:function, which
            returns a Keras or a torch model, or such a model itself.
        data: a name or file that `load` takes, or a `Dataset`, for which `from_arrays` takes arrays, or a function that
            gives one, called with whether to scale images to 0 and 1, when all other arguments are checked. Networks of
            ours take scaled images, yours take them as they come.
        poolings: their names; `strided` is a convolution with the pooling's window and stride.
        epochs: of training; by default as many as show a network of ours about 43,000 images, none for one of yours.
        seeds: how many runs per pooling, where there is training.
        invert: make the runs again on images with dark and light swapped.
        shift: how far images are moved: a share of their shorter side, by default 1/14 and at least one pixel; an
            integer is pixels.
        where: which pooling layers of a network of yours are swapped: `all`, `sliding` or `global`.
        recalibrate: measure a network of yours with the statistics of batch normalisation taken anew, too, and
            fine-tune it from there.
        weights: a file of weights for a network of yours.
        out: a directory for results.json, in which runs are kept as they end and found again, results.csv and
            report.html; by default none.
        cluster: the address of a Dask scheduler, such as tcp://host:8786, whose workers make the runs; by default they
            are made here.
        callback: is told how it goes, and may stop it.

    Returns:
        The comparison, with its `runs`, its `failures` and `to_frame()`.

    Raises:
        ValueError, TypeError: an argument breaks a rule; before any work. ResultsError: a run could not be written.
        ClusterError: the cluster does not answer any more. ModuleNotFoundError: distributed is not installed.
    """
    comparison = prepare(
        model,
        data,
        poolings,
        epochs=epochs,
        seeds=seeds,
        invert=invert,
        shift=shift,
        where=where,
        recalibrate=recalibrate,
        weights=weights,
        out=out,
        cluster=cluster,
    )
    comparison.run(callback)
    if out is not None and comparison.runs:
        comparison.write_report()
    return comparison


def prepare(
    model: Any = "course",
    data: Data = "digits",
    poolings: Iterable[str] = DEFAULT,
    *,
    epochs: int | None = None,
    seeds: int = 3,
    invert: bool = False,
    shift: float | None = None,
    where: str = "all",
    recalibrate: bool = True,
    weights: str | Path | None = None,
    out: str | Path | None = None,
    cluster: str | None = None,
) -> Comparison:
    """The comparison that `compare` would make, checked and not yet run."""
    names = [candidate.name for candidate in candidates(tuple(poolings))]
    check_count("seeds", seeds, MOST_SEEDS)
    if epochs is not None:
        check_count("epochs", epochs, MOST_EPOCHS)
    path = None if out is None else results_path(out)
    subject = find_subject(model, weights, where)
    if isinstance(data, Dataset):
        images = data
    else:
        images = datasets.load(data, subject.trained) if isinstance(data, str) else data(subject.trained)
    subject.check(images)
    plan = _plan(subject, images, epochs, shift, recalibrate, None if path is None else read_settings(path))
    keys = [
        RunKey(seed, polarity, name, stage)
        for seed in range(seeds)
        for polarity in (POLARITIES if invert else POLARITIES[:1])
        for name in subject.poolings(names)
        for stage in subject.stages(seed, plan)
    ]
    results = Results(path, settings_for(subject, images, plan))
    if cluster is not None:
        from .cluster import connected

        with connected(cluster):
            pass  # somebody answers
    return Comparison(subject, images, plan, keys, results, cluster)


def _plan(
    subject: Subject,
    data: Dataset,
    epochs: int | None,
    shift: float | None,
    recalibrate: bool,
    earlier: dict[str, Any] | None,
) -> Plan:
    if shift is None and earlier is not None and "max_shift" in earlier:
        shift = earlier["max_shift"]  # what nobody says goes on as it was
    if epochs is None:
        epochs = default_epochs(data) if subject.trained else 0
    pixels = pixels_of_shift(shift, data.input_shape[:2])
    return Plan(epochs, pixels, subject.draws, subject.moved_images, recalibrate)


@dataclass
class Comparison:
    """What is compared on what, and what came of it."""

    subject: Subject
    data: Dataset
    plan: Plan
    keys: Sequence[RunKey]
    """Of every run. Poolings take turns within a seed: what slows the machine slows them all."""
    results: Results
    cluster: str | None = None
    """The address of a Dask scheduler, where runs are made elsewhere."""
    stopped: bool = False
    """Whether a callback ended the comparison before all runs were done."""

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what a run measures but its key; only runs with the same are compared."""
        return self.results.settings

    @property
    def runs(self) -> list[Run]:
        """The runs that are done."""
        return self.results.chosen(self.keys)

    @property
    def failures(self) -> list[Failure]:
        """Why the runs that failed did."""
        return [self.results.failures[key] for key in self.keys if key in self.results.failures]

    def run(self, callback: Callback | None = None) -> None:
        """Make the runs that are not there yet; those that failed are tried again.

        Raises:
            OSError: a run could not be written. ValueError: results.json was changed to something else meanwhile.
        """
        callback = callback or Callback()
        path = self.results.path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

        def on_wait() -> None:
            if path is not None:
                callback.on_wait(path.parent)

        with self.results.working(on_wait, callback.should_stop) as mine:
            self.stopped = not mine
            if not mine:
                return
            missing = [key for key in self.keys if key not in self.results.runs]
            callback.on_begin(self, missing)
            try:
                self._run(missing, callback)
            except Stopped:
                self.stopped = True

    def _run(self, missing: Sequence[RunKey], callback: Callback) -> None:
        jobs: dict[Job, list[RunKey]] = {}
        for key in missing:
            jobs.setdefault(Job(key.seed, key.polarity, key.pool), []).append(key)
        if self.cluster is None:
            self._run_here(jobs, callback)
        elif jobs:
            self._run_there(jobs, callback)

    def _run_there(self, jobs: dict[Job, list[RunKey]], callback: Callback) -> None:
        from . import cluster

        assert self.cluster is not None
        parcel = cluster.Parcel.of(self.subject, self.data, self.plan)
        with (
            cluster.connected(self.cluster) as client,
            closing(cluster.run_jobs(client, parcel, jobs, callback)) as outcomes,
        ):
            for job, outcome in outcomes:
                for run in outcome.runs:
                    self._keep(run, callback)
                if outcome.reason is not None:
                    self._keep_reason(jobs[job], outcome.reason, callback)

    def _keep(self, run: Run, callback: Callback) -> None:
        """Write a run's pictures, then the run, which is there only when all of it is.

        Raises:
            ResultsError: something cannot be written.
        """
        if run.shown is not None and self.results.path is not None:
            try:
                run.shown.save(self.results.path.parent / FOLDER)
            except OSError as error:
                raise ResultsError(f"{error.filename} cannot be written: {error.strerror}") from error
        self.results.add(run)
        callback.on_run_end(run)

    def _keep_reason(self, keys: Sequence[RunKey], reason: str, callback: Callback) -> None:
        for key in keys:
            if key not in self.results.runs:
                failure = Failure(key, reason)
                self.results.add_failure(failure)
                callback.on_failure(failure)

    def _run_here(self, jobs: dict[Job, list[RunKey]], callback: Callback) -> None:
        data = {POLARITIES[0]: self.data}
        for job, keys in jobs.items():
            check_stop(callback.should_stop)
            if job.polarity not in data:
                data[job.polarity] = self.data.inverted()
            callback.on_run_begin(keys[0])
            try:
                for run in timed(self.subject.measure(job, data[job.polarity], self.plan, callback)):
                    if run.key in keys:
                        self._keep(run, callback)
            except (Stopped, ResultsError):
                raise
            except Exception as error:  # whatever a model raises, the other poolings can be measured
                self._keep_reason(keys, one_line(error), callback)

    def write_report(self) -> Path:
        """Write results.csv and report.html beside results.json; gives the path of the page.

        Raises:
            ValueError: there is no directory, or no run to report on. OSError: a file cannot be written.
        """
        from .report import write_report

        if self.results.path is None:
            raise ValueError("out must have been given, to say where the report goes")
        examples = Examples.of(self.data)
        return write_report(self.results.path.parent, self.settings, self.runs, self.failures, examples)

    def to_frame(self) -> pandas.DataFrame:
        """The runs as a pandas DataFrame: one row per run, the measures as columns."""
        import pandas

        return pandas.DataFrame.from_records(records(self.runs))


def default_epochs(data: Dataset) -> int:
    """As many as show the network about 43,000 images, and at least 2, so that one is free of compilation."""
    return max(2, round(IMAGES_SHOWN / len(data.x_train)))


def settings_for(subject: Subject, data: Dataset, plan: Plan) -> dict[str, Any]:
    """All that decides what a run measures but its key; only runs with the same are compared."""
    return {
        "data": data.name,
        "split": data.split,
        "digest": data.digest,
        "train_images": len(data.x_train),
        "test_images": len(data.x_test),
        "input_shape": list(data.input_shape),
        "classes": data.classes,
        "background": data.background,
        "epochs": plan.epochs,
        "batch_size": BATCH_SIZE,
        "max_shift": plan.max_shift,
        "draws": plan.draws,
        "moved_images": plan.moved_images,
        "recalibrate": plan.recalibrate,
        **subject.settings(),
    }


def check_count(name: str, value: int, most: int) -> None:
    """Refuse a number that is no integer from 1 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not 1 <= value <= most:
        raise ValueError(f"{name} must be between 1 and {most}, got {value}")


def one_line(error: BaseException) -> str:
    """What an error says, in one line: its first, and its kind where it says nothing."""
    said = " ".join(str(error).split())
    shortened = said if len(said) <= MOST_CHARACTERS else said[: MOST_CHARACTERS - 1] + "…"
    return shortened or type(error).__name__


def results_path(out: str | Path) -> Path:
    """results.json in the directory `out`, which need not exist yet but must be writable."""
    if not str(out).strip():
        raise ValueError(f"out must name a directory, got {str(out)!r}")
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out must be a directory, got {str(out)!r}, which is a file")
    nearest = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    check_writable("out", folder, nearest)
    return folder / "results.json"
