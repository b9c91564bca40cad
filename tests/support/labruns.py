"""Made-up training runs, for tests of what the lab does with runs."""

import signal

from anypool.lab.callbacks import check_stop
from anypool.lab.runs import AS_GIVEN, TRAINED, PoolingLayer, Run, RunKey

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

    def __init__(self):
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
        if job.pool in self.failing:
            raise self.failing[job.pool]
        callback.on_epoch_end(RunKey(*job), 1, 0.5)
        yield made_up_run(job.pool, job.seed, job.polarity, accuracy=0.9 + job.seed / 100)
