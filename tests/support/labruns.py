"""Made-up training runs, for tests of what the lab does with runs."""

from anypool.lab.compare import AS_GIVEN, Run
from anypool.lab.metrics import PoolingLayer

LAYERS = [PoolingLayer("Pooling2D", 2048, 512, 27050), PoolingLayer("Pooling2D", 512, 128, 17802)]


def made_up_run(pool="max", seed=0, polarity=AS_GIVEN, accuracy=0.9, **changes):
    """A run of three epochs that ends at this accuracy."""
    measures = {
        "consistency": 0.5,
        "fidelity": 0.4,
        "curve": [0.5, 0.7, accuracy],
        "epoch_seconds": [9.0, 0.2, 0.4],
        "parameters": 27370,
        "layers": LAYERS,
    }
    return Run(**{"pool": pool, "seed": seed, "polarity": polarity, "accuracy": accuracy, **measures, **changes})
