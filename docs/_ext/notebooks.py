"""The notebooks of *Learn pooling*: the pages as they are, and as .ipynb files to download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig
from sphinx.application import Sphinx

FOLDER = "notebooks"
MARK = "file_format: mystnb"


def pages(docs: Path) -> list[Path]:
    """The pages that are notebooks."""
    return sorted(path for path in docs.rglob("*.md") if MARK in path.read_text()[:400])


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook in a page."""
    notebook = read_myst_markdown_notebook(path.read_text(), MdParserConfig())
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def write_downloads(app: Sphinx, error: Exception | None) -> None:
    """Beside the site, each notebook as Jupyter reads it, without outputs."""
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir) / FOLDER
        folder.mkdir(exist_ok=True)
        for path in pages(Path(app.srcdir)):
            nbformat.write(read(path), folder / f"{path.stem}.ipynb")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", write_downloads)
    return {"version": "1", "parallel_read_safe": True}
