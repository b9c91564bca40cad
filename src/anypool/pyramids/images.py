"""Pyramids of images in zarr: in place, or in a group of their own."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.errors import ContainsGroupError, ZarrUserWarning

import anypool

from . import ome, settings, zarrs
from . import state as states
from .errors import IncompletePyramid
from .interface import Pyramid
from .job import workers_here
from .making import Wanted, fitted, prepare, publish, run
from .plan import Lengths, Steps, levels_of
from .reductions import Missing

Asked = Mapping[str, Any]


def image_pyramid(source: Any, destination: Any, operator: tuple[Any, str], asked: Asked, client: Any) -> Pyramid:
    """`anypool.pyramid` of what is in zarr, or a NumPy array."""
    group, found, image = _opened(source, destination is None, asked["axes"])
    labels = "the image holds labels (image-label)" if image.holds_labels else None
    wanted, block, notes = plan(found, image, operator, asked, client, destination is not None, group, labels)
    target = _destination(destination, wanted, group) if group is None or destination is not None else group
    location = str(getattr(target.store, "root", target.store_path))
    paths = level_paths(image.paths[0] if destination is None else "0", wanted)
    if client is not None and (zarrs.is_in_memory(target) or isinstance(found, zarrs.ArraySource)):
        raise ValueError("source and destination must be storage that a cluster's workers reach, got memory")
    return make(wanted, block, target, paths, notes, asked, client, location)


def plan(
    source: Any,
    image: ome.Image,
    operator: tuple[Any, str],
    asked: Asked,
    client: Any,
    copies: bool,
    group: Any,
    labels: str | None,
) -> tuple[Wanted, Lengths, list[str]]:
    """What is wanted, its superblocks, and what was decided otherwise than asked; `labels` says why the image holds
    labels, if it does."""
    notes: list[str] = []
    op, name = operator
    if labels is not None and name == "average":
        op, name = settings.as_operator("mode")
        notes.append(f"{labels}: no mean of labels is one, so every level is their mode")
    _check_dtype(source.dtype, name)
    factors = settings.as_factors(asked["factors"], image.names, image.spatial)
    pooled = image.spatial if factors is None else tuple(f > 1 for f in factors)
    levels = levels_of(source.shape, Steps(factors, pooled, image.scale), asked["levels"], source.chunks)
    if not levels:
        raise ValueError(f"source must have an axis to reduce, got shape {source.shape} and factors {asked['factors']}")
    version = _version(asked["ome"], group if not copies else None)
    missing = Missing(settings.as_nodata(asked["nodata"], source.dtype))
    wanted = Wanted(source, image, op, name, missing, levels, version, copies, anypool.__version__)
    threads = workers_here() if client is None else max(client.nthreads().values(), default=1)
    fits, block = fitted(wanted, asked["memory"] // threads, threads, asked["levels"] == "auto")
    if len(fits.levels) < len(levels):
        notes.append(f"level {len(fits.levels)} is the last whose windows fit into memory {asked['memory']}")
    return fits, block, notes


def make(
    wanted: Wanted, block: Lengths, target: zarr.Group, paths: tuple[str, ...], notes: list[str], asked: Asked,
    client: Any, location: str,
) -> Pyramid:  # fmt: skip
    """The pyramid made in a group, as far as this part makes it."""
    name = wanted.described()["operator"]
    all_paths = paths if wanted.copies else (wanted.image.paths[0], *paths)

    def result(blocks: int, computed: int, complete: bool) -> Pyramid:
        return Pyramid(location, name, wanted.levels, tuple(notes), blocks, computed, complete)

    try:
        if not asked["resume"]:
            _clear(wanted, target, paths)
        if _finished(wanted, target):
            states.remove(target)
            zarrs.remove_leftovers(target, paths)
            return result(0, 0, True)
        _check_free(target, paths)
        state, job = prepare(wanted, target, block, paths)
        if _finished(wanted, target):  # by another part, just now
            state.remove()
            return result(len(job.blocks), 0, True)
    except OSError as error:
        raise OSError(f"{location} cannot be written: {zarrs.reason(error)}") from error
    complete, computed = False, 0
    try:
        workers = _workers(wanted, job.blocks.lengths, asked["memory"])
        complete, computed = run(job, workers, client, asked["part"], asked["progress"])
        if complete:
            publish(wanted, target, state, paths, all_paths)
    except (IncompletePyramid, OSError) as error:
        if not _finished(wanted, target):  # by another part, which removed what this one was writing once more
            said = str(error) if isinstance(error, IncompletePyramid) else f"{location}: {zarrs.reason(error)}"
            raise IncompletePyramid(f"{said}; what is done is kept, and the same call goes on from there") from error
    if not complete and _finished(wanted, target):
        state.remove()
        complete = True
    return result(len(job.blocks), computed, complete)


def _workers(wanted: Wanted, block: Lengths, memory: int) -> int:
    """How many superblocks of these lengths, which an earlier call may have chosen, fit into memory side by side."""
    elements = int(np.prod(block, dtype=object))
    for workers in range(workers_here(), 0, -1):
        if elements <= wanted.elements(memory // workers):
            return workers
    raise ValueError(
        f"memory must hold two of the superblocks of {elements} elements with which this pyramid was begun, got "
        f"{memory} bytes: give more memory, or begin again with resume=False"
    )


# ---------------------------------------------------------------------------------------------------------------------
# What is there


def _opened(source: Any, in_place: bool, axes: Any) -> tuple[zarr.Group | None, zarrs.Source, ome.Image]:
    """The group of an image, where it has one, level 0, and what is known of it."""
    if isinstance(source, np.ndarray):
        if in_place:
            raise ValueError("destination must be given where source is a NumPy array")
        return None, zarrs.ArraySource(source), ome.described(source.ndim, axes, None, "0")
    if not isinstance(source, str | Path | zarr.Group | zarr.Array):
        raise TypeError(
            f"source must be a path, a zarr group or array, or a NumPy array, got {type(source).__name__}: store it as "
            "zarr first"
        )
    node = zarrs.open_node(source, in_place)
    if isinstance(node, zarr.Array):
        if in_place:
            raise ValueError(
                f"source must be a group, beside whose array levels can lie, got the array {node.store_path}: give its "
                "group, or a destination"
            )
        return None, zarrs.ZarrSource(node), ome.described(node.ndim, axes, _names(node), "0")
    if in_place and node.store.read_only:
        raise ValueError(f"source must be writable where no destination is given, got a read-only {node.store_path}")
    image = ome.read(dict(node.attrs), node.metadata.zarr_format)
    if image is None:
        array = _level_0(node)
        image = ome.described(array.ndim, axes, _names(array), array.path.removeprefix(node.path).strip("/"))
    elif axes is not None and tuple(axes) != image.names:
        raise ValueError(f"axes must be left away, or be those of the metadata, {''.join(image.names)}, got {axes!r}")
    if image.paths[0] not in node:
        raise ValueError(f"source must have level 0 at {image.paths[0]!r}, as its metadata say, got {node.store_path}")
    array = zarrs.array_at(node, image.paths[0])
    if array.ndim != len(image.axes):
        raise ValueError(f"source must have {len(image.axes)} axes, as its metadata say, got shape {array.shape}")
    return node, zarrs.ZarrSource(array), image


def _names(array: zarr.Array[Any]) -> Any:
    return getattr(array.metadata, "dimension_names", None)


def _level_0(group: zarr.Group) -> zarr.Array[Any]:
    if "0" in group:
        return zarrs.array_at(group, "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)  # of files that are not zarr's
        arrays = dict(group.arrays())
    if len(arrays) != 1:
        raise ValueError(
            f"source must be an image or a group with one array, got {group.store_path} with {len(arrays)} arrays and "
            "without multiscales"
        )
    return next(iter(arrays.values()))


def _check_dtype(dtype: np.dtype[Any], name: str) -> None:
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise TypeError(f"source must hold integers, booleans or floats of up to 64 bits, got {dtype}")
    if name == "mode" and dtype.kind == "f":
        raise TypeError(f"source must hold integer labels for mode, got {dtype.name}")
    if name in ("average", "sum") and dtype.kind == "b":
        raise TypeError(f"source must hold numbers for mean and sum, got {dtype.name}: mode, min and max take it")


def _version(asked: str | None, group: zarr.Group | None) -> str:
    if group is None:
        return asked or "0.5"
    own = next(version for version, number in ome.VERSIONS.items() if number == group.metadata.zarr_format)
    if asked not in (None, own):
        raise ValueError(f"ome must be {own} in place, as the source is, got {asked}: give a destination")
    return own


def _destination(destination: Any, wanted: Wanted, source: zarr.Group | None) -> zarr.Group:
    """The group to write into: a new one, or one that was begun."""
    version = ome.VERSIONS[wanted.version]
    if isinstance(destination, zarr.Group):
        group = destination
        if group.store.read_only:
            raise ValueError(f"destination must be writable, got a read-only {group.store_path}")
    elif not isinstance(destination, str | Path):
        raise TypeError(f"destination must be a path or a zarr group, got {type(destination).__name__}")
    else:
        group = made_group(str(destination), version)
    if source is not None and zarrs.is_same(group, source):
        raise ValueError("destination must not be source: leave it away to add levels in place")
    if group.metadata.zarr_format != version:
        raise ValueError(f"destination must be of zarr format {version} for OME-Zarr {wanted.version}")
    image = ome.read(dict(group.attrs), version)
    ours = states.found_settings(group) is not None or (image is not None and image.made_by is not None)
    if not ours and zarrs.has_members(group):
        raise ValueError(f"destination must be new, or a pyramid that was begun, got {group.store_path}")
    return group


def made_group(place: str, zarr_format: int) -> zarr.Group:
    try:
        if "://" not in place and Path(place).exists() and (not Path(place).is_dir() or any(Path(place).iterdir())):
            return zarr.open_group(place, mode="r+", use_consolidated=False)
        try:
            return zarr.create_group(place, zarr_format=2 if zarr_format == 2 else 3)
        except ContainsGroupError:
            return zarr.open_group(place, mode="r+", use_consolidated=False)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise ValueError(f"destination must be new, or a pyramid that was begun, got {place!r}") from error
        raise OSError(f"{place} cannot be written: {zarrs.reason(error)}") from error


# ---------------------------------------------------------------------------------------------------------------------
# Levels that are there


def level_paths(first: str, wanted: Wanted) -> tuple[str, ...]:
    """The paths of the levels to write, after level 0's pattern: s0, s1, …"""
    match = re.fullmatch(r"(.*?)0(\D*)", first)
    before, after = match.groups() if match else ("", "")
    return tuple(f"{before}{level.number}{after}" if level.number else first for level in wanted.written)


def _finished(wanted: Wanted, target: zarr.Group) -> bool:
    """Whether the group's metadata say that it has this very pyramid."""
    fresh = zarr.open_group(target.store, path=target.path, mode="r", use_consolidated=False)
    image = ome.read(dict(fresh.attrs), fresh.metadata.zarr_format)
    return image is not None and image.made_by == wanted.described()


def _check_free(target: zarr.Group, paths: tuple[str, ...]) -> None:
    there = [path for path in paths if path in target]
    if there and states.found_settings(target) is None:
        raise ValueError(
            f"{target.store_path} must not have levels yet, got {', '.join(there)}: resume=False replaces them"
        )


def _clear(wanted: Wanted, target: zarr.Group, paths: tuple[str, ...]) -> None:
    """Remove levels and whatever was begun, but first from the metadata."""
    image = ome.read(dict(target.attrs), target.metadata.zarr_format)
    old = () if image is None else image.paths[0 if wanted.copies else 1 :]
    if image is not None:
        _say_level_0_alone(target, wanted.copies)
    states.remove(target)
    for path in dict.fromkeys((*old, *paths)):
        zarrs.delete(target, path)


def _say_level_0_alone(target: zarr.Group, none: bool) -> None:
    attributes: dict[str, Any] = dict(target.attrs)
    inner = attributes.get("ome", attributes)
    entry = {key: value for key, value in inner["multiscales"][0].items() if key not in ("type", "metadata")}
    entry["datasets"] = entry["datasets"][:1]
    inner["multiscales"] = [] if none else [entry]
    target.update_attributes(attributes)
