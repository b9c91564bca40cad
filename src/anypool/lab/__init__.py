"""The lab: which pooling does your own network want? Measured on your images, by anypool's public interface alone.

    from anypool.lab import compare
    comparison = compare(data="digits", poolings=("max", "min", "average"), seeds=3)
    comparison.to_frame()

- `data`: images and labels, from scikit-learn, `keras.datasets`, files or arrays, checked.
- `poolings`: the candidates, by what they are called.
- `models`: networks of ours, with the pooling as an argument. `subjects`: what poolings are compared in.
- `metrics`: shift consistency, fidelity, values kept.
- `comparison`: `compare`, a run per pooling and seed. `training`: the loop. `callbacks`: what is told on the way.
- `runs`: what a run is. `results`: results.json, where runs are kept as they end. `environment`: versions, machine.
- `summary`: means, spreads, and whether differences exceed them.
- `report`, `charts`: the page that says what was measured. `pictures`: images, pooled and drawn.
- `shapes`: output sizes, explained. `files`: writing them whole, and locks.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    "Callback": "callbacks",
    "Comparison": "comparison",
    "Dataset": "data",
    "Failure": "runs",
    "Run": "runs",
    "compare": "comparison",
    "from_arrays": "data",
    "load": "data",
    "render": "report",
}
"""Public names and their modules, which are imported when they are asked for: the command line starts at once."""

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
