"""Docstrings are plain text: |x| is a magnitude and no substitution, and *Raises* lists errors in running text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ERROR = re.compile(r"\b(\w+(?:Error|Warning)): ")


def process(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring for reStructuredText, in place; before napoleon reads its sections."""
    lines[:] = _escaped(_with_raises(lines))


def _with_raises(lines: list[str]) -> list[str]:
    """The lines, with an entry for each error of a section *Raises*."""
    if "Raises:" not in (line.strip() for line in lines):
        return lines
    start = next(i for i, line in enumerate(lines) if line.strip() == "Raises:")
    end = next((i for i in range(start + 1, len(lines)) if not lines[i].strip()), len(lines))
    text = " ".join(line.strip() for line in lines[start + 1 : end])
    found = list(ERROR.finditer(text))
    stops = [each.start() for each in found[1:]] + [len(text)]
    entries = [f"    {each[1]}: {text[each.end() : stop].strip()}" for each, stop in zip(found, stops, strict=True)]
    return [*lines[: start + 1], *entries, *lines[end:]]


def _escaped(lines: list[str]) -> list[str]:
    example = False
    made = []
    for line in lines:
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        made.append(line if example else line.replace("|", r"\|"))
    return made


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", process, priority=1)
    return {"version": "1", "parallel_read_safe": True}
