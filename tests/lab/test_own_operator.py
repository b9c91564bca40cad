"""A user's own operator, named module:Class, in a comparison with training."""

import json

from processes import QUICK_XLA, run_python


def test_an_operator_of_the_users_is_compared(tmp_path):
    """Its gain is learned: a network that pools with it has one parameter more for each of two layers."""
    out, pools = tmp_path / "report", "max,own_operator:Contrast"
    arguments = "compare", "--pool", pools, "--epochs", 1, "--seeds", 1, "--out", out
    done = run_python("-m", "anypool", *arguments, KERAS_BACKEND="jax", XLA_FLAGS=QUICK_XLA)
    assert done.returncode == 0, done.stderr
    assert "own_operator:Contrast" in done.stdout
    runs = {run["pool"]: run for run in json.loads((out / "results.json").read_text())["runs"]}
    assert 0 < runs["own_operator:Contrast"]["measures"]["accuracy"] <= 1
    assert runs["own_operator:Contrast"]["parameters"] == runs["max"]["parameters"] + 2
    assert (out / "report.html").exists()
