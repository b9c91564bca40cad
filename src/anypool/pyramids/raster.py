"""Pyramids of GeoTIFFs: a cloud-optimized GeoTIFF whose overviews are the levels.

The levels are made as those of any image, in a group beside the destination. GDAL then takes them for the overviews of
a virtual dataset, and copies that: it resamples nothing.
"""

from __future__ import annotations

import json
import shutil
import threading
import uuid
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
import zarr
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from . import images, ome, zarrs
from .errors import IncompletePyramid, Unreadable
from .interface import Pyramid
from .making import Wanted
from .plan import Lengths, Region, inside, shown

TAG = "ANYPOOL_PYRAMID"
"""The item of metadata with the settings that the overviews were made with."""

SIDE = 512
"""Of the tiles of a level, as in cloud-optimized GeoTIFFs."""

LOSSLESS = ("DEFLATE", "LZW", "ZSTD")


class RasterSource:
    """Level 0 in a GeoTIFF: bands, rows, columns."""

    zarr_array = None
    fill: Any = None

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        with _opened(self.path) as raster:
            self.shape: Lengths = (raster.count, raster.height, raster.width)
            self.dtype = np.dtype(raster.dtypes[0])
            together = raster.count if str(raster.interleaving).lower().endswith("pixel") else 1
            self.chunks: Lengths = (together, *raster.block_shapes[0])
        self.layout: Lengths = (together, SIDE, SIDE)
        self.units = self.layout
        self._local = threading.local()

    def __reduce__(self) -> Any:
        return type(self), (self.path,)

    def read(self, region: Region) -> np.ndarray:
        if not hasattr(self._local, "raster"):  # GDAL's datasets belong to a thread each
            self._local.raster = _open(self.path)
        bands, rows, columns = region
        window = Window.from_slices(rows, columns)
        try:
            return self._local.raster.read(list(range(bands.start + 1, bands.stop + 1)), window=window)
        except (RasterioError, OSError) as error:
            raise Unreadable(f"{self.path} cannot be read at {shown(region)}: {zarrs.reason(error)}") from error

    def is_missing(self, region: Region) -> bool:
        return False


def raster_pyramid(source: Any, destination: Any, operator: tuple[Any, str], asked: Any, client: Any) -> Pyramid:
    """`anypool.pyramid` of a GeoTIFF."""
    place, target = Path(source), _checked(source, destination, operator, asked)
    found, labels, nodata = _examined(place)
    image = ome.described(3, "cyx", None, "0")
    asked = {**asked, "nodata": nodata if asked["nodata"] is None else asked["nodata"]}
    wanted, block, notes = images.plan(found, image, operator, asked, client, False, None, labels)
    described = wanted.described()
    if asked["resume"] and target.exists():
        if _settings(target) != described:
            raise ValueError(f"destination must be new, got {str(target)!r}: resume=False replaces it")
        return Pyramid(str(target), described["operator"], wanted.levels, tuple(notes), 0, 0, True)
    scratch = target.with_name(target.name + ".partial")
    group = images.made_group(str(scratch), 3)
    paths = images.level_paths("0", wanted)
    made = images.make(wanted, block, group, paths, notes, asked, client, str(target))
    if made.complete:
        try:
            _write_cog(wanted, place, target, group, scratch)
        except (RasterioError, OSError) as error:
            if not (target.exists() and _settings(target) == described):  # another part was faster
                raise IncompletePyramid(
                    f"{target} cannot be written: {zarrs.reason(error)}; what is done is kept, and the same call goes "
                    "on from there"
                ) from error
        shutil.rmtree(scratch, ignore_errors=True)
    return made


def _checked(source: Any, destination: Any, operator: tuple[Any, str], asked: Mapping[str, Any]) -> Path:
    if not Path(source).is_file():
        raise ValueError(f"source must be there, got {str(source)!r}, where there is no file")
    if not isinstance(destination, str | Path) or Path(destination).suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(f"destination must be a .tif to write, where source is a GeoTIFF, got {destination!r}")
    target = Path(destination)
    if not target.absolute().parent.is_dir():
        raise ValueError(f"destination must be in a directory that exists, got {str(destination)!r}")
    if target.exists() and target.samefile(source):
        raise ValueError(f"destination must not be source, got {str(destination)!r}")
    if operator[1] == "sum":
        raise ValueError("operator must keep the dtype, which overviews share with their raster, got 'sum'")
    for name in ("ome", "axes"):
        if asked[name] is not None:
            raise ValueError(f"{name} must be left away where source is a GeoTIFF, got {asked[name]!r}")
    return target


def _examined(place: Path) -> tuple[RasterSource, str | None, float | None]:
    """Level 0, why it holds labels, if it does, and its nodata."""
    try:
        with _opened(place) as raster:
            if len(set(raster.dtypes)) > 1 or len({str(each) for each in raster.nodatavals}) > 1:
                raise ValueError(f"source must have bands of one dtype and one nodata, got {raster.dtypes} in {place}")
            flags = {flag for band in raster.mask_flag_enums for flag in band}
            if flags & {MaskFlags.per_dataset, MaskFlags.alpha} and MaskFlags.nodata not in flags:
                raise ValueError(f"source must mark missing pixels by a nodata value, got {place} with a mask or alpha")
            labels = "the raster has a palette" if ColorInterp.palette in raster.colorinterp else None
            return RasterSource(place), labels, raster.nodata
    except RasterioError as error:
        raise ValueError(f"source must be a GeoTIFF, got {str(place)!r}: {zarrs.reason(error)}") from None


# ---------------------------------------------------------------------------------------------------------------------
# Writing


def _write_cog(wanted: Wanted, source: Path, target: Path, group: zarr.Group, scratch: Path) -> None:
    own = scratch / uuid.uuid4().hex  # parts may do this side by side
    own.mkdir()
    virtual, whole = own / "virtual.vrt", own / "whole.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        overviews = [_write_level(wanted, group, own, number) for number in range(len(wanted.levels))]
        rasterio.shutil.copy(source.absolute(), virtual, driver="VRT", strict=False)
        _add_overviews(virtual, overviews, wanted)
        compression = _compression(source)
        rasterio.shutil.copy(
            virtual, whole, driver="COG", OVERVIEWS="FORCE_USE_EXISTING", COMPRESS=compression, BIGTIFF="IF_SAFER"
        )
    whole.replace(target)


def _write_level(wanted: Wanted, group: zarr.Group, folder: Path, number: int) -> Path:
    """A level as a TIFF, which need not know where it lies."""
    level, path = wanted.levels[number], folder / f"level-{wanted.levels[number].number}.tif"
    bands, height, width = level.shape
    array = zarrs.array_at(group, str(level.number))
    profile = {
        "driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": array.dtype.name, "tiled": True,
        "blockxsize": SIDE, "blockysize": SIDE, "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        for region in inside(tuple(slice(0, n) for n in level.shape), (bands, 4 * SIDE, 4 * SIDE)):
            raster.write(array[region], window=Window.from_slices(*region[1:]))
    return path


def _add_overviews(virtual: Path, overviews: list[Path], wanted: Wanted) -> None:
    """Name the overviews, nodata and the settings in a virtual dataset."""
    tree = ElementTree.parse(virtual)
    root, nodata = tree.getroot(), wanted.missing.nodata
    metadata = next((each for each in root.findall("Metadata") if "domain" not in each.attrib), None)
    if metadata is None:
        metadata = ElementTree.Element("Metadata")
        root.insert(0, metadata)
    ElementTree.SubElement(metadata, "MDI", key=TAG).text = json.dumps(wanted.described())
    for number, band in enumerate(root.findall("VRTRasterBand"), 1):
        if nodata is not None:
            for each in band.findall("NoDataValue"):
                band.remove(each)
            ElementTree.SubElement(band, "NoDataValue").text = repr(nodata.item())
        for path in overviews:
            overview = ElementTree.SubElement(band, "Overview")
            ElementTree.SubElement(overview, "SourceFilename", relativeToVRT="0").text = str(path.absolute())
            ElementTree.SubElement(overview, "SourceBand").text = str(number)
    tree.write(virtual)


def _compression(source: Path) -> str:
    """The source's, where it keeps every bit."""
    with _opened(source) as raster:
        name = str(raster.profile.get("compress", "")).upper()
    return name if name in LOSSLESS else LOSSLESS[0]


def _settings(target: Path) -> Any:
    """What a raster says its overviews were made with."""
    try:
        with _opened(target) as raster:
            return json.loads(raster.tags().get(TAG, "null"))
    except (RasterioError, ValueError):
        return None


def _open(path: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path)


@contextmanager
def _opened(path: Any) -> Any:
    with _open(path) as raster:
        yield raster
