"""The command line: its commands, and how it ends.

Wrong input is one line on stderr and exit code 2, before any work; what fails later is one line and exit code 1.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

try:
    import typer
    from typer.exceptions import TyperException
except ImportError as missing:
    print(f"anypool: the command line needs {missing.name!r}: pip install 'anypool[lab]'", file=sys.stderr)
    raise SystemExit(2) from missing

import anypool as ap

from .compare import compare
from .console import accept_any_character
from .errors import Failed, Refused
from .info import info
from .operators import operators
from .play import play
from .pyramid import pyramid
from .report import report
from .shape import shape
from .show import show
from .tune import tune

FAILED, REFUSED, INTERRUPTED = 1, 2, 130

app = typer.Typer(name="anypool", rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
for command in (compare, tune, report, show, play, shape, pyramid, operators, info):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    The code is 0 when all is done, 1 when something failed on the way, 2 for wrong input, 130 after Ctrl-C.
    """
    if sys.stdout is None:  # closed by whoever started this
        sys.stdout = io.StringIO()
    accept_any_character(sys.stdout, sys.stderr)
    code = _run(list(sys.argv[1:] if arguments is None else arguments) or ["--help"])
    if arguments is None:  # a process of our own: what frameworks do when it ends must not be interrupted
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise SystemExit(code)


def _run(arguments: Sequence[str]) -> int:
    """The exit code of the command these arguments give, all that it prints being out."""
    try:
        code = app(arguments, prog_name="anypool", standalone_mode=False)
        sys.stdout.flush()
        return code or 0
    except (Refused, TyperException) as error:
        _complain(error.format_message() if isinstance(error, TyperException) else str(error))
        return REFUSED
    except Failed as error:
        _complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read this, `head` perhaps, has enough
        _discard_output()
        return FAILED
    except OSError as error:
        place = error.filename or "standard output"
        _discard_output()
        _complain(f"{place} cannot be written: {error.strerror or error}")
        return FAILED


def _complain(said: str) -> None:
    print("anypool:", " ".join(said.split()), file=sys.stderr)


def _discard_output() -> None:
    """Let what could not be printed go, which Python would otherwise try once more at its end."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"anypool {ap.__version__}")
        raise typer.Exit


@app.callback()
def anypool(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Pooling: every way to keep one number per window. See it, measure it, choose."""
