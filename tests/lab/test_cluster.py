"""Runs on a Dask cluster: the same as here, whatever becomes of a worker."""

import os
import signal

import pytest
from labruns import MadeUpSubject, made_up_images
from processes import run_python

pytest.importorskip("distributed")

from distributed import Client, LocalCluster

from anypool.cli import main
from anypool.lab import comparison as module
from anypool.lab.callbacks import Callback
from anypool.lab.comparison import compare
from anypool.lab.results import Results

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and two workers in processes of their own."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0) as found:
        yield found


@pytest.fixture
def subject(monkeypatch):
    made_up = MadeUpSubject(seconds=0.2)
    monkeypatch.setattr(module, "find_subject", lambda *arguments: made_up)
    return made_up


class Recorder(Callback):
    """Notes what it is told; kills a worker, or stops, after the first run."""

    def __init__(self, kill=None, stop=False):
        self.told, self.kill, self.stop = [], kill, stop

    def on_epoch_end(self, key, epoch, accuracy):
        self.told.append(("epoch", key.pool, epoch))

    def on_run_end(self, run):
        self.told.append(("done", run.pool))
        if self.kill is not None:
            os.kill(self.kill, signal.SIGKILL)
            self.kill = None

    def should_stop(self):
        return self.stop and any(kind == "done" for kind, *_ in self.told)


OPTIONS = {"data": made_up_images(), "poolings": ["max", "min", "average"], "seeds": 2, "epochs": 2}


def without_times(runs):
    return sorted((*run.key, *sorted(run.measures.items())) for run in runs)


def test_runs_are_the_same_with_a_worker_killed_on_the_way(cluster, subject, tmp_path):
    here = compare(**OPTIONS)
    subject.failing = {"min": ValueError("kernel_size 9 does not fit")}
    with Client(cluster) as client:
        victim = next(iter(client.run(os.getpid).values()))
    recorder = Recorder(kill=victim)
    there = compare(**OPTIONS, cluster=cluster.scheduler_address, out=tmp_path, callback=recorder)
    expected = [run for run in here.runs if run.pool != "min"]
    assert without_times(there.runs) == without_times(expected)
    assert {failure.reason for failure in there.failures} == {"kernel_size 9 does not fit"}
    assert recorder.kill is None
    assert ("epoch", "average", 1) in recorder.told
    kept = Results.open(tmp_path / "results.json")
    assert without_times(kept.runs.values()) == without_times(there.runs)
    assert len(kept.failures) == 2


def test_a_stopped_comparison_keeps_what_is_done_and_goes_on(cluster, subject, tmp_path):
    first = compare(**OPTIONS, cluster=cluster.scheduler_address, out=tmp_path, callback=Recorder(stop=True))
    assert first.stopped
    done = {run.key for run in first.runs}
    assert 0 < len(done) < 6
    recorder = Recorder()
    second = compare(**OPTIONS, cluster=cluster.scheduler_address, out=tmp_path, callback=recorder)
    assert len(second.runs) == 6
    assert sum(kind == "done" for kind, *_ in recorder.told) == 6 - len(done)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", ""])
def test_an_address_where_nobody_answers(subject, monkeypatch, address):
    monkeypatch.setattr("anypool.lab.cluster.CONNECT_SECONDS", 0.5)
    with pytest.raises(ValueError, match="cluster must be the address of a Dask scheduler that answers, such as tcp"):
        compare(**OPTIONS, cluster=address)
    assert subject.jobs == []


def test_the_command(cluster, subject, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    with pytest.raises(SystemExit) as end:
        main(["compare", "--pool", "max", "--seeds", "2", "--cluster", cluster.scheduler_address])
    assert (end.value.code, len(Results.open(tmp_path / "anypool-report" / "results.json").runs)) == (0, 2)
    assert "max  seed 1  accuracy 91.0%" in capsys.readouterr().out


def test_without_distributed_it_says_what_to_install():
    code = "import sys; sys.modules['distributed'] = None; from anypool.cli import main; main({})"
    done = run_python("-c", code.format(["compare", "--cluster", "tcp://127.0.0.1:9"]), KERAS_BACKEND="jax")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "anypool: a cluster needs distributed: pip install 'anypool[cluster]'"
