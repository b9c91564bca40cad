"""What poolings are compared in: networks to train."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from . import metrics
from .callbacks import Callback
from .data import Dataset
from .environment import environment
from .runs import TRAINED, Run, RunKey
from .training import LEARNING_RATE, accuracy_of, fit, predictor


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


class Subject(Protocol):
    """A network whose pooling can be chosen."""

    def settings(self) -> dict[str, Any]:
        """What of it decides what a run measures."""

    def stages(self, seed: int, plan: Plan) -> tuple[str, ...]:
        """In which stages it is measured with this seed."""

    def measure(self, job: Job, data: Dataset, plan: Plan, callback: Callback) -> Iterator[Run]:
        """A run for every stage, on these images."""


class TrainedNetwork:
    """A network of ours, trained from its first weights, which the seed decides as it does the order of the images."""

    def __init__(self, name: str) -> None:
        self.name = name

    def settings(self) -> dict[str, Any]:
        """Its name, and what computes it."""
        import keras

        return {"model": self.name, "backend": keras.backend.backend()}

    def stages(self, seed: int, plan: Plan) -> tuple[str, ...]:
        """It is measured when it is trained."""
        return (TRAINED,)

    def measure(self, job: Job, data: Dataset, plan: Plan, callback: Callback) -> Iterator[Run]:
        """The run of the trained network.

        Raises:
            Stopped: the callback said so. Diverged: the loss became infinite or NaN.
        """
        import keras

        from .models import course_network

        key = RunKey(job.seed, job.polarity, job.pool)
        keras.utils.set_random_seed(job.seed)
        model = course_network(job.pool, data.input_shape, data.classes)
        model.compile(keras.optimizers.Adam(LEARNING_RATE), "sparse_categorical_crossentropy")

        def on_epoch(epoch: int, accuracy: float) -> None:
            callback.on_epoch_end(key, epoch, accuracy)

        history = fit(model, data, plan.epochs, on_epoch, callback.should_stop)
        predict = predictor(model, callback.should_stop)

        yield Run(
            pool=job.pool,
            seed=job.seed,
            polarity=job.polarity,
            measures=measure_outputs(predict, data, plan),
            parameters=model.count_params(),
            layers=metrics.values_kept(model),
            curve=history.curve,
            epoch_seconds=history.epoch_seconds,
            environment=environment("keras", keras.backend.backend()),
        )


def measure_outputs(predict: Any, data: Dataset, plan: Plan) -> dict[str, float]:
    """Accuracy, consistency and fidelity of a function from images to outputs."""
    outputs = predict(data.x_test)
    still = outputs.argmax(axis=-1)
    moved = metrics.moved_classes(lambda x: predict(x).argmax(axis=-1), data.x_test, plan.max_shift, metrics.DRAWS)
    return {
        "accuracy": accuracy_of(outputs, data.y_test),
        "consistency": metrics.shift_consistency(still, moved),
        "fidelity": metrics.fidelity(still, moved, data.y_test),
    }


def find_subject(model: str) -> Subject:
    """The network called `model`.

    Raises:
        ValueError: there is none.
    """
    if model != "course":
        raise ValueError(f"model must be 'course', got {model!r}")
    return TrainedNetwork(model)
