"""Links to files of the repository that are no pages go to where the source is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

SOURCE = "https://github.com/anypool/anypool/blob/main/"


def link_source_files(app: Sphinx, document: nodes.document) -> None:
    """Pages that include CONTRIBUTING and its like hold links relative to the root of the repository."""
    root = Path(app.srcdir).parent
    page = Path(app.env.doc2path(app.env.docname))
    for reference in [*document.findall(addnodes.download_reference), *document.findall(addnodes.pending_xref)]:
        target = str(reference.get("reftarget", ""))
        path, _, anchor = target.partition("#")
        for base in (page.parent, root):
            found = (base / path).resolve()
            if path and found.is_file() and root in found.parents and not _is_page(app, found):
                uri = SOURCE + found.relative_to(root).as_posix() + (f"#{anchor}" if anchor else "")
                link = nodes.reference("", "", internal=False, refuri=uri)
                link.extend(reference.children)
                reference.replace_self(link)
                break


def _is_page(app: Sphinx, path: Path) -> bool:
    source = Path(app.srcdir)
    return source in path.parents and path.suffix == ".md"


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", link_source_files)
    return {"version": "1", "parallel_read_safe": True}
