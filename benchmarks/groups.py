"""The groups of measurements, one after another, and what is kept of them."""

from __future__ import annotations

import json
import logging
import math
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
HERE = Path(__file__).parent
CONSOLE = Console(highlight=False)


def run(names: Sequence[str], quick: bool, only: str, out: Path | None) -> bool:
    """Measure these groups and print as they go; whether all of them could be measured.

    With `out`, what was found is written there after each group, beside the groups measured before.
    """
    complete = True
    for name in names:
        CONSOLE.rule(f"[bold]{name}")
        started = time.time()
        try:
            records = GROUPS[name](quick, only)
        except Exception:
            CONSOLE.print_exception()
            complete = False
            continue
        if records and out is not None:
            minutes = (time.time() - started) / 60
            _write(out, {name: {"machine": machine(), "minutes": minutes, "records": records}})
    return complete


def _write(out: Path, found: dict[str, Any]) -> None:
    from benchmarks import page

    out.mkdir(parents=True, exist_ok=True)
    path = out / "results.json"
    results = (json.loads(path.read_text()) if path.exists() else {}) | found
    path.write_text(json.dumps(results, indent=1) + "\n")
    page.write(results, out)
    if out == HERE:
        page.fill(HERE.parent / "docs" / "speed.md", page.sections(results))
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


Records = list[dict[str, Any]]


def kernels(quick: bool, only: str) -> Records:
    """Every row of the table of cases."""
    logging.getLogger("torch").setLevel(logging.CRITICAL)  # what torch.compile cannot do is written in the row
    rows = [row for row in cases.rows(quick=quick) if only in row.name]
    peers = contenders.CORE_PEERS if quick else contenders.PEERS
    warm_up = next(row for row in cases.rows() if row.case.what == "tiny")
    pooling.measure_row(warm_up, contenders.ANYPOOL, peers)  # imports and first compilations are nobody's time
    return pooling.measure(rows, contenders.ANYPOOL, peers, _print_row)


def torch_networks(quick: bool, only: str) -> Records:
    """Whole networks in torch."""
    from benchmarks import torch_networks

    return torch_networks.measure(quick, only, _print_network)


def jax_gradients(quick: bool, only: str) -> Records:
    """JAX arrays."""
    from benchmarks import jax_gradients

    return jax_gradients.measure(quick, only, _print_row)


def keras_course(quick: bool, only: str) -> Records:
    """The course network in Keras."""
    from benchmarks import keras_course

    return keras_course.measure(quick, only, _print_keras)


def memory(quick: bool, only: str) -> Records:
    """What training keeps."""
    from benchmarks import memory

    return memory.measure(_print_memory) if not only else []


def _print_row(record: pooling.Record) -> None:
    seconds = record["seconds"]
    ours = min((time for name, time in seconds.items() if name.startswith("anypool")), default=math.nan)
    line = f"{record['name']:<68} {ours * 1e3:9.3f} ms"
    if pooling.COPY in seconds:
        line += f"  [cyan]{seconds[pooling.COPY] / seconds[contenders.INTO]:4.2f} of copy[/]"
    for peer, ratio in pooling.ratios(record).items():
        line += f"  {_coloured(f'{peer} {ratio:.2f}×', ratio)}"
    for name, reason in record["refused"].items():
        if name.startswith("anypool") and reason != contenders.NO_GRADIENTS:
            line += f"  [bold red]{name}: {reason}[/]"
    CONSOLE.print(line, soft_wrap=True)


def _print_network(record: dict[str, Any]) -> None:
    seconds = record["seconds"]
    gain, bound = (seconds["before"] / seconds[name] for name in ("after", "pooling free"))
    name = f"{record['network']}, batch {record['batch']}, {record['direction']}, channels {record['layout']}"
    before, after = (record["peak bytes"][name] / 2**20 for name in ("before", "after"))
    CONSOLE.print(
        f"{name:<52} {seconds['after'] * 1e3:9.2f} ms  {_coloured(f'{gain:.2f}×', gain)}  "
        f"bound {bound:.2f}×  peak {before:.0f} → {after:.0f} MiB",
        soft_wrap=True,
    )


def _print_keras(record: dict[str, Any]) -> None:
    theirs, ours = record["seconds"].values()
    name = f"Keras on {record['backend']}, {record['pooling']} pooling, {record['what']}"
    CONSOLE.print(f"{name:<52} {ours:9.3f} s  {_coloured(f'{theirs / ours:.2f}×', theirs / ours)}", soft_wrap=True)


def _print_memory(record: dict[str, Any]) -> None:
    each = ", ".join(f"{name} {value:.2f}" for name, value in record["bytes per output"].items())
    CONSOLE.print(f"{record['what']}: {each} bytes per output", soft_wrap=True)


def _coloured(text: str, ratio: float) -> str:
    colour = "green" if ratio >= 1 else "yellow" if ratio >= 0.95 else "red"
    return f"[{colour}]{text}[/]"


GROUPS: dict[str, Callable[[bool, str], Records]] = {
    "kernels": kernels,
    "torch-networks": torch_networks,
    "jax": jax_gradients,
    "keras": keras_course,
    "memory": memory,
}
