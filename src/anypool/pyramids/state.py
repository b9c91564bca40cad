"""What an unfinished pyramid has on disk: its settings, what is done, and parts of chunks that are not whole yet.

All of it lies in one group beside the levels, which goes when all is done. A process that is killed leaves nothing half
done: a superblock is marked after what it writes, and doing it once more writes the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.errors import ContainsGroupError

from .plan import Lengths
from .zarrs import create_array, delete

NAME = "anypool-pyramid.partial"
SETTINGS = "settings.json"


class State:
    """The group of an unfinished pyramid, made or found."""

    def __init__(self, target: zarr.Group, settings: Mapping[str, Any]) -> None:
        """Who comes first says the settings; see `settings` for what they are."""
        self.target = target
        try:
            self.group = target.create_group(NAME)
        except ContainsGroupError:  # from before, or another part's of this moment: consolidated metadata know neither
            self.group = zarr.open_group(target.store_path / NAME, mode="a")
        place = self.group.store_path / SETTINGS
        text = json.dumps(settings).encode()
        sync(place.set_if_not_exists(default_buffer_prototype().buffer.from_bytes(text)))
        self.settings = found_settings(target) or dict(settings)

    def marks(self, name: str, count: int) -> zarr.Array[Any]:
        """An array of bytes, a chunk each: 1 for what is done."""
        return create_array(
            self.group, name, shape=(count,), chunks=(1,), dtype="uint8", fill_value=0, compressors=None, filters=None
        )

    def parts(self, name: str, shape: Lengths, chunks: Lengths, dtype: np.dtype[Any], fill: Any) -> zarr.Array[Any]:
        """An array of a level's shape, a chunk for what each superblock has of it."""
        return create_array(self.group, name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill)

    def is_there(self) -> bool:
        """Whether the pyramid is still unfinished."""
        return found_settings(self.target) is not None

    def remove(self) -> None:
        remove(self.target)


def remove(target: zarr.Group) -> None:
    """Remove what only the making needed: the settings first, so that what is read while they are there is whole."""
    sync((target.store_path / NAME / SETTINGS).delete())
    delete(target, NAME)
    sync((target.store_path / NAME).delete_dir())  # what someone slower may have written since


def found_settings(target: zarr.Group) -> dict[str, Any] | None:
    """The settings of the unfinished pyramid of a group; None where there is none."""
    found = sync((target.store_path / NAME / SETTINGS).get())
    return None if found is None else json.loads(found.to_bytes())
