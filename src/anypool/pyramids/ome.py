"""What OME-Zarr says of an image: its axes, the size and the place of its pixels, which levels there are.

Versions 0.4 (zarr format 2) and 0.5 (zarr format 3), as https://ngff.openmicroscopy.org has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .plan import Level

VERSIONS = {"0.4": 2, "0.5": 3}
"""The zarr format of each version."""

METHOD = "anypool.pyramid"
BESIDE = ("omero", "image-label")
"""What else is said of an image, and true of its copy."""
TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
BY_NUMBER = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}
"""The axes of an array of which nothing is known."""


@dataclass(frozen=True)
class Image:
    """An image of one or several levels."""

    axes: tuple[dict[str, Any], ...]
    scale: tuple[float, ...]
    """The size of level 0's pixels."""
    translation: tuple[float, ...]
    """Where the middle of level 0's first pixel lies."""
    paths: tuple[str, ...]
    """Of the levels within the group, level 0 first."""
    entry: Mapping[str, Any]
    """What else its multiscales say."""
    beside: Mapping[str, Any]
    """What stands beside its multiscales."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(axis["name"] for axis in self.axes)

    @property
    def spatial(self) -> tuple[bool, ...]:
        return tuple(axis.get("type") == "space" for axis in self.axes)

    @property
    def holds_labels(self) -> bool:
        return "image-label" in self.beside

    @property
    def made_by(self) -> Mapping[str, Any] | None:
        """The settings of `anypool.pyramid` that its levels were made with."""
        metadata = self.entry.get("metadata")
        if not isinstance(metadata, Mapping) or metadata.get("method") != METHOD:
            return None
        return metadata.get("kwargs")


def read(attributes: Mapping[str, Any], zarr_format: int) -> Image | None:
    """The image that a group's attributes describe; None where they describe none.

    Raises:
        ValueError: they describe several, a plate, or one of another version.
    """
    inner = attributes.get("ome", {}) if zarr_format == 3 else attributes
    for key, what in (("plate", "a plate"), ("well", "a well"), ("bioformats2raw.layout", "a collection of images")):
        if key in inner:
            raise ValueError(f"source must be one image, got {what}: name the group of an image inside it")
    found = inner.get("multiscales")
    if not found:
        return None
    if len(found) > 1:
        raise ValueError(f"source must hold one image, got {len(found)} entries of multiscales")
    entry = dict(found[0])
    version = str(inner.get("version") if zarr_format == 3 else entry.get("version"))
    if VERSIONS.get(version) != zarr_format:
        raise ValueError(f"source must be OME-Zarr {' or '.join(VERSIONS)}, got {version} in zarr format {zarr_format}")
    axes, datasets = tuple(entry.pop("axes")), entry.pop("datasets")
    scale, translation = _transformations(datasets[0].get("coordinateTransformations", ()), len(axes))
    paths = tuple(each["path"] for each in datasets)
    beside = {key: value for key, value in inner.items() if key in BESIDE}
    return Image(axes, scale, translation, paths, entry, beside)


def _transformations(given: Sequence[Mapping[str, Any]], rank: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    scale, translation = (1.0,) * rank, (0.0,) * rank
    for each in given:
        kind = each.get("type")
        values = each.get(kind) if kind in ("scale", "translation") else None
        if not isinstance(values, Sequence) or len(values) != rank:
            raise ValueError(f"coordinateTransformations of level 0 must be a scale and a translation, got {each!r}")
        if kind == "scale":
            scale = tuple(map(float, values))
        else:
            translation = tuple(map(float, values))
    return scale, translation


def described(rank: int, axes: Any, names: Sequence[str | None] | None, path: str) -> Image:
    """The image of an array without metadata: axes as given, else by the array's own names, else by their number.

    Raises:
        ValueError: OME-Zarr has no such axes.
    """
    own = [name for name in names or () if name in TYPES]
    chosen = tuple(axes) if axes is not None else tuple(own) if len(own) == rank else BY_NUMBER.get(rank, "")
    kinds = [TYPES.get(name) for name in chosen]
    order = sorted(kinds, key=lambda kind: ("time", "channel", "space", None).index(kind))
    if len(chosen) != rank or None in kinds or len(set(chosen)) != rank or kinds != order or kinds.count("space") < 2:
        raise ValueError(
            f"axes must name the {rank} axes of the array by letters of tczyx in this order, y and x among them, "
            f"got {''.join(map(str, chosen))!r}"
        )
    made = tuple({"name": name, "type": kind} for name, kind in zip(chosen, kinds, strict=True))
    return Image(made, (1.0,) * rank, (0.0,) * rank, (path,), {}, {})


def attributes(
    image: Image, levels: Sequence[Level], paths: Sequence[str], operator: str, settings: Any, version: str, of: str
) -> dict[str, Any]:
    """The attributes of a group with these levels, level 0 first; `version` is OME-Zarr's, `of` anypool's.

    A pixel of a level stands for as many pixels of level 0 as its factors say, and lies in their middle.
    """
    datasets = []
    for path, level in zip(paths, levels, strict=True):
        scale = [f * size for f, size in zip(level.factors, image.scale, strict=True)]
        place = [
            at + (f - 1) / 2 * size for at, f, size in zip(image.translation, level.factors, image.scale, strict=True)
        ]
        transformations = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": place}]
        datasets.append({"path": path, "coordinateTransformations": transformations})
    entry = {
        **image.entry,
        "axes": [dict(axis) for axis in image.axes],
        "datasets": datasets,
        "type": operator,
        "metadata": {
            "description": "Every level is computed from level 0, whose windows grow from level to level.",
            "method": METHOD,
            "version": of,
            "kwargs": settings,
        },
    }
    entry.pop("version", None)
    if VERSIONS[version] == 2:
        return {**image.beside, "multiscales": [{"version": version, **entry}]}
    return {"ome": {"version": version, "multiscales": [entry], **image.beside}}
