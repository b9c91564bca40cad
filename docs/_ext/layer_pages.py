"""The reference of layers, from the public names of `anypool.torch` and `anypool.keras`; written into docs/generated/.

Of the forms for one, two and three axes, which differ in that number alone, the one for two is shown.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GENERATED = "generated"
RANK = re.compile(r"\d[dD]$")
INTRODUCTIONS = {
    "torch": (
        "PyTorch layers",
        "torch's pooling modules under torch's names, with torch's signatures, defaults and results, and what torch "
        "lacks. [PyTorch](../torch.md) says what computes and where results differ.",
    ),
    "keras": (
        "Keras layers",
        "Keras's pooling layers under Keras's names, with Keras's arguments, configuration and results, and what Keras "
        "lacks. [Keras](../keras.md) says what is added and where results differ.",
    ),
}
SECTIONS = (
    "Sliding windows",
    "Adaptive windows",
    "Global",
    "Unpooling",
    "Models that exist",
    "Regions and descriptors",
)


def section_of(name: str, thing: Any) -> str:
    """Under which heading a public name stands."""
    if thing.__module__.endswith((".regions", ".descriptors")):
        return SECTIONS[5]
    if not RANK.search(name):  # a layer for any number of axes is a global one
        is_layer = isinstance(thing, type) and (hasattr(thing, "forward") or hasattr(thing, "call"))
        return SECTIONS[2 if is_layer else 4]
    if "Unpool" in name:
        return SECTIONS[3]
    return SECTIONS[1] if name.startswith("Adaptive") else SECTIONS[2] if name.startswith("Global") else SECTIONS[0]


def page(framework: str) -> str:
    """All public names of a framework's room, in sections."""
    room = import_module(f"anypool.{framework}")
    shown: dict[str, list[str]] = {title: [] for title in SECTIONS}
    known = set()
    for name in sorted(room.__all__):
        thing = getattr(room, name)
        of_two_axes = not RANK.search(name) or "2" in name[-2:]
        if of_two_axes and thing.__name__ == name:  # short names are the same classes
            known.add(thing)
            shown[section_of(name, thing)].append(name)
    title, text = INTRODUCTIONS[framework]
    same = "Each stands for three: the layers for one and for three axes have the same arguments."
    parts = [f"# {title}", f"`anypool.{framework}` has {text} {same}"]
    for heading, names in shown.items():
        entries = [_entry(f"anypool.{framework}.{name}", getattr(room, name)) for name in names]
        bases = dict.fromkeys(base for name in names for base in _described_bases(getattr(room, name)))
        bases = {base: None for base in bases if base not in known}
        known |= bases.keys()
        entries += [_entry(f"{base.__module__}.{base.__qualname__}", base) for base in bases]
        parts += [f"## {heading}", "```{eval-rst}\n" + "\n".join(entries) + "\n```"] if entries else []
    return "\n\n".join(parts) + "\n"


def _entry(name: str, thing: Any) -> str:
    return f".. auto{'class' if isinstance(thing, type) else 'function'}:: {name}"


def _described_bases(thing: Any) -> list[type]:
    """The bases of ours that say what arguments mean."""
    if not isinstance(thing, type):
        return []
    ours = (base for base in thing.__mro__[1:] if base.__module__.startswith("anypool."))
    return [base for base in ours if "Args:" in (base.__doc__ or "") and not RANK.search(base.__name__)]


def signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, given: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Keras's layers are made through a general `__new__`: their arguments are those of `__init__`."""
    if what != "class" or not name.startswith("anypool.keras."):
        return None
    parameters = list(inspect.signature(thing.__init__).parameters.values())[1:]
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return str(inspect.Signature(plain)), None


def write_pages(app: Sphinx) -> None:
    folder = Path(app.srcdir) / GENERATED
    folder.mkdir(exist_ok=True)
    for framework in INTRODUCTIONS:
        path, text = folder / f"{framework}.md", page(framework)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-signature", signature)
    return {"version": "1", "parallel_read_safe": True}
