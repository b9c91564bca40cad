"""Groups and arrays of zarr: what a pyramid reads and writes.

zarr writes a chunk of a local store to a temporary file and renames it; so no chunk is ever half there.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr
from zarr.core.sync import sync
from zarr.errors import ContainsArrayError, ContainsGroupError, ZarrUserWarning
from zarr.storage import LocalStore, MemoryStore

from .errors import Unreadable
from .plan import Lengths, Region, ceil_divide, shown


class Source(Protocol):
    """Level 0, wherever it is."""

    shape: Lengths
    dtype: np.dtype[Any]
    chunks: Lengths
    """What is read at once."""
    layout: Lengths
    """The chunks of levels."""
    units: Lengths
    """What of a level is written at once: several chunks, where there are shards."""
    fill: Any
    """What a chunk that is not there holds; None where that is not said."""

    @property
    def zarr_array(self) -> zarr.Array[Any] | None:
        """Level 0 where it is in zarr."""

    def read(self, region: Region) -> np.ndarray:
        """The elements of a region; Unreadable where that cannot be."""

    def is_missing(self, region: Region) -> bool:
        """Whether no chunk of a region is there, so that all of it is `fill`."""


class ArraySource:
    """Level 0 in memory, or in a file that NumPy maps."""

    zarr_array: zarr.Array[Any] | None = None
    fill: Any = None

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.shape: Lengths = array.shape
        self.dtype = array.dtype.newbyteorder("=")
        side = 1024 if array.ndim == 2 else 128
        self.chunks: Lengths = tuple(min(n, side if array.ndim - axis <= 3 else 1) for axis, n in enumerate(self.shape))
        self.layout = self.units = self.chunks

    def read(self, region: Region) -> np.ndarray:
        return np.asarray(self.array[region]).astype(self.dtype, copy=False)

    def is_missing(self, region: Region) -> bool:
        return False


class ZarrSource:
    """Level 0 in zarr."""

    def __init__(self, array: zarr.Array[Any]) -> None:
        self.zarr_array = array
        self.fill: Any = array.metadata.fill_value
        self.shape: Lengths = array.shape
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        self.chunks: Lengths = array.chunks
        self.layout = self.chunks
        self.units: Lengths = array.shards or array.chunks

    def read(self, region: Region) -> np.ndarray:
        try:
            found = np.asarray(self.zarr_array[region])
        except Exception as error:  # codecs raise what they like
            raise Unreadable(
                f"{self.zarr_array.store_path} cannot be read at {shown(region)}: {reason(error)}"
            ) from error
        return found.astype(self.dtype, copy=False)

    def is_missing(self, region: Region) -> bool:
        first = [part.start // n for part, n in zip(region, self.units, strict=True)]
        counts = [ceil_divide(part.stop, n) - a for part, n, a in zip(region, self.units, first, strict=True)]
        for place in np.ndindex(*counts):
            key = self.zarr_array.metadata.encode_chunk_key(tuple(map(sum, zip(first, place, strict=True))))
            if sync((self.zarr_array.store_path / key).exists()):
                return False
        return True


def open_node(source: Any, writable: bool = False) -> zarr.Group | zarr.Array[Any]:
    """The group or array of a path, an address, or zarr's own object.

    Raises:
        ValueError: there is none.
    """
    if isinstance(source, zarr.Group | zarr.Array):
        return source
    place = str(source)
    if "://" not in place and not Path(place).exists():
        raise ValueError(f"source must be there, got {place!r}, where there is nothing")
    try:
        return zarr.open(place, mode="r+" if writable else "r")
    except PermissionError as error:
        raise OSError(f"{place} cannot be {'written' if writable else 'read'}: {reason(error)}") from error
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"source must be a zarr group or array, or a GeoTIFF, got {place!r}: {reason(error)}"
        ) from None


def create_array(group: zarr.Group, path: str, **settings: Any) -> zarr.Array[Any]:
    """A new array; where there is one, made by whoever runs beside this, that one."""
    try:
        return group.create_array(path, **settings)
    except (ContainsArrayError, ContainsGroupError):
        return array_at(group, path)


def array_at(group: zarr.Group, path: str) -> zarr.Array[Any]:
    found = group[path]
    if not isinstance(found, zarr.Array):
        raise ValueError(f"{path!r} must be an array, got a group")
    return found


def level_array(
    group: zarr.Group, path: str, shape: Lengths, source: Source, dtype: np.dtype[Any], fill: Any, names: Sequence[str]
) -> zarr.Array[Any]:
    """The array of a level, cut and compressed as level 0 is, where zarr's format is the same."""
    chunks = tuple(map(min, source.layout, shape))
    settings: dict[str, Any] = {"shape": shape, "chunks": chunks, "dtype": dtype, "fill_value": fill}
    like = source.zarr_array
    if group.metadata.zarr_format == 3:
        settings["dimension_names"] = list(names)
        if source.units != source.layout:
            settings["shards"] = tuple(
                c * ceil_divide(min(u, n), c) for c, u, n in zip(chunks, source.units, shape, strict=True)
            )
    else:
        settings["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
    if like is not None and like.metadata.zarr_format == group.metadata.zarr_format:
        settings["compressors"] = like.compressors
        if dtype == source.dtype:
            settings["filters"], settings["dtype"] = like.filters, like.dtype
            if group.metadata.zarr_format == 3:
                settings["serializer"] = like.serializer
    return create_array(group, path, **settings)


ENCODED_ALIKE = (
    "zarr_format", "chunk_grid", "chunks", "codecs", "compressor", "filters", "order", "data_type", "dtype",
    "fill_value", "shape",
)  # fmt: skip


def are_encoded_alike(a: zarr.Array[Any], b: zarr.Array[Any]) -> bool:
    """Whether the bytes of a chunk of one array mean the same in the other."""
    first, second = (array.metadata.to_dict() for array in (a, b))
    return all(first.get(key) == second.get(key) for key in ENCODED_ALIKE)


def copy_encoded(source: zarr.Array[Any], target: zarr.Array[Any], place: Lengths) -> None:
    """Copy a chunk, or a shard, as it is stored."""
    key, into = (array.metadata.encode_chunk_key(place) for array in (source, target))
    stored = sync((source.store_path / key).get())
    if stored is not None:
        sync((target.store_path / into).set(stored))


def has_members(group: zarr.Group) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)  # of files that are not zarr's
        return any(True for _ in group.members())


def delete(group: zarr.Group, path: str) -> None:
    if path in group:
        del group[path]


def remove_leftovers(group: zarr.Group, paths: Sequence[str]) -> None:
    """Delete the temporary files that killed writers left: of a group's metadata, and in its arrays of these paths.

    Who is at work there still finds that another has finished.
    """
    if isinstance(group.store, LocalStore):
        folder = group.store.root / group.path
        for path in chain(folder.glob("*.partial"), *((folder / each).rglob("*.partial") for each in paths)):
            if path.is_file():
                path.unlink(missing_ok=True)


def is_same(a: zarr.Group, b: zarr.Group) -> bool:
    """Whether two groups are one."""
    if isinstance(a.store, LocalStore) and isinstance(b.store, LocalStore):
        return (a.store.root / a.path).resolve() == (b.store.root / b.path).resolve()
    return a.store is b.store and a.path == b.path


def consolidate(group: zarr.Group) -> None:
    """Consolidate metadata again, where someone wanted them consolidated."""
    if group.metadata.consolidated_metadata is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZarrUserWarning)  # which says what its user knew
            zarr.consolidate_metadata(group.store, path=group.path)


def is_in_memory(node: zarr.Group | zarr.Array[Any]) -> bool:
    return isinstance(node.store, MemoryStore)


def reason(error: BaseException) -> str:
    """What an error says, in one line."""
    strerror = getattr(error, "strerror", None)
    return " ".join(str(strerror or error or type(error).__name__).split()) or type(error).__name__
