"""The group "pyramids": pyramids of arrays in zarr, in CPU seconds beside wall time, and what reading alone costs.

Everyone makes the same three levels of the same image with the same codec. Peers that make a level of the rounded level
before are measured too; the share of pixels in which their last level differs from the exact one stands beside them.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import anypool as ap
from benchmarks.tasks import Refused
from benchmarks.timing import THREADS

Record = dict[str, Any]
Call = Callable[[], object]
Shape = tuple[int, int, int]

SHAPE: Shape = (512, 1024, 1024)
"""1 GiB of uint16."""
QUICK_SHAPE: Shape = (256, 512, 512)
CHUNK = 128
LEVELS = 3
ROUNDS = 3
READING, CHUNKWISE, OURS = "reading alone", "reading alone, chunk by chunk", "anypool"
OME_ZARR_PYRAMID = "ome_zarr_pyramid"


def measure(quick: bool, only: str, report: Callable[[Record], None]) -> None:
    """One record per kind of pyramid."""
    shape = QUICK_SHAPE if quick else SHAPE
    for name, operator, make, copies in ROWS:
        if only in name:
            with tempfile.TemporaryDirectory() as folder:
                report(measure_row(f"{name}, uint16, {_size(shape)}", operator, make(shape), copies, Path(folder)))


def measure_row(name: str, operator: str, x: np.ndarray, copies: bool, folder: Path) -> Record:
    """Everyone in turns; the last level of each is compared with the exact one."""
    record: Record = {"name": name, "cpu": {}, "wall": {}, "differs": {}, "refused": {}}
    times: dict[str, list[tuple[float, float]]] = {}
    for number in range(ROUNDS):
        for contender, run in CONTENDERS.items():
            if contender in record["refused"]:
                continue
            place = folder / f"{number}-{len(times)}"
            try:
                with _image(place, x):
                    took = _seconds(partial(run, place, operator, copies))
                    times.setdefault(contender, []).append(took)
                    if number == 0 and not contender.startswith(READING):
                        record["differs"][contender] = _differs(place, x, operator, contender)
            except Refused as refusal:
                record["refused"][contender] = str(refusal)
                times.pop(contender, None)
    for contender, each in times.items():
        record["cpu"][contender] = statistics.median(cpu for cpu, _ in each)
        record["wall"][contender] = statistics.median(wall for _, wall in each)
    return record


def _seconds(call: Call) -> tuple[float, float]:
    """CPU seconds, of children too, and wall time."""
    before, start = _cpu(), time.perf_counter()
    call()
    return _cpu() - before, time.perf_counter() - start


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _differs(place: Path, x: np.ndarray, operator: str, contender: str) -> float:
    """The share of pixels of the last level that are not the exact ones."""
    import zarr

    made = "copy" if contender == OME_ZARR_PYRAMID or (place / "copy").exists() else ""
    level: Any = zarr.open_group(place / made, mode="r")[str(LEVELS)]
    got = np.squeeze(np.asarray(level[...]))
    exact = ap.pool(x, "average" if operator == "mean" else operator, ap.Sliding((2**LEVELS,) * 3), dtype=x.dtype.name)
    return float((got != exact).mean())


# ---------------------------------------------------------------------------------------------------------------------
# Images


def picture(shape: Shape) -> np.ndarray:
    """A smooth field with the noise of a camera, 12 bits."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    out = np.empty(shape, np.uint16)
    for at in range(0, shape[0], CHUNK):
        part = slice(at, at + CHUNK)
        field = 1000 + 300 * np.sin(z[part] / 40) + 300 * np.cos(y / 33) * np.sin(x / 51)
        out[part] = field + rng.normal(0, 10, field.shape).astype(np.float32)
    return out


def labels(shape: Shape) -> np.ndarray:
    """Cells of some 20 voxels with wavy borders, each with a label of its own."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    rows = ((z + 6 * np.sin(y / 9)) / 20).astype(np.int32)
    columns = ((y + 6 * np.sin(x / 11)) / 24).astype(np.int32)
    return ((rows * 1931 + columns * 97 + ((x + 6 * np.sin(z / 7)) / 28).astype(np.int32)) % 60000).astype(np.uint16)


@contextmanager
def _image(place: Path, x: np.ndarray) -> Iterator[None]:
    """An OME-Zarr image with x as its level 0."""
    import zarr
    from zarr.codecs import BloscCodec

    group = zarr.create_group(place)
    codec = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")
    array = group.create_array(
        "0", shape=x.shape, chunks=(CHUNK,) * 3, dtype=x.dtype, compressors=codec, dimension_names=list("zyx")
    )
    array[...] = x
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.update_attributes({"ome": {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}})
    try:
        yield
    finally:
        shutil.rmtree(place)


def _size(shape: Shape) -> str:
    megabytes = int(np.prod(shape)) * 2 // 2**20
    return f"{megabytes} MiB" if megabytes < 1024 else f"{megabytes // 1024} GiB"


# ---------------------------------------------------------------------------------------------------------------------
# Contenders: each makes the levels of the image in a folder, in place or with a copy of level 0 in its folder "copy"


def read(place: Path, operator: str, copies: bool) -> None:
    import zarr

    array: Any = zarr.open_group(place, mode="r")["0"]
    for at in range(0, array.shape[0], 2 * CHUNK):
        array[at : at + 2 * CHUNK]


def read_chunks(place: Path, operator: str, copies: bool) -> None:
    import zarr

    array: Any = zarr.open_group(place, mode="r")["0"]
    for at in np.ndindex(*(n // CHUNK for n in array.shape)):
        array[tuple(slice(a * CHUNK, (a + 1) * CHUNK) for a in at)]


def anypool(place: Path, operator: str, copies: bool) -> None:
    ap.pyramid(place, place / "copy" if copies else None, operator, levels=LEVELS)


def dask_coarsen(place: Path, operator: str, copies: bool) -> None:
    """Level of level, as `dask.array.coarsen` is used: the mean rounded at every level."""
    if operator != "mean" or copies:
        raise Refused("has no such form that people use")
    import dask
    import dask.array as da
    import zarr

    group: Any = zarr.open_group(place, mode="r+")
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        for level in range(1, LEVELS + 1):
            before = da.from_zarr(group[str(level - 1)])
            smaller = da.coarsen(np.mean, before, {0: 2, 1: 2, 2: 2}).round().astype(before.dtype)
            into = group.create_array(
                str(level), shape=smaller.shape, chunks=group["0"].chunks, dtype=before.dtype,
                compressors=group["0"].compressors,
            )  # fmt: skip
            da.store(smaller.rechunk(into.chunks), into, lock=False)


def tensorstore_levels(place: Path, operator: str, copies: bool) -> None:
    """Level of level, by its downsampling driver."""
    if copies:
        raise Refused("writes no copy of level 0")
    import tensorstore
    import zarr

    ts: Any = tensorstore

    group: Any = zarr.open_group(place, mode="r+")
    context = ts.Context({"data_copy_concurrency": {"limit": THREADS}, "file_io_concurrency": {"limit": THREADS}})
    for level in range(1, LEVELS + 1):
        source = _in_tensorstore(ts, place / str(level - 1), context)
        smaller = ts.downsample(source, [2, 2, 2], method=operator)
        group.create_array(
            str(level), shape=smaller.shape, chunks=group["0"].chunks, dtype="uint16",
            compressors=group["0"].compressors,
        )  # fmt: skip
        into = _in_tensorstore(ts, place / str(level), context)
        for at in range(0, smaller.shape[0], CHUNK):
            part = slice(at, min(at + CHUNK, smaller.shape[0]))
            into[part].write(smaller[part].read().result()).result()


def _in_tensorstore(ts: Any, place: Path, context: Any) -> Any:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{place}/"}}
    return ts.open(spec, context=context).result()


def ome_zarr_pyramid(place: Path, operator: str, copies: bool) -> None:
    """Its own writer, which copies level 0."""
    if not copies:
        raise Refused("always writes level 0 too")
    from ome_zarr_pyramid import io

    whole = io.read_pyramid(str(place)).downscale(n_layers=LEVELS + 1, downscale_method=operator)
    io.write_pyramid(whole, str(place / "copy"), max_threads=THREADS)


CONTENDERS: dict[str, Callable[[Path, str, bool], None]] = {
    READING: read,
    CHUNKWISE: read_chunks,
    OURS: anypool,
    "dask.coarsen, level of level": dask_coarsen,
    "TensorStore, level of level": tensorstore_levels,
    OME_ZARR_PYRAMID: ome_zarr_pyramid,
}
ROWS: tuple[tuple[str, str, Callable[[Shape], np.ndarray], bool], ...] = (
    ("mean pyramid of 3 levels in place", "mean", picture, False),
    ("mean pyramid of 3 levels with a copy of level 0", "mean", picture, True),
    ("mode pyramid of 3 levels in place", "mode", labels, False),
    ("mode pyramid of 3 levels with a copy of level 0", "mode", labels, True),
)
