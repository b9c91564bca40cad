"""The lab: which pooling does your own network want? Measured on your images, by anypool's public interface alone.

    from anypool.lab import compare
    comparison = compare(data="digits", poolings=("max", "min", "average"), seeds=3)
    comparison.to_frame()

- `data`: images and labels, checked. `sources`: from folders and from frameworks' data sets.
- `poolings`: the candidates, by what they are called.
- `models`: networks of ours, with the pooling as an argument. `subjects`: what poolings are compared in.
- `networks`: what is asked of a network of Keras or of torch. `measures`: what is measured of it, and of operators.
- `comparison`: `compare`, a run per pooling, seed and stage. `callbacks`: what is told on the way.
- `tuning`: `tune`, a search for the pooling of every site of a network.
- `runs`: what a run is. `results`: results.json, where runs are kept as they end. `environment`: versions, machine.
- `cluster`: runs on a Dask cluster. `clock`: how much of a run is computing.
- `summary`: means, spreads, and whether differences exceed them.
- `report`: the page on what was measured, of templates in page/. `verdict`, `tables`, `charts`: its words, tables
  and Vega-Lite charts. `examples`, `shown`: images, feature maps and flips it shows. `pictures`: images, pooled and
  drawn.
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
    "TuneCallback": "callbacks",
    "Tuning": "tuning.outcome",
    "compare": "comparison",
    "from_arrays": "data",
    "from_datasets": "data",
    "load": "data",
    "render": "report",
    "swap_pooling": "networks.find",
    "tune": "tuning.search",
}
"""Public names and their modules, which are imported when they are asked for: the command line starts at once."""

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
