"""The compiled module: where it is, or why it cannot be used."""

from __future__ import annotations

import importlib
import os
from typing import Any

compiled: Any
"""`anypool._kernels`, or None where it was not built."""
try:
    compiled = importlib.import_module("anypool._kernels")
except ImportError as error:
    compiled = None
    why_not_built: str | None = f"anypool was installed without compiled kernels ({error})"
else:
    why_not_built = None
    if compiled.isa is None:
        wanted = os.environ.get("ANYPOOL_ISA")
        why_not_built = (
            f"ANYPOOL_ISA={wanted!r}: this machine cannot run such kernels"
            if wanted
            else "this processor lacks x86-64-v2"
        )


def available() -> bool:
    """Whether there are kernels for this machine; `why_not_built` says why not."""
    return why_not_built is None
