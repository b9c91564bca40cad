"""`anypool info`: what a report of a bug should say."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

import anypool as ap

PACKAGES = (
    "numpy", "ml_dtypes", "torch", "jax", "jaxlib", "tensorflow", "tensorflow-cpu", "keras", "onnx", "dask", "xarray",
)  # fmt: skip
SETTINGS = ("ANYPOOL_", "KERAS_BACKEND", "JAX_PLATFORMS", "JAX_ENABLE_X64", "OMP_", "GOMP_", "GLIBC_TUNABLES")
"""How the environment variables begin that decide about pooling."""


def info() -> None:
    """Print versions, processor, threads and settings, for reports of bugs. No framework is imported."""
    width = max(len(name) for name, _ in _lines())
    for name, value in _lines():
        print(f"{name:<{width}}  {value}")


def _lines() -> Iterator[tuple[str, str]]:
    yield "anypool", ap.__version__
    yield "python", f"{platform.python_version()}, {platform.python_implementation()}, {platform.platform()}"
    yield "processor", f"{_processor()}, {os.cpu_count()} processors"
    yield "kernels", _kernels()
    for package in PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    for name, value in sorted(os.environ.items()):
        if name.startswith(SETTINGS):
            yield name, value


def _kernels() -> str:
    """What the kernels use, or why there are none."""
    try:
        ap.max_pool(np.zeros((2, 2)), 2, impl="kernel")
    except ValueError as reason:
        return f"none: {reason}"
    cached = f"{ap.get_memory_cache_limit() / 2**20:,.0f} MiB"
    return f"{ap.get_cpu_capability()}, {ap.get_num_threads()} threads, memory cache of at most {cached}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
