"""`anypool report`: the page of a comparison, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import Failed, refusing


def report(
    out: Annotated[
        str, typer.Argument(metavar="DIR", help="The directory of a comparison, with its results.json.")
    ] = "anypool-report",
) -> None:
    """Make report.html and results.csv again from a comparison's results.json, without training anything."""
    from anypool.lab.report import write_report
    from anypool.lab.results import Results

    with refusing():
        if not out:
            raise ValueError("out must name a directory, got ''")
        results = Results.open(Path(out) / "results.json")
        if not results.runs:
            raise ValueError(f"out must hold at least one run, got {out!r}, which holds none")
    try:
        page = write_report(Path(out), results.settings, list(results.runs.values()), list(results.failures.values()))
    except OSError as error:
        raise Failed(f"{error.filename} cannot be written: {error.strerror}") from error
    print(f"The report is {page}")
