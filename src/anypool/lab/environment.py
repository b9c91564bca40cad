"""What runs are made with: versions and machine."""

from __future__ import annotations

import os
import platform
from importlib import import_module, metadata
from pathlib import Path


def environment(*libraries: str) -> dict[str, str]:
    """Versions of anypool, Python and these libraries, and the machine.

    >>> sorted(environment("numpy"))
    ['anypool', 'machine', 'numpy', 'python']
    """
    versions = {name: _version(name) for name in ("anypool", *libraries)}
    return {**versions, "python": platform.python_version(), "machine": _machine()}


def _version(library: str) -> str:
    """The version of an imported library; a package of another name may have brought it (tensorflow-cpu)."""
    version = getattr(import_module(library), "__version__", None)
    return version if isinstance(version, str) else metadata.version(library)


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{processor}, {cores} cores, {platform.system()}"
