"""results.json: runs with the same settings, each kept as it ends. Any number of processes may add to one file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .files import held, lock_beside, remove_leftovers, write_whole
from .runs import Failure, Run, RunKey

FORMAT = 2
"""Raised where a field changes its meaning; a new field, run or setting needs no new format."""

EARLIER_SETTINGS = {"model": "course", "moved_images": None, "recalibrate": True}
"""What settings were before there was a choice: files without them have these."""


class ResultsError(Exception):
    """A run could not be kept: the file cannot be written, or became another one meanwhile."""


class Results:
    """The runs in a results.json, or in memory where `path` is None.

    The file is replaced whole as each run is added: re-read, merged and written under a lock, so that runs which other
    processes added meanwhile stay. Fields of other versions are kept.

    Raises:
        ValueError: the file is damaged, or its runs were made with other settings.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = dict(settings)
        self.runs: dict[RunKey, Run] = {}
        self.failures: dict[RunKey, Failure] = {}
        self._unknown: dict[str, Any] = {}
        self._lock = None if path is None else lock_beside(path)
        self._refresh()

    @classmethod
    def open(cls, path: Path) -> Results:
        """The results in a file as they are, with its own settings."""
        if not path.is_file():
            raise ValueError(f"out must be a directory with a results.json, but there is no {path}")
        return cls(path, _read(path)["settings"])

    @contextmanager
    def working(
        self, on_wait: Callable[[], None] | None = None, should_stop: Callable[[], bool] | None = None
    ) -> Iterator[bool]:
        """Keep other comparisons out of the file's directory; gives False where `should_stop` ended the waiting."""
        if self.path is None or self._lock is None:
            yield True
            return
        with held(self._lock, on_wait, should_stop) as mine:
            if mine:
                remove_leftovers(self.path)
                self._refresh()
            yield mine

    def add(self, run: Run) -> None:
        """Keep a run: after this it survives whatever happens.

        Raises:
            ResultsError: it cannot be written, or the file holds something else by now.
        """
        with self._changing():
            self.runs[run.key] = run
            self.failures.pop(run.key, None)

    def add_failure(self, failure: Failure) -> None:
        """Keep why a run came to no result, until there is one."""
        with self._changing():
            if failure.key not in self.runs:
                self.failures[failure.key] = failure

    def chosen(self, keys: Iterable[RunKey]) -> list[Run]:
        """The runs of these keys that are done."""
        return [self.runs[key] for key in keys if key in self.runs]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Take in what others wrote, and write it with what is changed inside; what cannot be written is not there."""
        before = dict(self.runs), dict(self.failures)
        try:
            with self.working():
                yield
                self._write()
        except (OSError, ValueError) as error:
            self.runs, self.failures = before
            raise ResultsError(_said(error)) from error

    def _refresh(self) -> None:
        """Take in what is in the file; its runs and ours are together what there is."""
        if self.path is None or not self.path.exists():
            return
        content = _read(self.path)
        _check_same(self.path, content["settings"], self.settings)
        self.runs = {run.key: run for run in content["runs"]} | self.runs
        found = {failure.key: failure for failure in content["failures"]} | self.failures
        self.failures = {key: failure for key, failure in found.items() if key not in self.runs}
        self._unknown = content["unknown"]

    def _write(self) -> None:
        if self.path is None:
            return
        content = {
            "format": FORMAT,
            "settings": self.settings,
            "runs": [run.entry() for run in self.runs.values()],
            "failures": [failure.entry() for failure in self.failures.values()],
            **self._unknown,
        }
        write_whole(self.path, json.dumps(content, indent=1, allow_nan=False).encode())


def _said(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'results.json'} cannot be written: {error.strerror}"
    return str(error)


def records(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """One flat record per run, all with the same columns: for tables, CSV files and data frames."""
    rows = []
    for run in runs:
        key = {"polarity": run.polarity, "stage": run.stage, "pool": run.pool, "seed": run.seed}
        later = sorted(run.epoch_seconds[1:])
        half = len(later) // 2
        seconds = (later[half] + later[~half]) / 2 if later else None
        rows.append({**key, **run.measures, "parameters": run.parameters, "seconds_per_epoch": seconds})
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in columns} for row in rows]


def to_csv(runs: Iterable[Run]) -> str:
    """The runs as a CSV file; what was not measured is empty."""
    rows = records(runs)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def read_settings(path: Path) -> dict[str, Any] | None:
    """The settings of the runs in a file; None where there is no file."""
    return _read(path)["settings"] if path.exists() else None


def _read(path: Path) -> dict[str, Any]:
    """What a file of any version up to this one's holds, in this version's terms."""
    try:
        content = json.loads(path.read_bytes())
        if content["format"] not in (1, FORMAT):
            raise ValueError(f"format {content['format']!r}")
        if content["format"] == 1:
            content = _upgraded(content)
        return {
            "settings": EARLIER_SETTINGS | content["settings"],
            "runs": [Run.from_entry(entry) for entry in content["runs"]],
            "failures": [Failure.from_entry(entry) for entry in content.get("failures", [])],
            "unknown": {
                name: value for name, value in content.items() if name not in ("format", "settings", "runs", "failures")
            },
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        rule = "must hold no results.json, or one of this version or an earlier one: delete it, or give another --out"
        raise ValueError(f"out {rule}; {path} cannot be read ({reason})") from error


def _upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """A file of format 1: three measures as fields of a run, versions and machine as settings."""
    settings = dict(content["settings"])
    backend, _, version = settings.get("backend", "").partition(" ")
    environment = {backend: version} if backend else {}
    for library in filter(None, settings.pop("versions", "").split(", ")):
        name, _, environment[name] = library.partition(" ")
    if "machine" in settings:
        environment["machine"] = settings.pop("machine")
    if backend:
        settings["backend"] = backend
    runs = []
    for entry in content["runs"]:
        measures = {name: entry[name] for name in ("accuracy", "consistency", "fidelity")}
        rest = {name: value for name, value in entry.items() if name not in measures}
        runs.append({**rest, "measures": measures, "environment": environment})
    return {"format": FORMAT, "settings": settings, "runs": runs}


def _check_same(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    wanted = {**EARLIER_SETTINGS, **wanted}
    differing = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    if differing:
        said = "; ".join(f"{name} was {found.get(name)!r}, now {wanted.get(name)!r}" for name in differing)
        rule = "must hold no results.json, or one with these settings: give another --out, or delete it to start anew"
        raise ValueError(f"out {rule}; {path} has others ({said})")
