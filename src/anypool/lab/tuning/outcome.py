"""What came of a search: its trials, the Pareto front, and the best network, in files too."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..callbacks import TuneCallback
from ..files import remove_leftovers, write_whole
from ..networks.base import Network
from ..subjects import SwappedNetwork
from .aims import front, to_tell_by
from .code import lines
from .space import Choice

if TYPE_CHECKING:
    import optuna
    import pandas
    from optuna.trial import FrozenTrial

    from .search import Search

FORMAT = 1
DONE, STOPPED_EARLY, FAILED = "done", "stopped early", "failed"


@dataclass(frozen=True)
class Trial:
    """One trial that is over."""

    number: int
    state: str
    """`done`, `stopped early` or `failed`."""
    choices: tuple[Choice, ...]
    """What pooled at each site."""
    values: dict[str, float]
    """By aims, on the images to choose by; empty where it is not done."""
    curve: list[float]
    """Accuracy after each epoch, on those images."""
    multiply_adds: float | None
    parameters: int | None
    seconds: float
    reason: str | None = None
    """Why it failed."""

    def entry(self) -> dict[str, Any]:
        """The trial as tuning.json holds it."""
        return {**asdict(self), "choices": [choice.entry() for choice in self.choices]}

    @classmethod
    def of(cls, frozen: FrozenTrial, aims: tuple[str, ...]) -> Trial:
        """The trial that Optuna keeps."""
        from . import store

        said = frozen.user_attrs
        state = {"COMPLETE": DONE, "PRUNED": STOPPED_EARLY}.get(frozen.state.name, FAILED)
        return cls(
            number=frozen.number,
            state=state,
            choices=tuple(Choice(**entry) for entry in said.get(store.CHOICES, ())),
            values=dict(zip(aims, frozen.values, strict=True)) if state == DONE else {},
            **{"curve": [], "multiply_adds": None, "parameters": None, **said.get(store.LEARNED, {})},
            seconds=frozen.duration.total_seconds() if frozen.duration else 0.0,
            reason=store.reason_of(frozen) if state == FAILED else None,
        )


@dataclass
class Tuning:
    """A search as it stands: its trials, and what is best."""

    search: Search
    trials: list[Trial]
    front: list[int]
    """The numbers of the trials that no other beats in every aim, the best in the first aim before the others."""
    best: Trial | None = None
    """The first of the front."""
    network: Network | None = None
    """The best network, where the search came to its end."""
    measures: dict[str, float] = field(default_factory=dict)
    """What was measured of it on images that neither trained nor chose it."""

    @classmethod
    def of(cls, search: Search, study: optuna.Study) -> Tuning:
        """What a study holds."""
        from . import store

        aims = search.task.aims
        trials = [Trial.of(one, aims) for one in store.finished(study)]  # read once: others add to it meanwhile
        done = [trial for trial in trials if trial.state == DONE]
        places = front([tuple(trial.values[aim] for aim in aims) for trial in done], aims)
        return cls(search, trials, [done[place].number for place in places], done[places[0]] if places else None)

    @property
    def failures(self) -> list[Trial]:
        """The trials that came to no result."""
        return [trial for trial in self.trials if trial.state == FAILED]

    @property
    def stopped(self) -> bool:
        """Whether a callback ended the search before there were enough trials."""
        return self.search.stopped

    @property
    def model(self) -> Any:
        """The best model, of Keras or torch; None where the search did not come to its end."""
        return None if self.network is None else self.network.model

    @property
    def code(self) -> str:
        """The lines that build the best model; empty where there is none."""
        if self.best is None:
            return ""
        search = self.search
        space, weights = search.task.space, str(self.model_file)
        return lines(search.task.subject, search.model, space.sites, self.best.choices, search.data, weights)

    def build_best(self, callback: TuneCallback) -> None:
        """Make the best network, as trials are made but on all images, and measure it on those that chose nothing."""
        assert self.best is not None
        task, number = self.search.task, self.best.number
        callback.on_best_begin(self.best)
        data = to_tell_by(self.search.data, task.subject.trained)
        self.network = task.build(self.best.choices, data)
        task.learn(
            self.network,
            data,
            lambda epoch, accuracy: callback.on_epoch_end(number, epoch, accuracy),
            callback.should_stop,
        )
        self.measures = task.measure(self.network, data, None, callback.should_stop)

    def to_frame(self) -> pandas.DataFrame:
        """The trials as a pandas DataFrame: a row per trial, aims and the pooling of every site as columns."""
        import pandas

        rows = []
        for trial in self.trials:
            pools = {site: str(choice) for site, choice in zip(self.search.sites, trial.choices, strict=False)}
            front = trial.number in self.front
            row = {"number": trial.number, "state": trial.state, **trial.values, "front": front, **pools}
            rows.append({**row, "multiply_adds": trial.multiply_adds, "seconds": trial.seconds})
        return pandas.DataFrame.from_records(rows)

    # Files

    def write(self, page: bool = True) -> None:
        """Write tuning.json and its page, and the best model with its configuration and code where there is one.

        Each file is there whole or not at all. Without a directory nothing is written.

        Raises:
            OSError: a file cannot be written.
        """
        folder = self.search.folder
        if folder is None:
            return
        for name in ("tuning.json", self._weights_name()):
            remove_leftovers(folder / name)
        if self.network is not None:
            self._save_model(self.model_file)
            write_whole(folder / "best.json", _json(self._best_entry()))
            write_whole(folder / "best.py", self.code.encode())
        write_whole(folder / "tuning.json", _json(self.entry()))
        if page and self.best is not None:
            from ..report import write_search_report

            write_search_report(folder)

    def entry(self) -> dict[str, Any]:
        """The search as tuning.json holds it."""
        return {
            "format": FORMAT,
            "settings": self.search.settings,
            "sites": self.search.sites,
            "trials": [trial.entry() for trial in self.trials],
            "front": self.front,
            "best": self._best_entry() if self.best is not None else None,
        }

    def _best_entry(self) -> dict[str, Any]:
        assert self.best is not None
        chosen = zip(self.search.sites, self.best.choices, strict=True)
        poolings = {site: choice.entry() for site, choice in chosen}
        return {"number": self.best.number, "poolings": poolings, "measures": self.measures}

    def _weights_name(self) -> str:
        subject = self.search.task.subject
        return "best" + (subject.network.suffix if isinstance(subject, SwappedNetwork) else ".keras")

    @property
    def model_file(self) -> Path:
        """Where the best model is written: a .keras file, a torch state (.pt), or Keras weights where layers of yours
        pool, which no file holds otherwise."""
        return self._file(self._weights_name())

    def _file(self, name: str) -> Path:
        folder = self.search.folder
        return Path(name) if folder is None else folder / name

    def _save_model(self, target: Path) -> None:
        """Write the best model beside its file, and put it in place whole."""
        assert self.network is not None
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as beside:
            written = Path(beside) / target.name
            self.network.save(written)
            os.replace(written, target)


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, allow_nan=False).encode()


def read_settings(folder: Path) -> dict[str, Any] | None:
    """The settings of the search in a directory; None where there is none.

    Raises:
        ValueError: its tuning.json is damaged.
    """
    path = folder / "tuning.json"
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT or not isinstance(content["settings"], dict):
            raise ValueError(f"format {content['format']!r}")
    except (ValueError, TypeError, KeyError) as error:
        rule = "must hold no tuning.json, or one of this version: delete it, or give another --out"
        raise ValueError(f"out {rule}; {path} cannot be read ({type(error).__name__}: {error})") from error
    return dict(content["settings"])
