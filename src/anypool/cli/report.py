"""`anypool report`: the page of a comparison or a search, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import Failed, refusing


def report(
    out: Annotated[
        str, typer.Argument(metavar="DIR", help="The directory of a comparison, with its results.json, or of a search.")
    ] = "anypool-report",
) -> None:
    """Make report.html and results.csv again from a comparison's results.json, without training anything.

    In the directory of a search (anypool tune) the page is made from its tuning.json.
    """
    from anypool.lab.report import write_report, write_search_report
    from anypool.lab.results import Results

    with refusing():
        if not out:
            raise ValueError("out must name a directory, got ''")
        folder = Path(out)
        is_search = (folder / "tuning.json").exists() and not (folder / "results.json").exists()
        try:
            if is_search:
                page = write_search_report(folder)
            else:
                results = Results.open(folder / "results.json")
                if not results.runs:
                    raise ValueError(f"out must hold at least one run, got {out!r}, which holds none")
                runs, failures = list(results.runs.values()), list(results.failures.values())
                page = write_report(folder, results.settings, runs, failures)
        except OSError as error:
            raise Failed(f"{error.filename} cannot be written: {error.strerror}") from error
    print(f"The report is {page}")
