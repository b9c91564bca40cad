"""The benchmark: its table is sound, nobody is timed whose values differ, and the page says what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rich")

import anypool as ap
from anypool import Sliding
from benchmarks import cases, children, contenders, operators, page, pooling, timing
from benchmarks.cases import AVERAGE, BACKWARD, FIRST, FORWARD, LAST, MAX, TRAINING, Case, Row
from benchmarks.contenders import ANYPOOL, INTO, TORCH, Contender
from benchmarks.goals import Goal, goals
from benchmarks.tasks import Task, bytes_moved

ROOT = Path(__file__).parents[2]


def small(case: Case) -> Case:
    """The case with maps of a few cells, its window and dtype kept where they fit."""
    longest = {1: 320, 2: 26, 3: 6}[case.rank]
    shape = (2, 3, *(min(n, longest) for n in case.shape[2:]))
    return replace(case, shape=shape, share=(1, 3, *shape[2:]) if case.share else None)


SMALL = tuple(small(case) for case in cases.CASES)


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: f"{case.what} {case.dtype}")
def test_cases_are_well_formed(case: Case) -> None:
    assert case.dtype in cases.ITEM_SIZE
    assert set(case.layouts) <= {FIRST, LAST}
    assert len(case.output_shape) == len(case.shape)
    if case.share is not None:
        assert case.share[2:] == case.shape[2:], "a share has whole maps, or scaling it up would mean nothing"
        assert all(part <= whole for part, whole in zip(case.share, case.shape, strict=True))


def test_rows_are_the_whole_table() -> None:
    rows = list(cases.rows())
    assert len({row.name for row in rows}) == len(rows)
    for case in cases.CASES:
        directions = {row.direction for row in rows if row.case is case}
        expected = {FORWARD} if case.dtype == "uint8" else {FORWARD, BACKWARD}
        assert directions - {TRAINING} == expected
        assert {row.operator for row in rows if row.case is case} == {MAX, AVERAGE}
        assert {row.layout for row in rows if row.case is case} == set(case.layouts)
    assert {row.case for row in cases.rows(quick=True)} == {case for case in cases.CASES if case.quick}


def test_bytes_moved_are_input_output_and_a_byte_per_output_of_a_max() -> None:
    case = Case("", (2, 3, 8, 8), Sliding(2))
    inputs, outputs = 4 * 2 * 3 * 64, 2 * 3 * 16
    assert bytes_moved(Row(case, MAX, FIRST, FORWARD)) == inputs + 4 * outputs
    assert bytes_moved(Row(case, MAX, FIRST, BACKWARD)) == inputs + 5 * outputs
    assert bytes_moved(Row(case, AVERAGE, FIRST, BACKWARD)) == inputs + 4 * outputs


# torch.compile takes seconds a row, JAX and TensorFlow are asked in the benchmark itself and in a sample here.
QUICK = tuple(
    p for p in contenders.PEERS if p.name in ("torch", "ONNX Runtime", "OpenVINO", "NumPy", "scikit-image", "SciPy")
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", list(cases.rows(SMALL)), ids=lambda row: row.name)
def test_peers_agree_with_anypool_or_say_why_not(row: Row) -> None:
    entry = pooling.Entry(row, ANYPOOL)
    for contender in (*ANYPOOL, *QUICK):
        entry.admit(contender)
    takes_part = entry.whole.keys() | entry.shared.keys()
    assert takes_part | entry.refused.keys() == {contender.name for contender in (*ANYPOOL, *QUICK)}
    failed = {name: why for name, why in entry.refused.items() if name.startswith("anypool")}
    assert set(failed.values()) <= {contenders.NO_GRADIENTS}
    if row.case.dtype == "float32":
        assert "gives other values than anypool" not in entry.refused.values()
        assert "torch" in takes_part


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "layout"),
    [("JAX", FIRST), ("JAX", LAST), ("TensorFlow", LAST), ("torch.compile", FIRST), ("torch.compile", LAST)],
)
def test_compilers_agree_with_anypool(name: str, layout: str) -> None:
    (peer,) = (peer for peer in contenders.PEERS if peer.name == name)
    case = next(case for case in SMALL if case.what == "plain")
    for direction in (FORWARD, TRAINING):
        entry = pooling.Entry(Row(case, MAX, layout, direction), ANYPOOL)
        entry.admit(peer)
        assert [*entry.whole, *entry.shared] == [name], entry.refused


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", operators.rows(quick=True), ids=lambda row: row.name)
def test_compositions_agree_with_every_operator(row: Row) -> None:
    entry = pooling.Entry(replace(row, case=small(row.case)), operators.OURS)
    for contender in (*operators.OURS, *operators.PEERS):
        entry.admit(contender)
    assert TORCH in entry.whole or (row.direction == TRAINING and row.operator not in operators.COMPOSITIONS)
    refused = entry.refused.get("composition in torch", "")
    assert row.operator not in operators.COMPOSITIONS or refused == "", refused


def test_every_operator_is_measured() -> None:
    named = {row.operator for row in operators.rows(quick=False)}
    assert named == set(operators.measured()) > {"max", "median", "blur"}
    assert operators.COMPOSITIONS.keys() <= ap.OPERATORS.keys()


class Liar(Contender):
    """A peer that is fast and wrong."""

    name, beside = "liar", INTO

    def forward(self, task: Task) -> timing.Call:
        wrong = np.zeros(task.laid_out(task.output_shape), task.x.dtype)
        return lambda: wrong


def test_a_wrong_peer_is_not_timed() -> None:
    row = Row(SMALL[0], MAX, FIRST, FORWARD)
    record = pooling.measure_row(row, ANYPOOL[:1], (Liar(),), budget=0.0)
    assert "liar" not in record["seconds"]
    assert record["refused"] == {"liar": "gives other values than anypool"}


def test_turns_rotate_and_repeat() -> None:
    made: list[str] = []
    calls = {name: lambda name=name: made.append(name) for name in "abc"}
    times = timing.interleave(calls, budget=0.1, most=4)
    assert {name: len(taken) for name, taken in times.items()} == dict.fromkeys("abc", 4)
    assert all(second > 0 for taken in times.values() for second in taken)
    assert timing.interleave({}) == {}


def test_rounds_are_of_any_order() -> None:
    made: list[str] = []
    slow = 2 * timing._TURN  # so that nobody is repeated within a turn

    def call(name: str) -> None:
        time.sleep(slow)
        made.append(name)

    calls = {name: lambda name=name: call(name) for name in "abc"}
    rounds = timing.in_rounds(calls, budget=0.0, least=3)
    orders = ["".join(made[-9:][i : i + 3]) for i in (0, 3, 6)]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(set(orders)) > 1
    assert len(rounds) == 3
    assert all(seconds >= slow for each in rounds for seconds in each.values())
    assert 0.5 < timing.median_ratio(rounds, "a", "b") < 2
    assert timing.median_ratio([{"a": 3.0, "b": 1.0}, {"a": 4.0, "b": 2.0}, {"a": 9.0, "b": 1.0}], "a", "b") == 3.0


def test_the_copy_copies_everything() -> None:
    copy = timing.Copy(2 * 1001)
    copy.source[:] = np.arange(1001) % 251
    copy()
    np.testing.assert_array_equal(copy.source, copy.target)
    assert copy.source.nbytes + copy.target.nbytes == 2002


def test_goals_say_what_is_missed() -> None:
    assert Goal("", 2.0, 2.0).met
    assert not Goal("", 2.0, 1.9).met
    assert Goal("", 5.0, 4.9, below=True).met
    records = [
        record(MAX, FIRST, seconds={INTO: 1.0, "two-thread copy": 0.5}),
        record(MAX, LAST, seconds={INTO: 1.0, "two-thread copy": 0.9}),
    ]
    (goal,) = goals({"kernels": {"records": records}})
    assert (goal.target, goal.reached, goal.met) == (0.8, 0.5, False)
    assert "worst of 2" in goal.where


def record(operator: str, layout: str, seconds: dict[str, float]) -> pooling.Record:
    case = next(case for case in cases.CASES if case.what == "plain")
    made = pooling.describe(Row(case, operator, layout, FORWARD))
    return made | {"seconds": seconds, "scaled from a share": [], "refused": {}, "beside": {}}


def test_page_and_picture_show_every_row(tmp_path: Path) -> None:
    seconds = {INTO: 0.001, "two-thread copy": 0.001, "fresh clone": 0.004, "torch": 0.02, "anypool torch": 0.002}
    rows = [record(MAX, layout, seconds) | {"beside": {"torch": "anypool torch"}} for layout in (FIRST, LAST)]
    rows[0]["refused"] = {"SciPy": "filters at stride 1"}
    machine = {
        "threads": 2,
        "processor": "a processor",
        "system": "Linux",
        "python": "3.11",
        "date": "today",
        "versions": {},
    }
    page.write({"kernels": {"machine": machine, "minutes": 1.0, "records": rows}}, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.count("| plain | 8×16×1024×1024 | 2 s2 | max |") == 2
    assert "20.0 (10.0×)" in text
    assert "| SciPy | filters at stride 1 | 1 |" in text
    assert (tmp_path / "speed.svg").read_text().count("<svg") == 1


def test_a_part_of_the_benchmark_runs(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--quick",
        "--group",
        "kernels",
        "--only",
        "tiny",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "tiny, 2 s2, max, forward" in done.stdout
    measured = json.loads((tmp_path / "results.json").read_text())["kernels"]
    assert {"torch", INTO} <= measured["records"][0]["seconds"].keys()
    assert measured["machine"]["threads"] == timing.THREADS


def test_marked_parts_of_other_pages_are_filled(tmp_path: Path) -> None:
    path = tmp_path / "speed.md"
    path.write_text("before\n<!-- bench: memory -->\nold\n<!-- end -->\nafter <!-- bench: none -->\n")
    page.fill(path, {"memory": "new\n"})
    expected = "before\n<!-- bench: memory -->\n\nnew\n\n<!-- end -->\nafter <!-- bench: none -->\n"
    assert path.read_text() == expected
    page.fill(path, {"memory": "new\n"})
    assert path.read_text() == expected


@pytest.mark.filterwarnings("ignore")
def test_free_pooling_has_the_shapes_and_layouts_of_pooling() -> None:
    torch = pytest.importorskip("torch")
    from benchmarks import networks, torch_networks

    model = networks.course()
    free = torch_networks.without_pooling(model)
    assert next(free.parameters()) is next(model.parameters())
    x = torch.randn(2, 1, 28, 28).to(memory_format=torch.channels_last)
    for _ in range(2):
        assert free(x).shape == model(x).shape
    free(x).sum().backward()
    assert model[0].weight.grad is not None
    assert sum(isinstance(module, torch_networks.Free) for module in free.modules()) == 2


@pytest.mark.filterwarnings("ignore")
def test_peak_memory_counts_what_a_step_holds() -> None:
    torch = pytest.importorskip("torch")
    from benchmarks import torch_networks

    def step() -> None:
        first = torch.empty(1000)
        second = torch.empty(1000)
        del first, second
        torch.empty(500)

    assert torch_networks.peak_bytes(step) == pytest.approx(8000, rel=0.05)


def test_a_child_that_fails_is_named_with_what_it_was_given() -> None:
    with pytest.raises(RuntimeError, match=r"KERAS_BACKEND=none -m benchmarks\.nothing ended with code 1"):
        list(children.records("benchmarks.nothing", environment={"KERAS_BACKEND": "none"}))


def test_gradients_in_jax_are_measured_in_a_child() -> None:
    pytest.importorskip("jax")
    (record,) = children.records(
        "benchmarks.jax_gradients", "some memory", "course CNN 1, 2 s2, max, backward", environment={}
    )
    assert record["memory"] == "some memory"
    assert set(record["seconds"]) == {"anypool JAX", "JAX"}
