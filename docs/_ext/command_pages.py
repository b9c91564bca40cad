"""The reference of the command line, from the commands themselves; written into docs/generated/ before reading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GENERATED = "generated"


def page() -> str:
    """A section per command, with its arguments and options, in Markdown."""
    from typer.main import get_command

    from anypool.cli.app import app

    group: Any = get_command(app)
    parts = ["# Command line", "Wrong input is one line on stderr and exit code 2, before any work."]
    for name, command in group.commands.items():
        parts += [f"## anypool {name}", _paragraphs(command.help), _usage(name, command), _options(command)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _paragraphs(text: str | None) -> str:
    lines = [" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n")]
    return "\n\n".join(
        f"```sh\n{line.removeprefix('For example: ')}\n```" if line.startswith("For example: ") else line
        for line in lines
    )


def _usage(name: str, command: Any) -> str:
    positional = [each for each in command.params if not each.opts[0].startswith("-")]
    words = [each.metavar or each.name.upper() for each in positional]
    return f"```text\nanypool {' '.join([name, *words, '[OPTIONS]'])}\n```"


def _options(command: Any) -> str:
    rows = []
    for parameter in command.params:
        named = "`, `".join([*parameter.opts, *parameter.secondary_opts])
        if named == "--help":
            continue
        default = getattr(parameter, "show_default", None)
        shown = default if isinstance(default, str) else parameter.default
        rows.append(
            f"| `{named}` | {(parameter.help or '').replace('|', '/')} | {'' if shown in (None, False) else shown} |"
        )
    return "\n".join(["| argument | meaning | default |", "|---|---|---|", *rows]) if rows else ""


def write_page(app: Sphinx) -> None:
    folder = Path(app.srcdir) / GENERATED
    folder.mkdir(exist_ok=True)
    path, text = folder / "cli.md", page()
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write_page)
    return {"version": "1", "parallel_read_safe": True}
