"""The pictures of *Image pyramids*: the middle slice of examples/pyramid.py's volume and of its levels.

Written before the pages are read, into docs/generated/.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import anypool as ap

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GENERATED = "generated"
EXAMPLE = Path(__file__).parents[2] / "examples" / "pyramid.py"
LEVELS = 4


def draw(folder: Path) -> None:
    """A picture for each operator and level."""
    import matplotlib.image
    import zarr

    example = runpy.run_path(str(EXAMPLE))
    light = example["volume"]()
    labels = example["labels"](light)
    for operator, x in (("mean", light), ("mode", labels * 16), ("max", light)):
        group: Any = zarr.create_group(zarr.storage.MemoryStore())
        ap.pyramid(x, group, operator, levels=LEVELS)
        for level in range(LEVELS + 1):
            values = np.asarray(group[str(level)][...])
            path = folder / f"pyramid-{operator}-{level}.png"
            matplotlib.image.imsave(path, values[len(values) // 2], cmap="gray", vmin=0, vmax=255)


def write_pictures(app: Sphinx) -> None:
    folder = Path(app.srcdir) / GENERATED
    folder.mkdir(exist_ok=True)
    draw(folder)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write_pictures)
    return {"version": "1", "parallel_read_safe": True}
