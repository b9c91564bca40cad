"""Which adapter serves an array: one per framework, loaded only when an array of that framework comes."""

from __future__ import annotations

import importlib
from typing import Any

from anypool.adapters.base import Adapter

_MODULES = {
    "numpy": "numpy",
    "torch": "torch.adapter",
    "jax": "jax.adapter",
    "jaxlib": "jax.adapter",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "dask": "dask",
    "zarr": "dask",
}
_ADAPTERS: dict[type, Adapter] = {}


def adapter_for(x: Any, chunks: Any = None) -> Adapter:
    """The adapter of the framework that x belongs to, which cuts outputs into these chunks if it is asked to; whatever
    NumPy can read is NumPy's."""
    if chunks is not None:
        return adapter_for(x).with_chunks(chunks)
    kind = type(x)
    if kind.__module__ == "torch":  # apart, because torch.compile reads this as it runs, and follows only statements
        from anypool.adapters.torch.adapter import ADAPTER

        return ADAPTER
    adapter = _ADAPTERS.get(kind)
    if adapter is None:
        roots = (cls.__module__.partition(".")[0] for cls in kind.__mro__)
        module = next((_MODULES[root] for root in roots if root in _MODULES), "numpy")
        adapter = _ADAPTERS[kind] = _imported(module)
    return adapter


def _imported(module: str) -> Adapter:
    try:
        return importlib.import_module(f"anypool.adapters.{module}").ADAPTER
    except ImportError:
        if module != "dask":
            raise
        return _imported("numpy")  # a zarr array where there is no Dask: it says what to install
