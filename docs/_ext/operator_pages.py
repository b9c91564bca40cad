"""The reference of operators, from the one table of them: `anypool.OPERATORS`. No formula stands here.

Written before the pages are read, into docs/generated/, which git ignores:

- `operators.md`, a table, a gallery on one photograph, and a section for each operator;
- a picture of each.

`python docs/_ext/operator_pages.py --fill README.md` writes the table between the marks <!-- operators --> and
<!-- end --> of a page.
"""

from __future__ import annotations

import inspect
import re
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import anypool as ap

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GENERATED = "generated"
CELL = 8
"""Pixels of the photograph's side that a window takes."""


# ---------------------------------------------------------------------------------------------------------------------
# The table


def table() -> str:
    """One row per operator: name, what it keeps, what can be learned, layers, source."""
    head = "| operator | y of a window | learned | layers of its name | source |\n|---|---|---|---|---|"
    return "\n".join([head, *map(_row, ap.OPERATORS.values())]) + "\n"


def _row(kind: type[Any]) -> str:
    info = kind.info
    learned = ", ".join(f"`{each.name}`" for each in kind.learnable()) or "–"
    names = f'`{kind.__name__}`, `"{info.name}"`'
    cells = (names, _escaped(info.formula), learned, _layers(kind), info.source or "–")
    return "| " + " | ".join(cells) + " |"


def _layers(kind: type[Any]) -> str:
    """The layers that bear the operator's name."""
    bearing = []
    for module, pattern in (("anypool.torch", "{}Pool2d"), ("anypool.keras", "{}Pooling2D")):
        room = import_module(module)
        stems = dict.fromkeys([kind.info.layer, kind.__name__, kind.info.layer.replace("Average", "Avg")])
        names = [pattern.format(stem) for stem in stems if stem]
        bearing += [f"`{name}`" for name in names if hasattr(room, name)][:1]
    return ", ".join(bearing) or "–"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*").replace("_", r"\_")


def fill(path: Path) -> None:
    """Write the table into a page, between its marks."""
    text = path.read_text()
    marked = re.compile("(<!-- operators -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marked.search(text):
        raise ValueError(f"{path} has no marks <!-- operators --> and <!-- end -->")
    path.write_text(marked.sub(lambda found: f"{found[1]}\n{table()}\n{found[2]}", text))


# ---------------------------------------------------------------------------------------------------------------------
# The page


def page() -> str:
    """The whole page, in Markdown."""
    parts = ["# Operators", INTRODUCTION, table(), "## On one photograph", GALLERY_TEXT, _gallery()]
    parts += [_section(kind) for kind in ap.OPERATORS.values()]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """
An operator says what is kept of the elements x of a window, of which there are n. Each works over every window, on
every array and with gradients; [Windows](../reference/windows.md) says which elements those are. The functions take
an operator as an object, or by name with its settings, as in `ap.pool(x, "lp:p=3", ap.Sliding(2))`; so do the layers
`Pool2d` and `Pooling2D`, which are there for every operator, and the command line.
""".strip()

GALLERY_TEXT = f"""
Windows of {CELL}×{CELL} over a photograph in grey, which is NASA's and in the public domain. Each picture is drawn
between its own least and its own greatest value.
""".strip()


def _gallery() -> str:
    pictures = {"photograph.png": "the photograph"} | {f"operator-{name}.png": name for name in ap.OPERATORS}
    items = [f":::{{grid-item}}\n![{text}]({picture}){{.pooled}}\n\n{text}\n:::" for picture, text in pictures.items()]
    return "::::{grid} 2 3 4 5\n:gutter: 2\n\n" + "\n".join(items) + "\n::::"


def _section(kind: type[Any]) -> str:
    name = kind.info.name
    lines = [
        f"## {kind.__name__}",
        "```{image} operator-"
        + name
        + f".png\n:alt: the photograph after {name} pooling\n:width: 128px\n:class: pooled\n:align: right\n```",
        "```{eval-rst}\n" + f".. autoclass:: anypool.{kind.__name__}\n" + "```",
    ]
    rows = [f"| `{each.name}` | {each.default} | {_bounds(each)} |" for each in kind.learnable()]
    if rows:
        lines.append("\n".join(["| can be learned | starts at | within |", "|---|---|---|", *rows]))
    return "\n\n".join(lines)


def _bounds(each: Any) -> str:
    if np.isinf(each.at_least) and np.isinf(each.at_most):
        return "any number"
    low = "" if np.isinf(each.at_least) else f"≥ {each.at_least:g}"
    high = "" if np.isinf(each.at_most) else f"≤ {each.at_most:g}"
    return " and ".join(filter(None, [low, high]))


# ---------------------------------------------------------------------------------------------------------------------
# The pictures


@cache
def photograph() -> np.ndarray:
    """The face of the astronaut that comes with scikit-image, in grey, 0 to 1."""
    from skimage.color import rgb2gray
    from skimage.data import astronaut

    return rgb2gray(astronaut())[0:256, 96:352]


def draw(folder: Path) -> None:
    """A picture of the photograph and of each operator's pooling of it."""
    _write(folder / "photograph.png", photograph())
    for name in ap.OPERATORS:
        _write(folder / f"operator-{name}.png", _pooled(name))


def _pooled(name: str) -> np.ndarray:
    """The photograph, or sixteen shades of it for operators that take labels alone."""
    try:
        return np.asarray(ap.pool(photograph(), name, ap.Sliding(CELL)))
    except TypeError:
        return np.asarray(ap.pool((photograph() * 15).round().astype("uint8"), name, ap.Sliding(CELL)))


def _write(path: Path, values: np.ndarray) -> None:
    import matplotlib.image

    values = values.astype(float)
    span = float(values.max() - values.min()) or 1.0
    matplotlib.image.imsave(path, (values - values.min()) / span, cmap="gray", vmin=0, vmax=1)


def write_pages(app: Sphinx) -> None:
    folder = Path(app.srcdir) / GENERATED
    folder.mkdir(exist_ok=True)
    draw(folder)
    text = page()
    path = folder / "operators.md"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write_pages)
    return {"version": "1", "parallel_read_safe": True}


if __name__ == "__main__":
    if sys.argv[1:2] != ["--fill"] or len(sys.argv) != 3:
        sys.exit(inspect.getdoc(sys.modules[__name__]))
    fill(Path(sys.argv[2]))
