"""Made-up training runs, for tests of what the lab does with runs."""

import os
import signal
import time
from dataclasses import replace

import numpy as np

from anypool.lab.callbacks import check_stop
from anypool.lab.data import from_arrays
from anypool.lab.networks.base import Diverged, History, Site
from anypool.lab.runs import AS_GIVEN, TRAINED, PoolingLayer, Run, RunKey
from anypool.lab.subjects import SwappedNetwork

SETTINGS = {
    "model": "course", "data": "digits", "split": "by hand", "digest": "0123456789abcdef01", "train_images": 1440,
    "test_images": 357, "input_shape": [8, 8, 1], "classes": 10, "background": 0.0, "epochs": 3, "batch_size": 32,
    "learning_rate": 0.001, "max_shift": 2, "draws": 8, "backend": "jax 1.2",
}  # fmt: skip
"""Of a comparison of the course network on the digits."""

LAYERS = [PoolingLayer("Pooling2D", 2048, 512, 27050), PoolingLayer("Pooling2D", 512, 128, 17802)]


def made_up_run(pool="max", seed=0, polarity=AS_GIVEN, accuracy=0.9, **changes):
    """A run of three epochs that ends at this accuracy."""
    known = {
        "measures": {"accuracy": accuracy, "consistency": 0.5, "fidelity": 0.4},
        "curve": [0.5, 0.7, accuracy],
        "epoch_seconds": [9.0, 0.2, 0.4],
        "parameters": 27370,
        "layers": LAYERS,
        "environment": {"anypool": "0", "machine": "a machine"},
    }
    return Run(**{"pool": pool, "seed": seed, "polarity": polarity, **known, **changes})


class MadeUpSubject:
    """A network that is only pretended to be trained: what it was asked for, and what it answers."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.jobs = []
        self.failing = {}
        self.interrupt_at = None
        """The number of jobs after which somebody presses Ctrl-C."""

    framework = "nothing"
    trained = True
    draws, moved_images = 8, None

    def check(self, data):
        pass

    def poolings(self, names):
        return names

    def settings(self):
        return {"model": "made up", "backend": "none", "learning_rate": 0.001}

    def stages(self, seed, plan):
        return (TRAINED,)

    def measure(self, job, data, plan, callback):
        if len(self.jobs) == self.interrupt_at:
            signal.raise_signal(signal.SIGINT)
            check_stop(callback.should_stop)
        self.jobs.append((*job, data.background))
        time.sleep(self.seconds)
        if job.pool in self.failing:
            raise self.failing[job.pool]
        callback.on_epoch_end(RunKey(*job), 1, 0.5)
        yield made_up_run(job.pool, job.seed, job.polarity, accuracy=0.9 + job.seed / 100)


class MadeUpNetwork:
    """A network of two poolings that no framework computes: how good it is depends on what pools alone."""

    libraries = ("numpy",)
    backend = "numpy"
    has_batch_norm = False
    parameters = 10
    model = None
    suffix = ".keras"

    def save(self, path):
        path.write_text("made up")

    def __init__(self, pools=("max", "max"), sizes=(2, 2), seconds=0.0):
        self.pools, self.sizes, self.seconds = pools, sizes, seconds

    def sites(self):
        settings = {"pool_size": 2, "strides": 2, "padding": "valid"}
        return [Site("first", "sliding", settings), Site("second", "sliding", settings)]

    def resized(self, site, size, stride):
        return replace(site, settings={**site.settings, "pool_size": size, "strides": stride})

    def swapped(self, choices):
        found = {site.name: (candidate.name, site.settings["pool_size"]) for site, candidate in choices}
        pairs = [found.get(site.name, ("max", 2)) for site in self.sites()]
        return MadeUpNetwork(*zip(*pairs, strict=True), self.seconds)

    def digest(self):
        return "made up"

    def predict(self, images, should_stop):
        """The right class in as many of ten images as the poolings deserve; the mean of an image is its class."""
        labels = np.round(images.mean((1, 2, 3))).astype(int)
        right = np.arange(len(images)) % 10 < round(10 * self.goodness)
        return np.eye(2)[np.where(right, labels, 1 - labels)]

    @property
    def goodness(self):
        """At most 1, which two averages with windows of 3 have alone."""
        worth = {"max": 0.3, "average": 0.4, "min": 0.1}
        return sum(worth.get(pool.partition(":")[0], 0.2) for pool in self.pools) + 0.1 * self.sizes.count(3)

    def fit(self, data, epochs, learning_rate, seed, on_epoch, should_stop):
        history = History()
        for epoch in range(1, epochs + 1):
            time.sleep(self.seconds)
            check_stop(should_stop)
            if "median" in self.pools:
                raise Diverged("the loss was nan after epoch 1")
            marker = os.environ.get("KILLED_ONCE")
            if marker and not os.path.exists(marker):
                open(marker, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            history.curve.append(self.goodness * epoch / epochs)
            on_epoch(epoch, history.curve[-1])
        return history

    def training_step(self, images):
        return None

    def cost(self, images):
        return {"multiply_adds": 100.0 * sum(self.sizes), "activation_bytes": 8.0}


def made_up_images(count=40):
    """Images of two classes, dark and light."""
    labels = np.arange(count) % 2
    images = np.broadcast_to(labels[:, None, None], (count, 6, 6)).astype("float32")
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    return from_arrays(arrays, "light", "by hand", scale=False)


def made_up_subject(seconds=0.0):
    """A network of the user's to tune, which trains for so long per epoch."""
    return SwappedNetwork(MadeUpNetwork(seconds=seconds), "made up", "all")
