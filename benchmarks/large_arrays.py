"""Large arrays: what chunks are reduced by, in memory, and Dask's graphs on two distributed workers.

Rows in memory say how much of the input goes through in a second. The rows of Dask say how long graphs take, too: how
their cost grows with the number of chunks, and which part of it is the graph's.
"""

from __future__ import annotations

import importlib
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import anypool as ap
from benchmarks.timing import THREADS, interleave, median

Record = dict[str, Any]
Calls = dict[str, Callable[[], Any]]
OURS = "anypool"


@dataclass(frozen=True)
class Row:
    """A case in memory: its input, and a call for everyone who can do it."""

    name: str
    goal: str
    make: Callable[[int], np.ndarray]
    calls: Callable[[np.ndarray], Calls]
    exact: bool = True
    """Whether everyone gives the same values: ties of modes may go elsewhere, and plain averages have NaN."""


def measure(quick: bool, only: str, report: Callable[[Record], None]) -> None:
    """Every row whose name contains `only`."""
    for row in ROWS:
        if only in row.name:
            report(in_memory(row, quick))
    for name, measured in (("sliding 3³ maximum by Dask", distributed), ("cost by number of chunks", by_chunks)):
        if only in name:
            for record in measured(name, quick):
                report(record)


def in_memory(row: Row, quick: bool) -> Record:
    """Seconds of everyone for one row, and what we take of memory beside the output."""
    x = row.make(2 if quick else 1)
    calls = row.calls(x)
    expected = np.asarray(calls[OURS]())
    refused = {}
    for name, call in list(calls.items()):
        try:
            values = np.asarray(call())
        except Exception as error:
            refused[name] = f"{type(error).__name__}: {error}"
            del calls[name]
            continue
        if row.exact:
            np.testing.assert_allclose(values.astype("float64"), expected.astype("float64"), rtol=1e-5, atol=0.5)
    seconds = {name: median(times) for name, times in interleave(calls).items()}
    tracemalloc.start()
    calls[OURS]()
    temporary = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "name": row.name,
        "goal": row.goal,
        "bytes": x.nbytes,
        "seconds": seconds,
        "refused": refused,
        "memory": f"{temporary / expected.nbytes:.1f} times the output beside it",
    }


# ---------------------------------------------------------------------------------------------------------------------
# In memory


def _volume(smaller: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60_000, (256 // smaller, 256, 256), dtype="uint16")


def _labels(smaller: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, (4096 // smaller, 4096), dtype="uint8")


def _raster(smaller: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4096 // smaller, 4096)).astype("float32")
    x[rng.random(x.shape) < 0.1] = np.nan
    return x


def _tensorstore(x: np.ndarray, method: Any) -> Callable[[], Any]:
    import tensorstore

    context = tensorstore.Context({"data_copy_concurrency": {"limit": THREADS}})
    lazy = tensorstore.downsample(tensorstore.array(x, context=context), [2] * x.ndim, method)
    return lambda: lazy.read().result()


def _coarsened(x: np.ndarray, method: str) -> Callable[[], Any]:
    import xarray

    dims = "zyx"[-x.ndim :]
    array = xarray.DataArray(x, dims=tuple(dims))
    return lambda: getattr(array.coarsen(dict.fromkeys(dims, 2)), method)()


def _of_tensorstore(method: str, x: np.ndarray) -> Calls:
    operator, axes = {"mean": "average"}.get(method, method), tuple(range(x.ndim))
    dtype = x.dtype if method == "mean" else None
    calls: Calls = {OURS: lambda: ap.pool(x, operator, ap.Sliding(2), axes, dtype=dtype)}
    calls["TensorStore"] = _tensorstore(x, method)
    if method == "mean":  # its medians are means of two
        calls["xarray"] = _coarsened(x, method)
    return calls


def _nan_mean(x: np.ndarray) -> Calls:
    import numbagg

    rows, columns = x.shape
    blocks = x.reshape(rows // 2, 2, columns // 2, 2)
    return {
        OURS: lambda: ap.avg_pool(x, 2, nan_policy="omit"),
        "anypool, plain": lambda: ap.avg_pool(x, 2),
        "numbagg": lambda: numbagg.nanmean(blocks, axis=(1, 3)),
        "xarray": _coarsened(x, "mean"),
    }


ROWS = (
    Row("mean 2³, uint16 → uint16", "≥ 15 GB/s", _volume, partial(_of_tensorstore, "mean")),
    Row("NaN-mean 2×2, float32", "≥ 12 GB/s", _raster, _nan_mean, exact=False),
    Row("median 2³, uint16", "≥ 15× TensorStore", _volume, partial(_of_tensorstore, "median")),
    Row("mode 2×2, uint8", "≥ 10 GB/s", _labels, partial(_of_tensorstore, "mode"), exact=False),
)


# ---------------------------------------------------------------------------------------------------------------------
# Dask


def distributed(name: str, quick: bool) -> Iterator[Record]:
    """A sliding maximum of 512 chunks on two workers, beside map_overlap of SciPy's filter and of our own kernel."""
    import dask
    import dask.array as da
    import zarr
    from distributed import Client, LocalCluster, wait
    from scipy.ndimage import maximum_filter

    side, chunk = (128, 16) if quick else (512, 64)
    x = np.random.default_rng(0).integers(0, 255, (side,) * 3, dtype="uint8")

    def ours(block: np.ndarray) -> np.ndarray:
        return ap.max_pool(block, (3, 3, 3), stride=1, padding=1)

    def overlapped(lazy: Any, function: Any) -> Any:
        meta = np.empty((0, 0, 0), x.dtype)
        return da.overlap.map_overlap(function, lazy, depth=1, boundary="none", meta=meta)

    with tempfile.TemporaryDirectory() as folder, dask.config.set({"distributed.worker.daemon": True}):
        stored = zarr.create_array(f"{folder}/x.zarr", data=x, chunks=(chunk,) * 3)
        makers = {
            OURS: lambda: ap.max_pool(stored, (3, 3, 3), stride=1, padding=1),
            "map_overlap, SciPy": lambda: overlapped(da.from_zarr(stored), partial(maximum_filter, size=3)),
            "map_overlap, anypool": lambda: overlapped(da.from_zarr(stored), ours),
        }
        options: Any = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
        with LocalCluster(**options) as cluster, Client(cluster) as client:

            def run(make: Callable[[], Any]) -> float:
                start = time.perf_counter()
                result = client.persist(make())
                wait(result)
                return time.perf_counter() - start

            client.run(_import_all)  # is nobody's time
            seconds: dict[str, list[float]] = {each: [] for each in makers}
            for _ in range(1 if quick else 3):
                for each, make in makers.items():
                    seconds[each].append(run(make))
    yield {
        "name": f"{name}, {(side // chunk) ** 3} chunks, two workers",
        "goal": "≥ 5× map_overlap",
        "bytes": x.nbytes,
        "seconds": {each: min(times) for each, times in seconds.items()},
        "refused": {},
        "memory": "",
    }


def _import_all() -> None:
    for name in ("anypool.adapters.dask", "scipy.ndimage"):
        importlib.import_module(name)


def by_chunks(name: str, quick: bool) -> Iterator[Record]:
    """A sliding maximum of 64, 512 and 4,096 chunks of 32³ on two threads: all of it, and what the graph takes."""
    import dask
    import dask.array as da

    chunk = 32
    for along in (4, 8) if quick else (4, 8, 16):
        lazy = da.zeros((along * chunk,) * 3, chunks=chunk, dtype="uint8")
        best: dict[str, float] = {}
        for _ in range(1 if along == 16 else 3):
            start = time.perf_counter()
            (graph,) = dask.optimize(ap.max_pool(lazy, (3, 3, 3), stride=2, padding=1))
            middle = time.perf_counter()
            graph.compute(num_workers=THREADS, optimize_graph=False)
            end = time.perf_counter()
            took = {OURS: end - start, "its graph": middle - start}
            best = took if not best or took[OURS] < best[OURS] else best
        yield {
            "name": f"{name}: {along**3:,}",
            "goal": "linear",
            "bytes": lazy.nbytes,
            "seconds": best,
            "refused": {},
            "memory": f"{best[OURS] / along**3 * 1e3:.2f} ms per chunk, graph {best['its graph'] / best[OURS]:.0%}",
        }
