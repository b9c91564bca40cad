"""One training run per pooling and seed, kept in results.json as each ends, so that nothing is trained twice."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from . import metrics
from .data import Dataset
from .files import write_whole
from .poolings import check_names

FORMAT = 1
BATCH_SIZE = 32
LEARNING_RATE = 1e-3
MAX_SHIFT = 2
DRAWS = 8
IMAGES_SHOWN = 43_000
"""By default training shows the network about this many images: 30 epochs of the digits, 2 of a large set."""

MOST_EPOCHS, MOST_SEEDS = 100_000, 1000

AS_GIVEN = "as given"
INVERTED = "inverted"
POLARITIES = (AS_GIVEN, INVERTED)


@dataclass(frozen=True)
class Run:
    """What one training run measured, on the test images."""

    polarity: str
    """`as given`, or `inverted`: dark and light swapped."""
    pool: str
    seed: int
    accuracy: float
    consistency: float
    fidelity: float
    curve: list[float]
    """Accuracy after each epoch."""
    epoch_seconds: list[float]
    """Training alone; the first includes compilation."""
    parameters: int
    layers: list[metrics.PoolingLayer]

    @property
    def key(self) -> tuple[int, str, str]:
        return self.seed, self.polarity, self.pool


def default_epochs(data: Dataset) -> int:
    """As many as show the network about 43,000 images, and at least 2, so that one is free of compilation."""
    return max(2, round(IMAGES_SHOWN / len(data.x_train)))


def plan_runs(pool: Iterable[str], seeds: int, invert: bool) -> list[tuple[int, str, str]]:
    """The (seed, polarity, pooling) of every run. Poolings take turns: what slows the machine slows them all.

    >>> plan_runs(["max", "min"], 1, True)
    [(0, 'as given', 'max'), (0, 'as given', 'min'), (0, 'inverted', 'max'), (0, 'inverted', 'min')]
    """
    names = check_names(tuple(pool))
    check_count("seeds", seeds, MOST_SEEDS)
    polarities = POLARITIES if invert else POLARITIES[:1]
    return [(seed, polarity, name) for seed in range(seeds) for polarity in polarities for name in names]


def settings_for(data: Dataset, epochs: int) -> dict[str, Any]:
    """All that decides what a run measures but its pooling, seed and polarity; only runs with the same are compared."""
    import keras

    import anypool

    backend = keras.backend.backend()
    return {
        "data": data.name,
        "split": data.split,
        "digest": data.digest,
        "train_images": len(data.x_train),
        "test_images": len(data.x_test),
        "input_shape": list(data.input_shape),
        "classes": data.classes,
        "background": data.background,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "max_shift": MAX_SHIFT,
        "draws": DRAWS,
        "backend": f"{backend} {_version_of_backend(backend)}",
        "versions": f"anypool {anypool.__version__}, keras {keras.__version__}, python {platform.python_version()}",
        "machine": f"{_processor()}, {_cores()} cores, {platform.system()}",
    }


def train(
    data: Dataset, pool: str, seed: int, epochs: int, on_epoch: Callable[[int, float], None] | None = None
) -> Run:
    """Train the course network once on `data` as it is, and measure it. The run's polarity is `as given`.

    The seed decides the first weights and the order of the images. `on_epoch` is told, after each epoch, how many are
    done and the accuracy on the test images.
    """
    import keras

    from .models import course_network

    check_count("epochs", epochs, MOST_EPOCHS)

    keras.utils.set_random_seed(seed)
    model = course_network(pool, data.input_shape, data.classes)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), "sparse_categorical_crossentropy")

    def classify(images: np.ndarray) -> np.ndarray:
        return model.predict(images, batch_size=512, verbose=0).argmax(axis=-1)

    seconds: list[float] = []
    curve: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds.append(perf_counter() - self.began)
            curve.append(float(np.mean(classify(data.x_test) == data.y_test)))
            if on_epoch:
                on_epoch(epoch + 1, curve[-1])

    model.fit(data.x_train, data.y_train, epochs=epochs, batch_size=BATCH_SIZE, verbose=0, callbacks=[Clock()])
    still = classify(data.x_test)
    moved = metrics.moved_classes(classify, data.x_test, MAX_SHIFT, DRAWS)
    return Run(
        polarity=AS_GIVEN,
        pool=pool,
        seed=seed,
        accuracy=float(np.mean(still == data.y_test)),
        consistency=metrics.shift_consistency(still, moved),
        fidelity=metrics.fidelity(still, moved, data.y_test),
        curve=curve,
        epoch_seconds=seconds,
        parameters=model.count_params(),
        layers=metrics.values_kept(model),
    )


# ---------------------------------------------------------------------------------------------------------------------
# results.json


class Results:
    """The runs in a results.json, all with the same settings. The file is replaced whole as each run is added.

    Raises:
        ValueError: the file is damaged, or its runs were made with other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.settings = settings
        self.runs: dict[tuple[int, str, str], Run] = {}
        if path.exists():
            found, runs = _read(path)
            _check_same(path, found, settings)
            self.runs = {run.key: run for run in runs}

    def add(self, run: Run) -> None:
        """Keep a run: after this it survives whatever happens."""
        self.runs[run.key] = run
        content = {"format": FORMAT, "settings": self.settings, "runs": [asdict(run) for run in self.runs.values()]}
        write_whole(self.path, json.dumps(content, indent=1).encode())

    def chosen(self, keys: Iterable[tuple[int, str, str]]) -> list[Run]:
        """The runs of these keys that are done."""
        return [self.runs[key] for key in keys if key in self.runs]


def _read(path: Path) -> tuple[dict[str, Any], list[Run]]:
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}")
        settings, runs = dict(content["settings"]), [_run(entry) for entry in content["runs"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        rule = "must hold no results.json, or one of this version: delete it, or give another --out"
        raise ValueError(f"out {rule}; {path} cannot be read ({reason})") from error
    return settings, runs


def _run(entry: dict[str, Any]) -> Run:
    wanted = {field.name for field in fields(Run)}
    if set(entry) != wanted:
        raise ValueError(f"a run has {sorted(set(entry) ^ wanted)} too many or too few")
    run = Run(**{**entry, "layers": [metrics.PoolingLayer(**layer) for layer in entry["layers"]]})
    numbers = [run.accuracy, run.consistency, run.fidelity, *run.curve, *run.epoch_seconds]
    if not all(type(number) is float and 0 <= number < float("inf") for number in numbers):
        raise ValueError(f"the run {run.key} has a measure that is no number")
    if run.polarity not in POLARITIES or type(run.seed) is not int:
        raise ValueError(f"the run {run.key} is of no known kind")
    check_names([run.pool])
    return run


def _check_same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    differing = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    if differing:
        said = "; ".join(f"{name} was {found.get(name)!r}, now {wanted.get(name)!r}" for name in differing)
        rule = "must hold no results.json, or one with these settings: give another --out, or delete it to start anew"
        raise ValueError(f"out {rule}; {path} has others ({said})")


def check_count(name: str, value: int, most: int) -> None:
    """Refuse a number that is no integer from 1 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not 1 <= value <= most:
        raise ValueError(f"{name} must be between 1 and {most}, got {value}")


# ---------------------------------------------------------------------------------------------------------------------
# What the runs were made on


def _version_of_backend(backend: str) -> str:
    module = __import__(backend)
    return getattr(module, "__version__", "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
