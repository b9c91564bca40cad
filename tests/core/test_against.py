"""`python -m benchmarks --against`: its arithmetic, its turns, and its processes."""

import math

import pytest
from processes import ROOT, run_python

from benchmarks import against
from benchmarks.against import CONTROL, NOW, THEN, Ratio, measure, measure_row, ratio_of, summary


class FakeRunner:
    """A process whose calls take what they are said to take; `log` has who was asked to time, in order."""

    def __init__(self, who, seconds, log, refuses=()):
        self.who, self.seconds, self.log, self.refuses = who, seconds, log, refuses
        self.made = None

    def ask(self, **request):
        if "make" in request:
            self.made = request["make"]
            if self.made in self.refuses:
                return {"refused": "no such window"}
            return {"estimate": self.seconds[self.made]}
        self.log.append((self.made, self.who, request["repeats"]))
        return {"seconds": self.seconds[self.made]}


def runners(now, then, control=None, refuses=()):
    log = []
    control = then if control is None else control
    made = {
        NOW: FakeRunner(NOW, now, log),
        THEN: FakeRunner(THEN, then, log, refuses),
        CONTROL: FakeRunner(CONTROL, control, log),
    }
    return made, log


def test_a_ratio_is_the_median_of_the_rounds_and_not_a_ratio_of_medians():
    rounds = [
        {NOW: 1.0, THEN: 3.0, CONTROL: 3.0},
        {NOW: 10.0, THEN: 20.0, CONTROL: 10.0},  # a busy moment of the machine
        {NOW: 1.0, THEN: 2.5, CONTROL: 2.5},
    ]
    row = ratio_of("a", "max", rounds)
    assert row.gain == 2.5
    assert row.control == 1.0
    assert row.seconds == {NOW: 1.0, THEN: 3.0, CONTROL: 3.0}


def test_turns_rotate_and_fast_calls_are_repeated():
    made, log = runners({"a": 1e-5}, {"a": 2e-5})
    row = measure_row(made, "a", "max")
    assert isinstance(row, Ratio)
    assert (row.gain, row.control) == (2.0, 1.0)
    order = [who for _, who, _ in log]
    assert order[:9] == [NOW, THEN, CONTROL, THEN, CONTROL, NOW, CONTROL, NOW, THEN]
    assert len(order) % 3 == 0
    assert len({repeats for *_, repeats in log}) == 1, "everyone is repeated as often"
    assert log[0][2] * 1e-5 >= against.TURN


def test_a_slower_row_is_measured_again_for_longer():
    made, log = runners({"same": 1.0, "slower": 1.0}, {"same": 1.0, "slower": 0.5})
    said = []
    rows = measure(made, [("same", "max"), ("slower", "max")], said.append)
    assert [(row.name, row.gain, row.again) for row in rows] == [("same", 1.0, False), ("slower", 0.5, True)]
    turns = {name: sum(1 for made, *_ in log if made == name) for name in ("same", "slower")}
    assert turns["slower"] == 4 * turns["same"]
    assert "(twice)" in said[1]


def test_a_row_that_one_commit_cannot_run_is_left_out_and_said():
    made, _ = runners({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 1.0}, refuses=("a",))
    said = []
    rows = measure(made, [("a", "max"), ("b", "max")], said.append)
    assert [row.name for row in rows] == ["b"]
    assert said[0].endswith("left out: then: no such window")


def test_the_summary_has_geometric_means_and_the_worst_rows():
    rows = [Ratio(f"row {i}", "max" if i % 2 else "average", gain, 1.0) for i, gain in enumerate([4.0, 1.0, 0.25, 1.0])]
    lines = summary(rows, "main")
    mean = {line.split("×")[0].rsplit(maxsplit=1)[0].strip(): line for line in lines if "rows)" in line}
    assert " 1.000×" in mean["average"]
    assert " 1.000×" in mean["max"]
    assert "(4 rows)" in mean["all"]
    worst = lines[lines.index("Worst rows:") + 1 :]
    assert worst[0].split("×")[0].split() == ["row", "2", "0.25"]
    assert lines[-1].startswith("1 of 4 rows are slower")
    assert lines[-1].endswith("row 2")


@pytest.mark.parametrize(("control", "slower"), [(1.0, 1), (0.8, 0)])
def test_a_row_counts_as_slower_only_beyond_what_the_control_scatters(control, slower):
    rows = [Ratio(f"row {i}", "max", 1.0, control) for i in range(20)] + [Ratio("worst", "max", 0.9, 1.0)]
    assert summary(rows, "main")[-1].startswith(f"{slower} of 21 rows")


def test_nothing_measured_is_said():
    assert summary([], "main") == ["No row was measured."]


def test_the_mean_of_a_family_is_geometric():
    rows = [Ratio("a", "max", 2.0, 1.1), Ratio("b", "max", 0.5, 1 / 1.1)]
    (line,) = [line for line in summary(rows, "main") if line.strip().startswith("max")]
    assert math.isclose(float(line.split()[1].rstrip("×")), 1.0)


def test_only_what_all_have_is_compared():
    listed = {
        NOW: {"subjects": [["b", "max"], ["a", "max"], ["new", "max"]]},
        THEN: {"subjects": [["a", "max"], ["b", "max"]]},
    }
    assert against.in_common(listed) == [("b", "max"), ("a", "max")]


@pytest.mark.parametrize("commit", ["no-such-commit", "--all", ""])
def test_what_names_no_commit_is_refused(commit):
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    with pytest.raises(ValueError, match="against must name a commit of this repository"):
        against.resolve(commit)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--against", "no-such-commit"], "against must name a commit"),
        (["--against", "HEAD", "--group", "memory"], "--group must be one of kernels, operators, jax, torch-networks"),
        (["--against", "HEAD", "--out", "somewhere"], "--out must be left away"),
    ],
)
def test_the_command_refuses_in_a_line(arguments, said):
    done = run_python("-m", "benchmarks", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_process_serves_what_it_is_asked_for():
    package = ROOT / "src" / "anypool"
    with against.Child(package, "kernels", quick=True) as child:
        names = [name for name, _ in against.in_common({"now": child.ask(list=True)})]
        tiny = next(name for name in names if name.startswith("tiny") and "forward" in name)
        assert child.ask(make=tiny)["estimate"] > 0
        assert 0 < child.ask(repeats=3)["seconds"] < 1
        assert "KeyError" in child.ask(make="no such row")["refused"]


def test_a_process_with_another_package_ends():
    with (
        against.Child(ROOT / "benchmarks", "kernels", quick=True) as child,
        pytest.raises(RuntimeError, match="ended with code 1"),
    ):
        child.ask(list=True)
