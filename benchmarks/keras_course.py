"""The group "keras": the course network on each Keras backend, with keras.layers and with anypool.keras.

A process per backend, since Keras has one for life; within it everything is interleaved.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks import children

BACKENDS = ("jax", "torch", "tensorflow")
IMAGES, BATCH, SECONDS = 1280, 64, 15.0
"""Short calls in many rounds, whose ratios are compared: see `timing.in_rounds`."""

THEIRS, OURS, ITSELF = "keras.layers", "anypool.keras", "keras.layers, again"
LAYERS = {"max": "MaxPooling2D", "average": "AveragePooling2D"}

Record = dict[str, Any]


def measure(quick: bool, only: str, report: Callable[[Record], None]) -> None:
    """One record per backend, pooling and thing done with the network."""
    for backend in BACKENDS[:1] if quick else BACKENDS:
        if only not in backend:
            continue
        arguments = ["--quick"] if quick else []
        for record in children.records(__name__, *arguments, environment={"KERAS_BACKEND": backend}):
            report(record)


def _measure_here(quick: bool) -> None:
    """In the process of one backend: print a record per line."""
    import keras
    import numpy as np

    import anypool.keras
    from anypool.lab.models import course_network
    from benchmarks.timing import in_rounds, median, median_ratio

    images = IMAGES // 2 if quick else IMAGES
    random = np.random.default_rng(0)
    x = random.random((images, 28, 28, 1), dtype=np.float32)
    y = random.integers(0, 10, images)
    models = {}
    for pooling, layer in LAYERS.items():
        for name, namespace in ((THEIRS, keras.layers), (OURS, anypool.keras), (ITSELF, keras.layers)):
            model = course_network(getattr(namespace, layer))
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            models[pooling, name] = model
        models[pooling, OURS].set_weights(models[pooling, THEIRS].get_weights())
        theirs, ours = (models[pooling, name].predict(x[:BATCH], verbose=0) for name in (THEIRS, OURS))
        if not np.allclose(ours, theirs, rtol=1e-4, atol=1e-6):
            raise AssertionError(f"{layer} predicts otherwise with {OURS} than with {THEIRS}")

    def predict(model: Any, n: int) -> None:
        model.predict(x[:n], batch_size=BATCH, verbose=0)

    def evaluate(model: Any, n: int) -> None:
        model.evaluate(x[:n], y[:n], batch_size=BATCH, verbose=0)

    def epoch(model: Any, n: int) -> None:
        model.fit(x[:n], y[:n], batch_size=BATCH, shuffle=False, verbose=0)

    for what, do in (("epoch", epoch), ("predict", predict), ("evaluate", evaluate)):
        for pooling in LAYERS:
            calls = {name: _bound(do, models[pooling, name], images) for name in (THEIRS, OURS, ITSELF)}
            for call in calls.values():
                call()
            rounds = in_rounds(calls, budget=1.0 if quick else SECONDS, least=3 if quick else 9)
            record = {
                "backend": keras.backend.backend(),
                "pooling": pooling,
                "what": what,
                "images": images,
                "batch": BATCH,
                "rounds": len(rounds),
                "seconds": {name: median([each[name] for each in rounds]) for name in calls},
                "gain": median_ratio(rounds, THEIRS, OURS),
                "itself": median_ratio(rounds, THEIRS, ITSELF),
            }
            children.report(record)


def _bound(do: Callable[[Any, int], None], model: Any, n: int) -> Callable[[], None]:
    return lambda: do(model, n)


if __name__ == "__main__":
    _measure_here("--quick" in sys.argv)
