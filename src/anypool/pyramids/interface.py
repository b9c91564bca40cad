"""`anypool.pyramid`: images smaller and smaller, every level exact."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import settings
from .plan import Level

if TYPE_CHECKING:
    from .making import Progress

RASTERS = (".tif", ".tiff")


@dataclass(frozen=True)
class Pyramid:
    """What `anypool.pyramid` made.

    >>> Pyramid("image.zarr", "mean", (), (), 8, 8, True).complete
    True
    """

    location: str
    operator: str
    levels: tuple[Level, ...]
    """The levels after level 0, with number, factors and shape of each."""
    notes: tuple[str, ...]
    """What was decided otherwise than asked, and why."""
    blocks: int
    """Superblocks in all."""
    computed: int
    """Superblocks that this call computed; the others were done before, or are another part's."""
    complete: bool
    """Whether all levels are there, and the metadata say so."""


def pyramid(
    source: Any,
    destination: Any = None,
    operator: Any = "mean",
    factors: Any = 2,
    levels: Any = "auto",
    memory: Any = "2GB",
    resume: bool = True,
    client: Any = None,
    *,
    part: Any = None,
    ome: Any = None,
    nodata: Any = None,
    axes: Any = None,
    progress: Progress | None = None,
) -> Pyramid:
    """Make the levels of an image pyramid, each of them exactly the pooling of level 0.

    Element i of level l holds level 0's [i·f, min((i + 1)·f, n)) along an axis of length n, f being the product of the
    factors up to l: odd lengths round up, and the last window has what there is. Means of integers are rounded once,
    half to even; floats are summed in float64, in an order that follows from the factors alone. Level 0 is read once,
    superblock by superblock, and no level is made of another's rounded values: results are the same bits for any
    chunks, memory, threads and parts.

    Args:
        source: an OME-Zarr image, a group with one array, an array (path, address or zarr's objects), a NumPy array, or
            a GeoTIFF.
        destination: where level 0 is copied to and the levels are written; None: beside level 0. Of a GeoTIFF the
            cloud-optimized GeoTIFF to write.
        operator: "mean", "mode", "median" (of two the lower), "min", "max" or "sum". Labels (`image-label`, palettes)
            get mode for mean.
        factors: from one level to the next, along the axes in space; or one per axis, as a tuple or as {"z": 1, "y": 2,
            "x": 2}; or "isotropic", which leaves an axis alone until the pixels of the others are as long.
        levels: how many after level 0; "auto": until the image is no longer than a chunk.
        memory: bytes for all threads together ("2GB", "512MiB"); with `client` of a worker.
        resume: go on where the same call was interrupted; False: begin again, and replace levels that are there.
        client: a dask.distributed Client, or the address of a scheduler, whose workers compute; they must reach source
            and destination.
        part: "i/n", the i-th of n shares of the work, which need nothing but the same storage; who is last finishes.
        ome: the version of OME-Zarr, "0.5" or "0.4"; default that of the source in place, else "0.5".
        nodata: the value of pixels that do not count; NaN for floats of which NaN does not. Default: of a GeoTIFF its
            own, else none. A window without any other pixel gets it. A NaN beside another nodata is a value, and wins.
        axes: names of the axes, letters of "tczyx", of an array whose metadata do not say.
        progress: is called with how many are done, of how many, and of what.

    Raises:
        TypeError, ValueError: an argument is wrong, or what is there is not what it must be; nothing is written then.
        IncompletePyramid: something could not be read or written; what is done is kept, and the same call goes on.
        ImportError: zarr is not installed: pip install "anypool[pyramid]".

    >>> import anypool as ap, numpy as np, tempfile, zarr
    >>> place = tempfile.mkdtemp() + "/image.zarr"
    >>> made = ap.pyramid(np.arange(25, dtype="uint8").reshape(5, 5), place, levels=2)
    >>> [level.shape for level in made.levels]
    [(3, 3), (2, 2)]
    >>> zarr.open_group(place, mode="r")["2"][:]
    array([[ 9, 12],
           [22, 24]], dtype=uint8)
    """
    chosen = settings.as_operator(operator)
    asked = {
        "factors": factors,
        "levels": settings.as_levels(levels),
        "memory": settings.as_bytes(memory),
        "resume": settings.as_resume(resume, part),
        "part": settings.as_part(part),
        "ome": settings.as_version(ome),
        "nodata": nodata,
        "axes": axes,
        "progress": progress or _silent,
    }
    _needs("zarr", "pyramid")
    with _connected(client) as cluster:
        if isinstance(source, str | Path) and Path(source).suffix.lower() in RASTERS:
            _needs("rasterio", "raster")
            from .raster import raster_pyramid

            return raster_pyramid(source, destination, chosen, asked, cluster)
        from .images import image_pyramid

        return image_pyramid(source, destination, chosen, asked, cluster)


def _silent(done: int, total: int, what: str) -> None:
    return None


def _needs(module: str, extra: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as missing:
        raise ImportError(
            f'ap.pyramid needs {missing.name or module}: pip install "anypool[{extra}]"', name=missing.name
        ) from missing


@contextmanager
def _connected(client: Any) -> Iterator[Any]:
    """The client, or one of its own for an address."""
    if not isinstance(client, str):
        yield client
        return
    _needs("distributed", "cluster")
    from distributed import Client

    try:
        made = Client(client, timeout="30s")
    except (OSError, ValueError) as error:
        raise ValueError(f"client must be the address of a scheduler that answers, got {client!r}: {error}") from error
    with made:
        yield made
