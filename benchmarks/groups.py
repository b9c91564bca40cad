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
    "dask", "distributed", "numbagg", "ome-zarr-pyramid", "tensorstore", "xarray", "zarr",
)  # fmt: skip
HERE = Path(__file__).parent
RESULTS = "results.json"
CONSOLE = Console(highlight=False)


def run(names: Sequence[str], quick: bool, only: str, out: Path | None) -> bool:
    """Measure these groups and print as they go; whether all of them could be measured.

    With `out`, each record is kept there as it comes, beside the groups measured before; page and picture follow when
    its group is done, so that whoever interrupts loses neither.
    """
    complete = True
    for name in names:
        CONSOLE.rule(f"[bold]{name}")
        group = {"machine": machine(), "minutes": 0.0, "records": []}
        try:
            _measure(name, group, quick, only, out)
        except Exception:
            CONSOLE.print_exception()
            complete = False
        if group["records"] and out is not None:
            _draw(out)
    return complete


def _measure(name: str, group: dict[str, Any], quick: bool, only: str, out: Path | None) -> None:
    measure, show = GROUPS[name]
    started = time.time()

    def keep(record: Record) -> None:
        show(record)
        group["records"].append(record)
        group["minutes"] = (time.time() - started) / 60
        if out is not None:
            _keep(out, name, group)

    measure(quick, only, keep)


def _keep(out: Path, name: str, group: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / RESULTS
    results = (json.loads(path.read_text()) if path.exists() else {}) | {name: group}
    whole = path.with_suffix(".part")
    whole.write_text(json.dumps(results, indent=1) + "\n")
    whole.replace(path)


def _draw(out: Path) -> None:
    from benchmarks import page

    results = json.loads((out / RESULTS).read_text())
    page.write(results, out)
    if out == HERE:
        page.fill(HERE.parent / "docs" / "speed.md", page.sections(results))
    CONSOLE.print(f"wrote {out / RESULTS}, {out / 'README.md'} and {out / 'speed.svg'}")


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


Record = dict[str, Any]
Report = Callable[[Record], None]


def kernels(quick: bool, only: str, report: Report) -> None:
    """Every row of the table of cases."""
    logging.getLogger("torch").setLevel(logging.CRITICAL)  # what torch.compile cannot do is written in the row
    rows = [row for row in cases.rows(quick=quick) if only in row.name]
    peers = contenders.CORE_PEERS if quick else contenders.PEERS
    warm_up = next(row for row in cases.rows() if row.case.what == "tiny")
    pooling.measure_row(warm_up, contenders.ANYPOOL, peers)  # imports and first compilations are nobody's time
    pooling.measure(rows, contenders.ANYPOOL, peers, report)


def operators(quick: bool, only: str, report: Report) -> None:
    """Every operator that has a name."""
    from benchmarks import operators

    operators.measure(quick, only, report)


def torch_networks(quick: bool, only: str, report: Report) -> None:
    """Whole networks in torch."""
    from benchmarks import torch_networks

    torch_networks.measure(quick, only, report)


def jax_gradients(quick: bool, only: str, report: Report) -> None:
    """JAX arrays."""
    from benchmarks import jax_gradients

    jax_gradients.measure(quick, only, report)


def keras_course(quick: bool, only: str, report: Report) -> None:
    """The course network in Keras."""
    from benchmarks import keras_course

    keras_course.measure(quick, only, report)


def pyramids(quick: bool, only: str, report: Report) -> None:
    """Arrays in zarr."""
    logging.disable(logging.INFO)  # ome_zarr_pyramid says each of its steps
    from benchmarks import pyramids as zarr_pyramids

    zarr_pyramids.measure(quick, only, report)


def memory(quick: bool, only: str, report: Report) -> None:
    """What training keeps."""
    from benchmarks import memory

    if not only:
        memory.measure(report)


def large(quick: bool, only: str, report: Report) -> None:
    """Large arrays."""
    from benchmarks import large_arrays

    large_arrays.measure(quick, only, report)


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


def _print_jax(record: pooling.Record) -> None:
    _print_row(record | {"name": f"{record['name']}; memory: {record['memory']}"})


def _print_network(record: dict[str, Any]) -> None:
    seconds = record["seconds"]
    gain, bound = record["gain"], record["bound"]
    name = f"{record['network']}, batch {record['batch']}, {record['direction']}, channels {record['layout']}"
    before, after = (record["peak bytes"][name] / 2**20 for name in ("before", "after"))
    CONSOLE.print(
        f"{name:<52} {seconds['after'] * 1e3:9.2f} ms  {_coloured(f'{gain:.2f}×', gain)}  "
        f"bound {bound:.2f}×  itself {record['itself']:.2f}×  peak {before:.0f} → {after:.0f} MiB",
        soft_wrap=True,
    )


def _print_keras(record: dict[str, Any]) -> None:
    ours, gain = record["seconds"]["anypool.keras"], record["gain"]
    name = f"Keras on {record['backend']}, {record['pooling']} pooling, {record['what']}"
    itself = f"itself {record['itself']:.2f}×"
    CONSOLE.print(f"{name:<52} {ours:9.3f} s  {_coloured(f'{gain:.2f}×', gain)}  {itself}", soft_wrap=True)


def _print_pyramid(record: dict[str, Any]) -> None:
    cpu, wall = record["cpu"], record["wall"]
    each = (f"{name} {seconds:.2f} s of CPU in {wall[name]:.2f} s" for name, seconds in cpu.items())
    CONSOLE.print(f"{record['name']}: {', '.join(each)}", soft_wrap=True)


def _print_memory(record: dict[str, Any]) -> None:
    each = ", ".join(f"{name} {value:.2f}" for name, value in record["bytes per output"].items())
    CONSOLE.print(f"{record['what']}: {each} bytes per output", soft_wrap=True)


def _print_large(record: dict[str, Any]) -> None:
    ours = record["seconds"]["anypool"]
    line = (
        f"{record['name']:<56} {ours * 1e3:9.1f} ms  {record['bytes'] / ours / 1e9:6.2f} GB/s (goal {record['goal']})"
    )
    for peer, seconds in record["seconds"].items():
        if peer != "anypool":
            line += f"  {_coloured(f'{peer} {seconds / ours:.2f}×', seconds / ours)}"
    CONSOLE.print(f"{line}  {record['memory']}", soft_wrap=True)


def _coloured(text: str, ratio: float) -> str:
    colour = "green" if ratio >= 1 else "yellow" if ratio >= 0.95 else "red"
    return f"[{colour}]{text}[/]"


GROUPS: dict[str, tuple[Callable[[bool, str, Report], None], Report]] = {
    "kernels": (kernels, _print_row),
    "operators": (operators, _print_row),
    "torch-networks": (torch_networks, _print_network),
    "jax": (jax_gradients, _print_jax),
    "keras": (keras_course, _print_keras),
    "large": (large, _print_large),
    "pyramids": (pyramids, _print_pyramid),
    "memory": (memory, _print_memory),
}
