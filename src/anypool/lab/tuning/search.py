"""`tune`: trials until there are enough, here or in processes of their own, and the best network at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import data as datasets
from ..callbacks import Stopped, TuneCallback
from ..comparison import MOST_EPOCHS, Data, check_count, default_epochs, one_line, results_path, settings_for
from ..data import Dataset
from ..files import held, lock_beside
from ..measures.shifts import pixels_of_shift
from ..poolings import ORIGINAL, candidates
from ..subjects import Plan, Subject, find_subject
from . import aims as aiming
from . import candidates as networks
from .outcome import Tuning, read_settings
from .space import POOLINGS, SIZES, STRIDES, Space, check_numbers
from .trials import Finished, Task, is_hopeless

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

MOST_TRIALS, MOST_JOBS = 100_000, 256
REPEATS_UNTIL_BLIND = 2
"""After so many trials on end that repeat others the next one chooses at random."""


def tune(
    model: Any = "course",
    data: Data = "digits",
    poolings: Iterable[str] = POOLINGS,
    *,
    aims: Sequence[str] = ("accuracy",),
    trials: int = 30,
    sizes: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    epochs: int | None = None,
    seed: int = 0,
    shift: float | None = None,
    where: str = "all",
    recalibrate: bool = True,
    weights: str | Path | None = None,
    jobs: int = 1,
    storage: str | None = None,
    out: str | Path | None = None,
    callback: TuneCallback | None = None,
) -> Tuning:
    """Search the pooling of every site of a network: kind, parameters, window and stride.

    Trials are chosen by Optuna (TPE, Bergstra et al. 2011), from what the others found. They are measured on images
    that the best network is not measured on at the end (`anypool.lab.tuning.aims.to_choose_by`).

    Args:
        model, data, shift, where, recalibrate, weights: as in `anypool.lab.compare`.
        poolings: what is tried; parameters that a name does not set, as in `gem`, are searched. In a network of yours
            its own pooling is tried, too.
        aims: measures such as `accuracy`, `consistency`, `latency`; of several, what no other trial beats in all of
            them is the Pareto front, and the one best in the first aim is the best.
        trials: how many there are to be, with those that an earlier call made.
        sizes, strides: of windows; by default 2 and 3, and 1 and 2, and for a network of yours those it has and windows
            one element larger.
        epochs: of every trial, as in `compare`. Trials that stay behind are stopped early.
        seed: of first weights, of the order of images, and of the search.
        jobs: how many trials run side by side, in processes of their own.
        storage: the URL of a database, for many machines; by default one SQLite file in `out`.
        out: a directory for the store, tuning.json, the best network, its configuration and its code.
        callback: is told how it goes, and may stop it.

    Returns:
        The search, with its `trials`, its `front`, the `best` of them and its `model`.

    Raises:
        ValueError, TypeError: an argument breaks a rule; before any work. ModuleNotFoundError: Optuna is not installed.
        StoreError: a trial could not be written. OSError: a file could not be.
    """
    search = prepare(
        model,
        data,
        poolings,
        aims=aims,
        trials=trials,
        sizes=sizes,
        strides=strides,
        epochs=epochs,
        seed=seed,
        shift=shift,
        where=where,
        recalibrate=recalibrate,
        weights=weights,
        jobs=jobs,
        storage=storage,
        out=out,
    )
    return search.run(callback)


def prepare(
    model: Any = "course",
    data: Data = "digits",
    poolings: Iterable[str] = POOLINGS,
    *,
    aims: Sequence[str] = ("accuracy",),
    trials: int = 30,
    sizes: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    epochs: int | None = None,
    seed: int = 0,
    shift: float | None = None,
    where: str = "all",
    recalibrate: bool = True,
    weights: str | Path | None = None,
    jobs: int = 1,
    storage: str | None = None,
    out: str | Path | None = None,
) -> Search:
    """The search that `tune` would make, checked and not yet run."""
    from . import store  # says what to install where there is no Optuna

    names = tuple(candidate.name for candidate in candidates(tuple(poolings)))
    aims = aiming.check_aims(aims)
    for name, value, most in (("trials", trials, MOST_TRIALS), ("jobs", jobs, MOST_JOBS)):
        check_count(name, value, most)
    if epochs is not None:
        check_count("epochs", epochs, MOST_EPOCHS)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise ValueError(f"seed must be an integer from 0, got {seed!r}")
    window = check_numbers("sizes", sizes), check_numbers("strides", strides)
    folder = None if out is None else results_path(out).parent
    subject = find_subject(model, weights, where)
    images = data if isinstance(data, Dataset) else _loaded(data, subject.trained)
    subject.check(images)
    plan = Plan(
        (default_epochs(images) if subject.trained else 0) if epochs is None else epochs,
        pixels_of_shift(shift, images.input_shape[:2]),
        subject.draws,
        subject.moved_images,
        recalibrate,
    )
    space = _space(subject, images, names, *window)
    task = Task(subject, aiming.to_choose_by(images, subject.trained), plan, space, aims, seed)
    own: dict[str, Any] = {"poolings": list(space.poolings), "sizes": space.sizes and list(space.sizes)}
    own |= {"strides": space.strides and list(space.strides), "aims": list(aims), "seed": seed}
    settings = {**settings_for(subject, images, plan), **own}
    earlier = None if folder is None else read_settings(folder)
    if earlier is not None and earlier != settings:
        raise ValueError(_other_settings(folder, earlier, settings))
    if storage is not None:
        store.open_store(storage)
    return Search(task, images, settings, trials, jobs, storage, folder, model)


def _loaded(data: str | Callable[[bool], Dataset], scale: bool) -> Dataset:
    return datasets.load(data, scale) if isinstance(data, str) else data(scale)


def _space(
    subject: Subject,
    images: Dataset,
    names: tuple[str, ...],
    sizes: tuple[int, ...] | None,
    strides: tuple[int, ...] | None,
) -> Space:
    sites = networks.sites_of(subject, images)
    if subject.trained:
        space = Space(sites, names, sizes or SIZES, strides or STRIDES)
    else:
        space = Space(sites, (ORIGINAL, *names), sizes, strides)
    nowhere = next((name for name in names if all(name not in space.allowed(site) for site in sites)), None)
    if nowhere is not None:
        there = ", ".join(sorted({site.kind for site in sites}))
        raise ValueError(f"pool must name poolings that can take the place of {there} pooling, got {nowhere!r}")
    return space


def _other_settings(folder: Path | None, earlier: dict[str, Any], settings: dict[str, Any]) -> str:
    names = [name for name in {**earlier, **settings} if earlier.get(name) != settings.get(name)]
    said = "; ".join(f"{name} was {earlier.get(name)!r}, now {settings.get(name)!r}" for name in names)
    rule = "must hold no tuning.json, or one with these settings: give another --out, or delete it to start anew"
    return f"out {rule}; {folder} has others ({said})"


@dataclass
class Search:
    """A search for the best poolings, to be run."""

    task: Task
    data: Dataset
    settings: dict[str, Any]
    trials: int
    jobs: int
    storage: str | None
    folder: Path | None
    model: Any
    stopped: bool = field(default=False, init=False)

    @property
    def sites(self) -> list[str]:
        """What the poolings are called that are searched."""
        return [site.name for site in self.task.space.sites]

    def run(self, callback: TuneCallback | None = None) -> Tuning:
        """Run the trials that are not there yet, and build the best network.

        Raises:
            StoreError: a trial could not be written. OSError: a file could not be.
        """
        from .store import quietly

        callback = callback or TuneCallback()
        with ExitStack() as stack:
            if self.folder is not None and not self._is_mine(stack, callback):
                self.stopped = True
                return Tuning(self, [], [])
            url = self._url(stack)
            stack.enter_context(quietly())
            return self._run(url, callback)

    def _is_mine(self, stack: ExitStack, callback: TuneCallback) -> bool:
        """Wait until no other search works in the directory; False where the waiting was ended."""
        folder = self.folder
        assert folder is not None
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_beside(folder / "tuning.json")
        return stack.enter_context(held(lock, lambda: callback.on_wait(folder), callback.should_stop))

    def _url(self, stack: ExitStack) -> str | None:
        if self.storage is not None:
            return self.storage
        if self.folder is not None:
            return f"sqlite:///{self.folder.absolute() / 'trials.db'}"
        if self.jobs == 1:
            return None
        return f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/trials.db"

    def _run(self, url: str | None, callback: TuneCallback) -> Tuning:
        from . import store, workers

        opened = store.open_store(url)
        study = store.open_study(opened, self.settings, self.task.aims)
        if self.storage is None:  # nobody else has trials there
            store.give_back_all(study)
        store.begin(study, self.task.space.first())
        news = News(self, study, callback)
        callback.on_begin(self, store.finished(study))
        try:
            if self.jobs == 1:
                run_trials(study, self.task, self.trials, callback, news.tell)
            else:
                assert url is not None
                workers.run_trials(study, self.task, url, self.trials, self.jobs, callback, news.tell)
        except Stopped:
            self.stopped = True
        news.tell()
        found = Tuning.of(self, study)
        if not self.stopped and found.best is not None:
            try:
                found.build_best(callback)
            except Stopped:
                self.stopped = True
        found.write()
        return found


@dataclass
class News:
    """Tells of every trial once, whoever ran it, and keeps tuning.json as it is."""

    search: Search
    study: optuna.Study
    callback: TuneCallback
    told: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        from . import store

        self.told |= {trial.number for trial in store.finished(self.study)}

    def tell(self) -> None:
        from . import store

        fresh = [trial for trial in store.finished(self.study) if trial.number not in self.told]
        if not fresh:
            return
        found = Tuning.of(self.search, self.study)
        found.write(page=False)
        by_number = {trial.number: trial for trial in found.trials}
        for trial in fresh:
            self.told.add(trial.number)
            self.callback.on_trial_end(by_number[trial.number], found)


def run_trials(
    study: optuna.Study,
    task: Task,
    trials: int,
    callback: TuneCallback,
    on_trial_end: Callable[[], None] = lambda: None,
) -> None:
    """Run trials in this process until there are as many, together with those of others.

    Raises:
        Stopped: the callback said so; the trial at hand is given back.
    """
    from . import store

    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        return _objective(trial, task, callback)

    informed, blind = samplers(study, task.seed)
    while store.remaining(study, trials) > 0:
        if callback.should_stop():
            raise Stopped
        study.sampler = blind if store.repeats(study) >= REPEATS_UNTIL_BLIND else informed
        study.optimize(objective, n_trials=1, catch=(Failed,))
        on_trial_end()


def samplers(study: optuna.Study, seed: int) -> tuple[optuna.samplers.BaseSampler, optuna.samplers.BaseSampler]:
    """What chooses from what others found, and what chooses at random; no process draws what another drew."""
    import optuna

    begun = len(study.get_trials(deepcopy=False))
    seed = (seed * 1_000_003 + begun * 7919) % 2**31
    return optuna.samplers.TPESampler(seed=seed), optuna.samplers.RandomSampler(seed=seed)


class Failed(Exception):
    """A trial came to no result; its reason is kept, and the others go on."""


def _objective(trial: optuna.Trial, task: Task, callback: TuneCallback) -> tuple[float, ...]:
    from . import store

    trial.set_user_attr(store.WORKER, store.this_process())
    choices = task.space.suggest(trial)
    trial.set_user_attr(store.CHOICES, [choice.entry() for choice in choices])
    earlier = store.finished(trial.study)
    same = next((one for one in earlier if store.LEARNED in one.user_attrs and _chose(one, choices)), None)
    if same is not None:
        return _as_before(trial, same)
    callback.on_trial_begin(trial.number, choices)
    try:
        return _measured(trial, task, choices, earlier, callback)
    except Stopped:
        store.give_back_stopped(trial)
        raise
    except Exception as error:
        if type(error).__module__.startswith(("optuna", "sqlalchemy")):
            raise
        trial.set_user_attr(store.REASON, one_line(error))  # whatever a model raises, the other trials can be run
        raise Failed from error


def _chose(trial: FrozenTrial, choices: Sequence[Any]) -> bool:
    from . import store

    return trial.user_attrs.get(store.CHOICES) == [choice.entry() for choice in choices]


def _as_before(trial: optuna.Trial, same: FrozenTrial) -> tuple[float, ...]:
    """What became of a trial that chose the same: with one seed it would become of it again."""
    import optuna

    from . import store

    trial.set_user_attr(store.SAME_AS, same.number)
    if same.values is None:
        raise optuna.TrialPruned
    return tuple(same.values)


def _measured(
    trial: optuna.Trial,
    task: Task,
    choices: Sequence[Any],
    earlier: Sequence[FrozenTrial],
    callback: TuneCallback,
) -> tuple[float, ...]:
    import optuna

    from . import store

    network = task.build(choices)
    multiply_adds = network.cost(task.data.x_test[:1]).get("multiply_adds")
    learned = [one.user_attrs[store.LEARNED] for one in earlier if one.values]
    past = [Finished(tuple(one["curve"]), one["multiply_adds"]) for one in learned]
    cheap = any(aiming.is_cost(aim) for aim in task.aims)
    curve: list[float] = []
    said = {"curve": curve, "multiply_adds": multiply_adds, "parameters": network.parameters}

    def on_epoch(epoch: int, accuracy: float) -> None:
        curve.append(accuracy)
        callback.on_epoch_end(trial.number, epoch, accuracy)
        if is_hopeless(curve, multiply_adds, past, task.plan.epochs, cheap):
            trial.set_user_attr(store.LEARNED, said)
            raise optuna.TrialPruned

    task.learn(network, task.data, on_epoch, callback.should_stop)
    trial.set_user_attr(store.LEARNED, said)
    measured = task.measure(network, task.data, task.aims, callback.should_stop)
    missing = next((aim for aim in task.aims if aim not in measured), None)
    if missing is not None:
        raise ValueError(f"{missing} cannot be measured of this network")
    return tuple(measured[aim] for aim in task.aims)
