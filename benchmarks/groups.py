"""The groups of measurements, one after another, and what is kept of them."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console

import anypool
from benchmarks import cases, contenders, pooling
from benchmarks.timing import THREADS

VERSIONED = (
    "numpy", "torch", "onnxruntime", "openvino", "tensorflow-cpu", "jax", "keras", "scikit-image", "scipy",
)  # fmt: skip
CONSOLE = Console(highlight=False)


def run(names: Sequence[str], quick: bool, only: str, out: Path | None) -> None:
    """Measure these groups, print as they go, and write what was found into `out`, beside groups measured before."""
    found: dict[str, Any] = {}
    for name in names:
        CONSOLE.rule(f"[bold]{name}")
        started = time.time()
        records = GROUPS[name](quick, only)
        if records:
            found[name] = {"machine": machine(), "minutes": (time.time() - started) / 60, "records": records}
    if out is not None:
        from benchmarks import page

        out.mkdir(parents=True, exist_ok=True)
        path = out / "results.json"
        results = (json.loads(path.read_text()) if path.exists() else {}) | found
        path.write_text(json.dumps(results, indent=1) + "\n")
        page.write(results, out)
        CONSOLE.print(f"wrote {path}, {out / 'README.md'} and {out / 'speed.svg'}")


def machine() -> dict[str, Any]:
    """Where and with what it was measured."""
    versions = {name: version for name in VERSIONED if (version := _version(name))}
    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "threads": THREADS,
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "load before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": {"anypool": anypool.__version__} | versions,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "avx512f" in named.get("flags", ""):
        return f"{named['model name']}, AVX-512"
    return named.get("model name", platform.processor() or "unknown")


def kernels(quick: bool, only: str) -> list[pooling.Record]:
    """Every row of the table of cases."""
    anypool.set_num_threads(THREADS)
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    rows = [row for row in cases.rows(quick=quick) if only in row.name]
    peers = contenders.CORE_PEERS if quick else contenders.PEERS
    return pooling.measure(rows, peers, _print_row)


def _print_row(record: pooling.Record) -> None:
    seconds = record["seconds"]
    ours = min(seconds[c.name] for c in contenders.ANYPOOL if c.name in seconds)
    line = f"{record['name']:<72} {ours * 1e3:9.3f} ms"
    if pooling.COPY in seconds and contenders.INTO in seconds:
        line += f"  [cyan]{seconds[pooling.COPY] / seconds[contenders.INTO]:4.2f} of copy[/]"
    for peer, ratio in pooling.ratios(record).items():
        colour = "green" if ratio >= 1 else "yellow" if ratio >= 0.95 else "red"
        line += f"  [{colour}]{peer} {ratio:.2f}×[/]"
    CONSOLE.print(line, soft_wrap=True)


GROUPS: dict[str, Callable[[bool, str], list[dict[str, Any]]]] = {"kernels": kernels}
NAMES = tuple(GROUPS)
