"""Trials in a database of Optuna's: asked for, told, and given back where their process died."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .aims import directions

try:
    import optuna
except ImportError as missing:
    raise ModuleNotFoundError("tuning needs optuna: pip install 'anypool[lab]'", name="optuna") from missing

from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

HEARTBEAT_SECONDS, GRACE_SECONDS = 10, 60
"""How often a process says that its trial goes on, and after how long a silence the trial is given back."""

SQLITE_PATIENCE_SECONDS = 120
"""How long a process waits for others that write the file."""

MOST_REPEATS = 40
"""So many trials on end that choose what others chose, and there is nothing left to choose."""

MOST_RETRIES = 2
"""A trial whose process died is tried again so often."""

REASON, WORKER, RETRY, STOPPED = "reason", "worker", "retry", "stopped"
CHOICES, LEARNED, SAME_AS = "choices", "learned", "same_as"
"""What trials say of themselves, as Optuna's user attributes; `learned` is curve, multiply_adds and parameters."""


class StoreError(Exception):
    """The database cannot be read or written."""


@contextmanager
def quietly() -> Iterator[None]:
    """Without Optuna's log of trials and its warnings of what it calls experimental; a database's errors in a line."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except optuna.exceptions.StorageInternalError as error:
        raise StoreError(_said(error)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "sqlalchemy":
            raise StoreError(_said(error)) from error
        raise
    finally:
        optuna.logging.set_verbosity(level)


def _said(error: BaseException) -> str:
    """The driver's own words, without SQLAlchemy's."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    said = " ".join(str(getattr(cause, "orig", None) or cause).split())
    return f"the store of trials cannot be read or written: {said[:300]}"


def open_store(url: str | None) -> BaseStorage:
    """The database at this URL of SQLAlchemy's; None is memory.

    Raises:
        ValueError: it cannot be opened.
    """
    if url is None:
        return optuna.storages.InMemoryStorage()
    options = {"connect_args": {"timeout": SQLITE_PATIENCE_SECONDS}} if url.startswith("sqlite") else {}
    try:
        with quietly():
            return optuna.storages.RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=give_back,
            )
    except ImportError as error:
        needed = error.name or "its driver"
        raise ValueError(f"storage {shown(url)!r} needs {needed}, which is not installed: {error}") from error
    except StoreError as error:
        raise ValueError(f"storage must be the URL of a database that answers, got {shown(url)!r}: {error}") from error
    except Exception as error:  # SQLAlchemy's and drivers', for URLs that are none
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"storage must be the URL of a database, got {shown(url)!r}: {said}") from error


def shown(url: str) -> str:
    """A URL without its password.

    >>> shown("postgresql://me:secret@host/trials")
    'postgresql://me:***@host/trials'
    """
    start, found, rest = url.rpartition("@")
    scheme, _, user = start.partition("://")
    return f"{scheme}://{user.partition(':')[0]}:***@{rest}" if found and ":" in user else url


def open_study(store: BaseStorage, settings: dict[str, Any], aims: Sequence[str]) -> optuna.Study:
    """The study of searches with these settings: one for all processes and machines that search alike."""
    with quietly():
        study = optuna.create_study(
            storage=store,
            study_name=f"anypool {digest(settings)}",
            directions=directions(aims),
            load_if_exists=True,
        )
        if "settings" not in study.user_attrs:
            study.set_user_attr("settings", settings)
        return study


def digest(settings: dict[str, Any]) -> str:
    """A fingerprint of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def begin(study: optuna.Study, first: dict[str, Any]) -> None:
    """Let a study begin with the trial of these parameters, if nothing has begun."""
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(first)


def this_process() -> str:
    """What trials say that this process runs."""
    return f"{socket.gethostname()}:{os.getpid()}"


def give_back(study: optuna.Study, trial: FrozenTrial) -> None:
    """Let a trial be tried again whose process died, unless that happened too often."""
    retry = trial.user_attrs.get(RETRY, 0)
    if retry < MOST_RETRIES:
        study.enqueue_trial(trial.params, user_attrs={RETRY: retry + 1})


def give_back_stopped(trial: optuna.Trial) -> None:
    """Let a trial be tried again that this process was told to stop."""
    trial.set_user_attr(STOPPED, True)
    trial.study.enqueue_trial(trial.params, user_attrs={RETRY: trial.user_attrs.get(RETRY, 0)})


def give_back_all(study: optuna.Study, workers: Sequence[str] | None = None) -> None:
    """Give back the trials that these dead processes ran; None for all that anybody ran."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if workers is None or trial.user_attrs.get(WORKER) in workers:
            study.tell(trial.number, state=TrialState.FAIL)
            give_back(study, trial)


def was_lost(trial: FrozenTrial) -> bool:
    """Whether a trial failed because its process died or was told to stop, and is tried again."""
    said = trial.user_attrs
    again = STOPPED in said or said.get(RETRY, 0) < MOST_RETRIES
    return trial.state == TrialState.FAIL and REASON not in said and again


def reason_of(trial: FrozenTrial) -> str:
    """Why a trial failed."""
    return trial.user_attrs.get(REASON) or f"its process died {MOST_RETRIES + 1} times"


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that are over: done, stopped early, or failed by themselves; what repeats another does not count."""
    over = (one for one in study.get_trials(deepcopy=False) if one.state.is_finished())
    return [one for one in over if SAME_AS not in one.user_attrs and not was_lost(one)]


def repeats(study: optuna.Study) -> int:
    """How many of the last trials on end chose what others had chosen."""
    over = [one for one in study.get_trials(deepcopy=False) if one.state.is_finished()]
    return next((place for place, one in enumerate(reversed(over)) if SAME_AS not in one.user_attrs), len(over))


def remaining(study: optuna.Study, trials: int) -> int:
    """How many of so many trials nobody has finished or runs; 0 where there is nothing left to choose."""
    if repeats(study) >= MOST_REPEATS:
        return 0
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return trials - len(finished(study)) - len(running)
