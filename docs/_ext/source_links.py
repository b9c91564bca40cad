"""Links of pages that include CONTRIBUTING and its like, which are relative to the root of the repository.

A link to a page goes to that page, and a link to any other file to where the source is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

SOURCE = "https://github.com/anypool/anypool/blob/main/"


def resolve_files(app: Sphinx, document: nodes.document) -> None:
    """Put a link that leads somewhere in the place of each relative to the root, or to a file that is no page."""
    root, page = Path(app.srcdir).parent, Path(app.env.doc2path(app.env.docname))
    for reference in [*document.findall(addnodes.download_reference), *document.findall(addnodes.pending_xref)]:
        path, _, anchor = str(reference.get("reftarget", "")).partition("#")
        for base in (page.parent, root):
            found = (base / path).resolve()
            if path and found.is_file() and root in found.parents:
                link = _link(app, found, anchor)
                link.extend(reference.children)
                reference.replace_self(link)
                break


def _link(app: Sphinx, file: Path, anchor: str) -> nodes.Element:
    """A link to a file of the repository."""
    source = Path(app.srcdir)
    if source in file.parents and file.suffix == ".md":
        name = file.relative_to(source).with_suffix("").as_posix()
        return addnodes.pending_xref(
            refdomain="doc",
            reftype="myst",
            reftarget=name,
            reftargetid=anchor or None,
            refexplicit=True,
            refdoc=app.env.docname,
            refwarn=True,
        )
    uri = SOURCE + file.relative_to(source.parent).as_posix() + (f"#{anchor}" if anchor else "")
    return nodes.reference("", "", internal=False, refuri=uri)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", resolve_files)
    return {"version": "1", "parallel_read_safe": True}
