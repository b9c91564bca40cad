"""Training a network for classes, between whose batches one may stop, and measuring it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .callbacks import check_stop
from .data import Dataset

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 32
PREDICTED_AT_ONCE = 512
LEARNING_RATE = 1e-3


class Diverged(ArithmeticError):
    """The loss is no finite number any more."""


@dataclass
class History:
    """What training looked like, an entry per epoch."""

    curve: list[float] = field(default_factory=list)
    """Accuracy on the test images."""
    epoch_seconds: list[float] = field(default_factory=list)
    """Training alone, without that evaluation."""


def predictor(model: keras.Model, should_stop: Callable[[], bool]) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images to the model's outputs, which raises `Stopped` between batches where it should stop."""
    import keras

    asking = keras.callbacks.LambdaCallback()
    asking.on_predict_batch_begin = lambda batch, logs=None: check_stop(should_stop)

    def predict(images: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict(images, batch_size=PREDICTED_AT_ONCE, verbose=0, callbacks=[asking]))

    return predict


def fit(
    model: keras.Model,
    data: Dataset,
    epochs: int,
    on_epoch: Callable[[int, float], None],
    should_stop: Callable[[], bool],
) -> History:
    """Train a compiled model, and evaluate it after each epoch.

    Raises:
        Stopped: `should_stop` said so, between two batches. Diverged: the loss became infinite or NaN.
    """
    import keras

    history = History()
    predict = predictor(model, should_stop)

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = perf_counter()

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            check_stop(should_stop)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            history.epoch_seconds.append(perf_counter() - self.began)
            loss = float(logs["loss"])
            if not np.isfinite(loss):
                raise Diverged(f"the loss was {loss} after epoch {epoch + 1} of {epochs}")
            history.curve.append(accuracy_of(predict(data.x_test), data.y_test))
            on_epoch(epoch + 1, history.curve[-1])

    model.fit(data.x_train, data.y_train, epochs=epochs, batch_size=BATCH_SIZE, verbose=0, callbacks=[Watch()])
    return history


def accuracy_of(outputs: np.ndarray, labels: np.ndarray) -> float:
    """The share of outputs whose greatest entry is at the label."""
    return float(np.mean(outputs.argmax(axis=-1) == labels))
