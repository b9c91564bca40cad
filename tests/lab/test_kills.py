"""Processes that are killed, interrupted or share a directory: what was said to be kept is kept."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from processes import ROOT, changed_environment

from anypool.lab.results import Results

RUNS = 40
WRITER = f"""
import sys
from labruns import MadeUpSubject
from pathlib import Path
import numpy as np
from anypool.lab import Callback, compare, comparison, from_arrays

class Saying(Callback):
    def on_run_end(self, run):
        print(run.pool, run.seed, flush=True)

comparison.find_subject = lambda *arguments: MadeUpSubject()
images, labels = np.random.default_rng(0).random((8, 6, 6)), np.arange(8) % 2
data = from_arrays({{"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}}, "noise", "by hand")
print("ready", flush=True)
comparison.prepare(data=data, poolings=sys.argv[2:], seeds={RUNS}, epochs=2, out=sys.argv[1]).run(Saying())
"""


def start(out, *poolings):
    """A process that makes up runs as fast as it can, and says which are kept."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(out), *poolings],
        cwd=ROOT,
        env=changed_environment({}),
        stdout=subprocess.PIPE,
        text=True,
    )


def kept(out):
    results = Results.open(out / "results.json")
    return {(run.pool, run.seed) for run in results.runs.values()}


def said(text):
    """The runs that a process said to be kept; its last line may be cut."""
    return {(pool, int(seed)) for pool, seed in (line.split() for line in text.splitlines() if line.count(" ") == 1)}


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_a_process_killed_anywhere_loses_nothing_it_said(tmp_path, kills):
    chance = random.Random(1)
    known = set()
    for _ in range(kills):
        process = start(tmp_path, "max", "min")
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0, 0.15))
        process.kill()
        known |= said(process.communicate()[0])
        if known:
            assert known <= kept(tmp_path)
    process = start(tmp_path, "max", "min")
    process.communicate()
    assert process.returncode == 0
    assert kept(tmp_path) == {(pool, seed) for pool in ("max", "min") for seed in range(RUNS)}
    assert sorted(os.listdir(tmp_path)) == [".results.json.lock", "results.json"]


def test_two_processes_in_one_directory_wait_for_each_other(tmp_path):
    first, second = start(tmp_path, "max", "min"), start(tmp_path, "min", "average")
    both = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    everything = {(pool, seed) for pool in ("max", "min", "average") for seed in range(RUNS)}
    assert kept(tmp_path) == everything
    assert said(both[0]) | said(both[1]) == everything
    assert not said(both[0]) & said(both[1])  # nothing was made twice


COMPARE = ["--pool", "max,min", "--seeds", "2", "--epochs", "2"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_the_command_stopped_anywhere_continues(tmp_path, number):
    """The real training, stopped at random moments from its start to its end."""
    chance = random.Random(int(number))
    images, labels = np.random.default_rng(0).random((64, 8, 8)), np.arange(64) % 2
    np.savez(tmp_path / "noise.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "anypool", "compare", "--data", tmp_path / "noise.npz", "--out", out, *COMPARE]
    environment = changed_environment({"KERAS_BACKEND": "jax", "HOME": str(tmp_path)})
    runs = 0
    for _ in range(7):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.wait(timeout=chance.uniform(0.5, 12))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        _, complaint = process.communicate(timeout=300)
        assert process.returncode in (0, 128 + number, -number), complaint  # the last before the command has begun
        assert b"Traceback" not in complaint
        if (out / "results.json").exists():
            assert len(kept(out)) >= runs
            runs = len(kept(out))
    assert subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == 0
    assert len(kept(out)) == 4


def test_a_disk_that_fills_up_keeps_what_was_said(tmp_path):
    """A limit on the size of files, which is how a full disk looks to a file that grows."""
    pytest.importorskip("resource")
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n" + WRITER
    process = subprocess.Popen(
        [sys.executable, "-c", limited, str(tmp_path), "max", "min"],
        cwd=ROOT,
        env=changed_environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, complaint = process.communicate(timeout=120)
    assert complaint.splitlines()[-1].endswith("results.json cannot be written: File too large")
    known = said(out)
    assert 0 < len(known) < 2 * RUNS
    assert kept(tmp_path) == known
    assert sorted(os.listdir(tmp_path)) == [".results.json.lock", "results.json"]
