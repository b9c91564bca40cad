"""A search for poolings: what it chooses, keeps, refuses and says, with networks that are made up."""

import json
import os
import random
import subprocess
import sys
import time
from typing import Any

import pytest
from labruns import made_up_images, made_up_subject
from processes import ROOT, changed_environment, run_python

pytest.importorskip("optuna")

import optuna

from anypool.cli import main
from anypool.lab import TuneCallback, tune
from anypool.lab.files import lock_beside
from anypool.lab.networks.base import Site
from anypool.lab.tuning import search, store
from anypool.lab.tuning.aims import check_aims, to_choose_by, to_tell_by
from anypool.lab.tuning.space import Space, ranges
from anypool.lab.tuning.trials import Finished, is_hopeless

IMAGES = made_up_images()


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    """Networks that no framework computes."""
    monkeypatch.setattr(search, "find_subject", lambda *arguments: made_up_subject())


class Recorder(TuneCallback):
    def __init__(self, stop_after=None):
        self.told = []
        self.stop_after = stop_after

    def on_trial_end(self, trial, tuning):
        self.told.append(trial)

    def should_stop(self):
        return self.stop_after is not None and len(self.told) >= self.stop_after


def tuned(**arguments):
    return tune(**{"model": "made up", "data": IMAGES, "poolings": ["max", "average", "min"], **arguments})


# ---------------------------------------------------------------------------------------------------------------------
# What it finds


def test_the_best_of_all_is_found():
    found = tuned(trials=60, epochs=2)
    assert len(found.trials) == 49  # all there are
    assert [str(choice) for choice in found.best.choices] == ["average 3/2", "average 3/2"]
    assert found.best.values["accuracy"] == 1.0
    assert found.front == [found.best.number]
    assert found.measures["accuracy"] == 1.0
    assert found.network.pools == ("average", "average")
    assert {"consistency", "wobble", "ms_forward"} <= set(found.measures)


def test_the_first_trial_is_the_network_as_it_is():
    assert [choice.pool for choice in tuned(trials=1).trials[0].choices] == ["original", "original"]


def test_several_aims_have_a_front_of_what_nothing_beats():
    found = tuned(trials=40, aims=["accuracy", "multiply_adds"], epochs=2)
    done = {trial.number: trial.values for trial in found.trials if trial.state == "done"}
    points = {(values["accuracy"], values["multiply_adds"]) for values in done.values()}
    front = [(done[number]["accuracy"], done[number]["multiply_adds"]) for number in found.front]
    for accuracy, cost in points - set(front):
        assert any(other >= accuracy and price <= cost for other, price in front)
    for accuracy, cost in front:
        assert not any(
            (other, price) != (accuracy, cost) and other >= accuracy and price <= cost for other, price in points
        )
    assert found.front[0] == found.best.number
    assert found.best.values["accuracy"] == max(accuracy for accuracy, _ in points)
    assert len(front) > 1
    assert set(found.to_frame().columns) >= {"number", "state", "accuracy", "multiply_adds", "front", "first", "second"}


def test_nothing_is_tried_twice():
    found = tuned(trials=30, poolings=["average"], sizes=[2], epochs=2)
    assert len({trial.choices for trial in found.trials}) == len(found.trials) == 4


def test_the_same_seed_searches_alike():
    first, second, other = (tuned(trials=8, poolings=["gem", "lp"], seed=seed) for seed in (1, 1, 2))
    assert [trial.choices for trial in first.trials] == [trial.choices for trial in second.trials]
    assert [trial.choices for trial in first.trials] != [trial.choices for trial in other.trials]


def test_what_stays_behind_is_stopped_early():
    found = tuned(trials=60, epochs=10)
    states = [trial.state for trial in found.trials]
    early = [trial for trial in found.trials if trial.state == "stopped early"]
    assert states[:5] == ["done"] * 5
    assert early
    assert all(len(trial.curve) < 10 and trial.values == {} for trial in early)
    assert found.best.values["accuracy"] == 1.0


def test_when_a_trial_is_hopeless():
    past = [Finished((0.5, accuracy, 0.9), 100.0) for accuracy in (0.5, 0.6, 0.7, 0.8, 0.9)]
    assert is_hopeless([0.4, 0.69], None, past, 3, cheap=False)
    assert not is_hopeless([0.4, 0.7], None, past, 3, cheap=False)
    assert not is_hopeless([0.4, 0.6], None, past[1:], 3, cheap=False)  # too few to compare with
    assert not is_hopeless([0.4, 0.6, 0.6], None, past, 3, cheap=False)  # over anyway
    assert not is_hopeless([0.1, 0.1], None, past, 10, cheap=False)  # early in the training
    assert is_hopeless([0.4, 0.6], 100.0, past, 3, cheap=True)
    assert not is_hopeless([0.4, 0.6], 99.0, past, 3, cheap=True)


def test_images_that_choose_are_not_those_that_tell():
    import numpy as np

    rows = np.arange(40)
    data = made_up_images()
    object.__setattr__(data, "x_train", rows[:, None, None, None] + np.zeros((40, 6, 6, 1)))
    object.__setattr__(data, "x_test", 100 + data.x_train)
    choose, tell = to_choose_by(data, trained=True), to_tell_by(data, trained=True)
    held = set(choose.x_test[:, 0, 0, 0])
    assert held == {8, 9, 18, 19, 28, 29, 38, 39}
    assert set(choose.x_train[:, 0, 0, 0]) == set(rows) - held
    assert tell is data
    choose, tell = to_choose_by(data, trained=False), to_tell_by(data, trained=False)
    seen = [set(part.x_test[:, 0, 0, 0]) for part in (choose, tell)]
    assert seen[0] | seen[1] == set(100 + rows)
    assert not seen[0] & seen[1]
    assert np.bincount(choose.y_test).tolist() == [10, 10]


def test_what_is_searched_of_every_operator():
    import anypool as ap

    assert ranges("mixed") == {"a": (0.0, 1.0, False)}
    assert ranges("lp") == {"p": (1, 8, True)}
    assert ranges("average:count_include_pad=True") == {}
    site = Site("pooling", "sliding", {"pool_size": 3, "strides": None})
    space = Space((site,), ("original", *ap.OPERATORS, "strided"), None, None)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for name in space.poolings:
        study.enqueue_trial({"1 pool": name}, skip_if_exists=False)
        (choice,) = space.suggest(study.ask())
        assert choice.pool.partition(":")[0] == name
        if name == "original":
            continue
        assert (choice.size in (3, 4), choice.stride, choice.candidate.name) == (True, 3, choice.pool)
        settings = choice.pool.partition(":")[2].split(",")
        assert ranges(name).keys() == {setting.partition("=")[0] for setting in settings if setting}


# ---------------------------------------------------------------------------------------------------------------------
# What it keeps


def test_it_goes_on_where_it_was_stopped(tmp_path):
    recorder = Recorder(stop_after=3)
    first = tuned(trials=6, out=tmp_path, callback=recorder)
    assert first.stopped
    assert [len(first.trials), first.network] == [3, None]
    again = Recorder()
    second = tuned(trials=6, out=tmp_path, callback=again)
    assert recorder.told + again.told == second.trials
    assert [trial.choices for trial in second.trials[:3]] == [trial.choices for trial in recorder.told]
    written = json.loads((tmp_path / "tuning.json").read_text())
    assert len(written["trials"]) == 6
    assert written["best"]["number"] == second.best.number
    assert sorted(os.listdir(tmp_path)) == [
        ".tuning.json.lock", "best.json", "best.keras", "best.py", "report.html", "trials.db", "tuning.json",
    ]  # fmt: skip


def test_a_trial_that_is_stopped_in_its_middle_is_tried_again(tmp_path):
    class Stopping(Recorder):
        def on_epoch_end(self, number, epoch, accuracy):
            self.stop_after = 0 if (number, epoch) == (1, 2) else None

    first = tuned(trials=3, epochs=5, out=tmp_path, callback=Stopping())
    assert first.stopped
    second = tuned(trials=3, epochs=5, out=tmp_path)
    assert len(second.trials) == 3
    assert second.failures == []
    study = opened(tmp_path)
    assert [trial.state.name for trial in study.trials[:3]] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study.trials[1].params == study.trials[2].params


def test_what_fails_is_said_and_the_others_go_on():
    found = tuned(trials=12, poolings=["median", "average"], epochs=2)
    reasons = {trial.reason for trial in found.failures}
    assert reasons == {"the loss was nan after epoch 1"}
    assert len(found.trials) == 12
    assert "average" in {choice.pool for choice in found.best.choices}


def test_other_settings_are_refused(tmp_path):
    tuned(trials=1, out=tmp_path)
    with pytest.raises(ValueError, match=r"out must hold no tuning\.json, .* \(seed was 0, now 3\)"):
        tuned(trials=1, seed=3, out=tmp_path)
    (tmp_path / "tuning.json").write_text("{")
    with pytest.raises(ValueError, match=r"tuning\.json cannot be read"):
        tuned(trials=1, out=tmp_path)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"aims": ["speed"]}, "aims must be one or more of accuracy, consistency, .*latency, got 'speed'"),
    ({"aims": ["aliasing"]}, "got 'aliasing'"),
    ({"aims": []}, "got none"),
    ({"aims": ["latency", "ms_forward"]}, "aims must name each measure once"),
    ({"trials": 0}, "trials must be between 1 and 100000, got 0"),
    ({"jobs": 0}, "jobs must be between 1 and 256, got 0"),
    ({"seed": -1}, "seed must be an integer from 0, got -1"),
    ({"sizes": [0]}, "sizes must be integers from 1 to 64"),
    ({"strides": [2, 2]}, "strides must name each number once"),
    ({"poolings": ["mean"]}, "got 'mean'"),
    ({"storage": "nothing"}, "storage must be the URL of a database that answers, got 'nothing'"),
    ({"storage": "oracle://me:secret@host/x"}, r"storage 'oracle://me:\*\*\*@host/x' needs"),
    ({"storage": "sqlite:////proc/trials.db"}, "storage must be the URL of a database that answers"),
    ({"out": "/proc/below"}, "out must lie in a directory that can be written to"),
])  # fmt: skip
def test_refused_searches(arguments, message):
    with pytest.raises(ValueError, match=message):
        tuned(**arguments)


def test_a_pooling_that_fits_nowhere_is_refused(monkeypatch):
    subject = made_up_subject()
    subject.sites = [Site("end", "global", {})]
    monkeypatch.setattr(search, "find_subject", lambda *arguments: subject)
    with pytest.raises(ValueError, match="pool must name poolings that can take the place of global pooling, got 'str"):
        tuned(poolings=["max", "strided"])


def test_aims_by_their_other_names():
    assert check_aims("latency") == ("ms_forward",)


def test_a_database_that_two_searches_share(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    first = tuned(trials=4, storage=url, out=tmp_path / "here")
    second = tuned(trials=6, storage=url, out=tmp_path / "there")
    assert [trial.choices for trial in second.trials[:4]] == [trial.choices for trial in first.trials]
    assert len(second.trials) == 6
    assert not (tmp_path / "here" / "trials.db").exists()


def test_a_trial_whose_process_fell_silent_is_given_back(tmp_path):
    """By Optuna's heartbeat, as for a machine that was switched off."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    prepared = search.prepare("made up", IMAGES, ["max"], trials=3, storage=url)
    with store.quietly():
        opened: Any = store.open_store(url)
        study = store.open_study(opened, prepared.settings, prepared.task.aims)
        with pytest.warns(UserWarning, match="Heartbeat of storage"):
            lost = study.ask({"1 pool": optuna.distributions.CategoricalDistribution(["original", "max"])})
        opened.record_heartbeat(lost._trial_id)
        with opened.engine.begin() as connection:
            from sqlalchemy import text

            connection.execute(text("update trial_heartbeats set heartbeat = '2020-01-01 00:00:00'"))
    found = prepared.run()
    assert len(found.trials) == 3
    states = {trial.number: trial.state.name for trial in study.trials}
    assert states[lost.number] == "FAIL"
    assert any(trial.user_attrs.get(store.RETRY) == 1 for trial in study.trials)


# ---------------------------------------------------------------------------------------------------------------------
# Processes

SEARCHER = """
import sys
from labruns import made_up_images, made_up_subject
from anypool.lab import TuneCallback
from anypool.lab.tuning import search

class Saying(TuneCallback):
    def on_begin(self, *_):
        print("ready", flush=True)
    def on_trial_end(self, trial, tuning):
        print(trial.number, trial.state, flush=True)
    def on_wait(self, out):
        print("waits", flush=True)

search.find_subject = lambda *arguments: made_up_subject(float(sys.argv[3]))
if __name__ == "__main__":
    found = search.tune("made up", made_up_images(), sys.argv[5].split(","), epochs=2, trials=int(sys.argv[2]),
        out=sys.argv[1], jobs=int(sys.argv[4]), callback=Saying())
    print("end", len(found.trials), len(found.failures), flush=True)
"""


def start(tmp_path, trials, seconds=0.0, jobs=1, pools="max,min,average", **environment):
    """A process that searches, and says which trials are kept."""
    script = tmp_path / "searcher.py"
    script.write_text(SEARCHER)
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "out"), str(trials), str(seconds), str(jobs), pools],
        cwd=ROOT,
        env=changed_environment(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(text):
    """The numbers of the trials that a process said to be over."""
    return {int(line.split()[0]) for line in text.splitlines() if line[:1].isdigit() and line.count(" ")}


def opened(out):
    """The study in a directory."""
    with store.quietly():
        return optuna.load_study(study_name=None, storage=f"sqlite:///{out / 'trials.db'}")


def stored(out):
    """The numbers of the trials that are over, in the store."""
    return {trial.number for trial in store.finished(opened(out))}


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_search_killed_anywhere_loses_nothing_it_said(tmp_path, kills):
    chance, known, out = random.Random(3), set(), tmp_path / "out"
    for _ in range(kills):
        process = start(tmp_path, 400, seconds=0.01)
        time.sleep(chance.uniform(0, 0.5) if process.stdout.readline() == "ready\n" else 0)
        process.kill()
        known |= said(process.communicate()[0])
        assert known <= stored(out)
        if (out / "tuning.json").exists():
            entries = json.loads((out / "tuning.json").read_text())["trials"]
            assert {entry["number"] for entry in entries} <= stored(out)
    wanted = len(stored(out)) + 3
    process = start(tmp_path, wanted)
    printed, complaint = process.communicate(timeout=120)
    assert printed.splitlines()[-1] == f"end {wanted} 0", complaint
    assert known <= stored(out)


def test_a_worker_that_is_killed_loses_its_trial_alone(tmp_path):
    """The first process that trains is killed in its first trial, which is tried again."""
    process = start(tmp_path, 4, jobs=2, KILLED_ONCE=tmp_path / "killed")
    printed, complaint = process.communicate(timeout=300)
    assert printed.splitlines()[-1] == "end 4 0", complaint
    assert (tmp_path / "killed").exists()
    study = opened(tmp_path / "out")
    lost = [trial for trial in study.trials if trial.state.name == "FAIL"]
    again = [trial for trial in study.trials if trial.user_attrs.get(store.RETRY) == 1]
    assert [len(lost), len(again)] == [1, 1], [(one.state.name, one.user_attrs) for one in study.trials]
    assert (again[0].params, again[0].state.is_finished()) == (lost[0].params, True)


def test_a_trial_whose_process_dies_every_time_has_failed():
    study = optuna.create_study()
    for _ in range(store.MOST_RETRIES + 1):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        assert store.finished(study) == []
        store.give_back_all(study)
    (failed,) = store.finished(study)
    assert store.reason_of(failed) == "its process died 3 times"
    assert len({trial.params["x"] for trial in study.trials}) == 1
    assert len(study.trials) == 3


def test_two_searches_in_one_directory_wait_for_each_other(tmp_path):
    other, told = lock_beside(tmp_path / "tuning.json"), []

    class Waiting(Recorder):
        def on_wait(self, out):
            told.append(out)
            other.release()

    other.acquire()
    found = tuned(trials=1, out=tmp_path, callback=Waiting())
    assert (told, len(found.trials)) == ([tmp_path], 1)
    other.acquire()
    stopped = tuned(trials=1, out=tmp_path, callback=Recorder(stop_after=0))
    other.release()
    assert (stopped.stopped, stopped.trials) == (True, [])


def test_a_disk_that_fills_up_keeps_what_was_said(tmp_path):
    """A limit on the size of files, which is how a full disk looks to a file that grows."""
    pytest.importorskip("resource")
    out = tmp_path / "out"
    options = {"poolings": ["gem", "lp"], "epochs": 2, "out": out}
    tuned(trials=3, **options)
    limit = (out / "trials.db").stat().st_size + 8192
    script = tmp_path / "limited.py"
    script.write_text(f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n" + SEARCHER)
    done = run_python(script, out, 4000, 0, 1, "gem,lp")
    assert done.returncode == 1, done.stdout
    assert "StoreError: the store of trials cannot be read or written: " in done.stderr.splitlines()[-1]
    assert said(done.stdout) <= stored(out)
    assert len(stored(out)) >= 3


# ---------------------------------------------------------------------------------------------------------------------
# The command


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs `anypool tune` in an empty directory: exit code, what it printed, what it complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    monkeypatch.setattr("anypool.cli.tune.load", lambda data, scale: made_up_images())

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["tune", *map(str, arguments)])
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


def test_the_command_says_the_front_the_best_and_its_code(command):
    code, out, complaint = command("--pool", "max,average", "--trials", "6", "--aim", "accuracy,latency")
    assert (code, complaint) == (0, "")
    assert out.startswith(
        "light: 40 images to train on and 20 to choose by; 2 poolings to choose; accuracy, ms_forward"
    )
    assert out.count("\ntrial ") == 6
    assert "No trial beats these in all aims" in out
    assert "The best model is anypool-tuning/best.keras" in out
    assert 'load_state_dict(torch.load("anypool-tuning/best.keras", weights_only=True))' in out


def test_the_command_says_what_fails_with_its_code(command):
    code, out, _ = command("--pool", "median,average", "--trials", "8", "--epochs", "1")
    assert code == 1
    assert "failed: the loss was nan after epoch 1" in out
    assert "of 8 trials failed" in out


@pytest.mark.parametrize(("arguments", "message"), [
    (["--aim", "speed"], "aims must be one or more of"),
    (["--sizes", "two"], "sizes must be integers separated by commas, got 'two'"),
    (["--trials", "0"], "trials must be between 1 and 100000, got 0"),
    (["--out", "/proc/x"], "out must lie in a directory that can be written to"),
    (["a.keras", "--model", "course"], "model must be said once"),
])  # fmt: skip
def test_refused_commands(command, arguments, message):
    code, out, complaint = command(*arguments)
    assert (code, out, complaint.count("\n")) == (2, "", 1)
    assert message in complaint


def test_without_optuna_it_says_what_to_install():
    code = "import sys; sys.modules['optuna'] = None; from anypool.cli import main; main(['tune'])"
    done = run_python("-c", code, KERAS_BACKEND="jax")
    assert done.returncode == 2
    assert done.stderr == "anypool: tuning needs optuna: pip install 'anypool[lab]'\n"
