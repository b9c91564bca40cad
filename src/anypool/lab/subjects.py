"""What poolings are compared in: networks of ours to train, and networks of the user's to swap poolings in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .callbacks import Callback
from .data import Dataset
from .environment import environment
from .measures.network import measure_network
from .measures.operators import MOST_IMAGES, measure_operator
from .measures.training import measure_training
from .networks.base import RECALIBRATED_ON, WHERE, History, Network, Site, check_outputs, spread_over
from .poolings import ORIGINAL, candidate
from .runs import FINE_TUNED, RECALIBRATED, SWAPPED, TRAINED, Run, RunKey
from .shown import look

if TYPE_CHECKING:
    from .networks.keras import KerasNetwork

LEARNING_RATE = 1e-3
FINE_TUNING_RATE = 1e-4


class Job(NamedTuple):
    """One network to make, whose runs differ in their stage."""

    seed: int
    polarity: str
    pool: str


@dataclass(frozen=True)
class Plan:
    """What is done to every network alike."""

    epochs: int
    max_shift: int
    draws: int
    moved_images: int | None = None
    """How many test images are moved; None for all."""
    recalibrate: bool = True
    """Whether networks with batch normalisation are measured with its statistics taken anew, too."""


class Subject(Protocol):
    """A network whose pooling can be chosen."""

    @property
    def framework(self) -> str:
        """What computes it, in words."""

    trained: bool
    """Whether it is trained here, from images scaled to 0 and 1; otherwise it takes images as they come."""
    draws: int
    moved_images: int | None

    def check(self, data: Dataset) -> None:
        """Raise ValueError where these images do not fit it."""

    def poolings(self, names: Sequence[str]) -> list[str]:
        """What is compared where a user asks for these names."""

    def settings(self) -> dict[str, Any]:
        """What of it decides what a run measures."""

    def stages(self, seed: int, plan: Plan) -> tuple[str, ...]:
        """In which stages it is measured with this seed."""

    def measure(self, job: Job, data: Dataset, plan: Plan, callback: Callback) -> Iterator[Run]:
        """A run for every stage, on these images."""


def find_subject(model: Any, weights: str | Path | None = None, where: str = "all") -> Subject:
    """The network called `model`: one of ours by name, or whatever `find_network` finds.

    Raises:
        ValueError, TypeError: there is none, or an argument does not go with it.
    """
    from .models import NETWORKS

    if where not in WHERE:
        raise ValueError(f"where must be one of {', '.join(WHERE)}, got {where!r}")
    if isinstance(model, str) and model in NETWORKS:
        if weights is not None or where != "all":
            raise ValueError(f"weights and where are for networks of your own, and model is {model!r}")
        return TrainedNetwork(model)
    if isinstance(model, str) and not model.endswith(".keras") and ":" not in model:
        rule = f"one of {', '.join(NETWORKS)}, a .keras file, package.module:function, or a Keras or torch model"
        raise ValueError(f"model must be {rule}, got {model!r}")
    from .networks.find import find_network

    return SwappedNetwork(find_network(model, weights), model if isinstance(model, str) else "a model", where)


@dataclass
class _Operators:
    """What operators do to images, measured once per polarity and pooling."""

    known: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)

    def measure(self, job: Job, data: Dataset) -> dict[str, float]:
        key = job.polarity, job.pool
        if key not in self.known:
            operator = None if job.pool == ORIGINAL else candidate(job.pool).operator
            images = (spread_over(x, MOST_IMAGES) for x in (data.x_train, data.x_test))
            self.known[key] = {} if operator is None else measure_operator(operator, *images)
        return self.known[key]


@dataclass
class _Steps:
    """What a step of training costs, measured once per pooling: no seed and no stage changes it."""

    known: dict[str, dict[str, float]] = field(default_factory=dict)

    def measure(self, pool: str, network: Network, data: Dataset) -> dict[str, float]:
        if pool not in self.known:
            self.known[pool] = measure_training(network, data.x_train)
        return self.known[pool]


class TrainedNetwork:
    """A network of ours, trained from its first weights, which the seed decides as it does the order of the images."""

    trained = True
    draws = 8
    moved_images: int | None = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.operators, self.steps = _Operators(), _Steps()

    @property
    def framework(self) -> str:
        """Keras, and its backend."""
        import keras

        return f"Keras on {keras.backend.backend()}"

    def check(self, data: Dataset) -> None:
        """Everything fits: the network is made for the images."""

    def poolings(self, names: Sequence[str]) -> list[str]:
        """Those asked for."""
        return list(names)

    def settings(self) -> dict[str, Any]:
        """Its name, and what computes it."""
        import keras

        return {"model": self.name, "backend": keras.backend.backend(), "learning_rate": LEARNING_RATE}

    def stages(self, seed: int, plan: Plan) -> tuple[str, ...]:
        """It is measured when it is trained."""
        return (TRAINED,)

    def measure(self, job: Job, data: Dataset, plan: Plan, callback: Callback) -> Iterator[Run]:
        """The run of the trained network.

        Raises:
            Stopped: the callback said so. Diverged: the loss became infinite or NaN.
        """
        key = RunKey(*job, TRAINED)
        network = self._make(job, data)
        history = network.fit(data, plan.epochs, LEARNING_RATE, job.seed, _telling(callback, key), callback.should_stop)
        alone = self.operators.measure(job, data) | self.steps.measure(job.pool, network, data)
        yield _run(key, network, data, plan, history, alone, callback)

    def _make(self, job: Job, data: Dataset) -> KerasNetwork:
        import keras

        from .models import NETWORKS
        from .networks.keras import KerasNetwork

        keras.utils.set_random_seed(job.seed)
        return KerasNetwork(NETWORKS[self.name](job.pool, data.input_shape, data.classes))


class SwappedNetwork:
    """A network of the user's: each candidate takes the place of its poolings, and learns anew if there are epochs.

    Runs are in three stages: with the poolings swapped and nothing else, with the statistics of batch normalisation
    taken anew, and fine-tuned from there. `original` is the network as it came, in the same stages.
    """

    trained = False
    draws = 2
    moved_images: int | None = 250

    def __init__(self, network: Network, name: str, where: str) -> None:
        self.network = network
        self.name = name
        self.where = where
        self.sites = [site for site in network.sites() if site.kind in WHERE[where]]
        if not self.sites:
            raise ValueError(f"model must have pooling layers of the kind {where!r}, got {name!r}, which has none")
        self.operators, self.steps = _Operators(), _Steps()
        self.framework = f"Keras on {network.backend}" if "keras" in network.libraries else network.backend

    def check(self, data: Dataset) -> None:
        """Raise ValueError where the network does not take these images, or has too few outputs."""
        few = data.x_test[:2]
        try:
            outputs = self.network.predict(few, lambda: False)
        except Exception as error:  # frameworks raise many kinds for shapes that do not fit
            said = " ".join(str(error).split())[:200]
            rule = f"images of shape {data.input_shape}, which are given to torch models channels first"
            raise ValueError(f"model must take {rule}; it raised {type(error).__name__}: {said}") from error
        check_outputs(outputs, len(few), data.classes)

    def poolings(self, names: Sequence[str]) -> list[str]:
        """The network's own poolings first, then those asked for."""
        return [ORIGINAL, *names]

    def settings(self) -> dict[str, Any]:
        """What it is called, its weights, and where poolings are swapped."""
        return {
            "model": self.name,
            "weights": self.network.digest(),
            "where": self.where,
            "backend": self.network.backend,
            "learning_rate": FINE_TUNING_RATE,
        }

    def stages(self, seed: int, plan: Plan) -> tuple[str, ...]:
        """Only fine-tuning depends on a seed."""
        tuned = (FINE_TUNED,) if plan.epochs else ()
        if seed:
            return tuned
        anew = (RECALIBRATED,) if plan.recalibrate and self.network.has_batch_norm else ()
        return (SWAPPED, *anew, *tuned)

    def measure(self, job: Job, data: Dataset, plan: Plan, callback: Callback) -> Iterator[Run]:
        """The runs of the stages, in their order.

        Raises:
            Stopped: the callback said so. Diverged: the loss became infinite or NaN. ValueError: the candidate does not
                fit.
        """
        stages = self.stages(job.seed, plan)
        network = self._swapped(job.pool)
        alone = self.operators.measure(job, data)
        for stage in (SWAPPED, RECALIBRATED, FINE_TUNED):
            key, history = RunKey(*job, stage), History()
            if stage == RECALIBRATED and plan.recalibrate and self.network.has_batch_norm:
                network.recalibrate(spread_over(data.x_train, RECALIBRATED_ON), callback.should_stop)
            if stage == FINE_TUNED and plan.epochs:
                tell = _telling(callback, key)
                history = network.fit(data, plan.epochs, FINE_TUNING_RATE, job.seed, tell, callback.should_stop)
                alone = alone | self.steps.measure(job.pool, network, data)
            if stage in stages:
                yield _run(key, network, data, plan, history, alone, callback)

    def _swapped(self, pool: str) -> Network:
        """A copy with this pooling at the sites that it can take the place of."""
        if pool == ORIGINAL:
            return self.network.copied()
        chosen = candidate(pool)
        sites: list[Site] = [site for site in self.sites if site.kind in chosen.kinds]
        if not sites:
            taken, there = " or ".join(chosen.kinds), ", ".join(sorted({site.kind for site in self.sites}))
            raise ValueError(f"{pool} takes the place of {taken} pooling, and there is {there} pooling alone")
        return self.network.swapped([(site, chosen) for site in sites])


def _telling(callback: Callback, key: RunKey) -> Callable[[int, float], None]:
    return lambda epoch, accuracy: callback.on_epoch_end(key, epoch, accuracy)


def _run(
    key: RunKey,
    network: Network,
    data: Dataset,
    plan: Plan,
    history: History,
    alone: dict[str, float],
    callback: Callback,
) -> Run:
    """The run of a network as it is now; `alone` is what was measured apart: of its operator, of a step of training."""
    measured = measure_network(network, data, plan.max_shift, plan.draws, plan.moved_images, callback.should_stop)
    shown = look(key, network, data, plan.max_shift, callback.should_stop) if key.seed == 0 else None
    return Run(
        pool=key.pool,
        seed=key.seed,
        polarity=key.polarity,
        stage=key.stage,
        measures=measured | alone,
        parameters=network.parameters,
        layers=network.layers(),
        curve=history.curve,
        epoch_seconds=history.epoch_seconds,
        environment=environment(*network.libraries),
        shown=shown,
    )
