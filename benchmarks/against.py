"""`--against COMMIT`: this working tree beside another commit of it, on the same cases and in turns.

Three processes run at a time, of which only one works: *now*, *then*, and *then* once more, as a control. What the
control comes to is how far the ratios can be trusted.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.timing import geometric_mean

ROOT = Path(__file__).parents[1]
BUILDS = ROOT / "build" / "against"
NOW, THEN, CONTROL = "now", "then", "then, again"
GROUPS = ("kernels", "operators", "jax", "torch-networks")

SLOWER = 0.95
"""A row below it is measured once more, by itself and for longer, and the second measurement stands."""
WORST = 12
TURN = 0.004  # seconds of one turn at least
BUDGET = 0.25  # seconds of each process per row
LEAST, MOST = 3, 9  # turns


# ---------------------------------------------------------------------------------------------------------------------
# Building the other commit


def resolve(commit: str) -> str:
    """The hash of what was named; raises ValueError where it names no commit."""
    done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}", check=False)
    if done.returncode:
        raise ValueError(f"against must name a commit of this repository, got {commit!r}")
    return done.stdout.strip()


def build(sha: str, say: Callable[[str], None] = print) -> Path:
    """The package of a commit, with its kernels, in a directory of its own; built once."""
    tree = BUILDS / sha[:12]
    package = tree / "src" / "anypool"
    if not tree.exists():
        say(f"checking out {sha[:12]} in {tree}")
        _git("worktree", "prune")
        _git("worktree", "add", "--detach", "--force", str(tree), sha)
    if not any(package.glob("_kernels*.so")):
        say(f"compiling {sha[:12]}: a few minutes, once")
        compile_kernels(tree, tree / "build" / "kernels")
    return package


def compile_kernels(tree: Path, into: Path) -> None:
    """The compiled part beside its source, as `make kernels` does it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path}
    configure = ["cmake", "-S", str(tree), "-B", str(into), f"-DPython_EXECUTABLE={sys.executable}"]
    for command in (configure, ["cmake", "--build", str(into), "--parallel", str(os.cpu_count() or 1)]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[:2])} of {tree.name} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    (built,) = into.glob("_kernels*.so")
    package = tree / "src" / "anypool"
    fresh = package / ".kernels.new"
    fresh.write_bytes(built.read_bytes())
    fresh.replace(package / built.name)


def working_tree() -> Path:
    """The package of this working tree; raises ValueError where its kernels are not built beside it."""
    package = ROOT / "src" / "anypool"
    if not any(package.glob("_kernels*.so")):
        raise ValueError(f"{package} has no compiled kernels to measure: run `make kernels`")
    return package


def _git(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=check)


# ---------------------------------------------------------------------------------------------------------------------
# The processes


class Runner(Protocol):
    """Who makes a subject ready and times it; a process, or a stand-in in tests."""

    def ask(self, **request: Any) -> dict[str, Any]: ...


class Child:
    """A process that serves `benchmarks.subjects` with one package on its path."""

    def __init__(self, package: Path, group: str, quick: bool) -> None:
        path = os.pathsep.join([str(package.parent), str(ROOT)])
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.subjects", group]
        self._process = subprocess.Popen(
            [*command, "quick" if quick else "all", str(package)],
            env=os.environ | {"PYTHONPATH": path},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"a process of the benchmark ended with code {self._process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()  # which closes its pipes


# ---------------------------------------------------------------------------------------------------------------------
# Measuring and summing up


@dataclass(frozen=True)
class Ratio:
    """A row: how many times faster it is now than then, and how far the control comes out from then itself."""

    name: str
    family: str
    gain: float
    control: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    again: bool = False
    """Whether it was measured a second time, which this is."""


def measure_row(runners: Mapping[str, Runner], name: str, family: str, longer: int = 1) -> Ratio | str:
    """The ratios of a row, or why it cannot be measured."""
    estimates = {}
    for who, runner in runners.items():
        answer = runner.ask(make=name)
        if "refused" in answer:
            return f"{who}: {answer['refused']}"
        estimates[who] = max(answer["estimate"], 1e-8)
    repeats = max(1, math.ceil(TURN / min(estimates.values())))
    turn = 2 * repeats * max(estimates.values())
    turns = longer * max(LEAST, min(MOST, int(BUDGET / turn)))
    rounds = []
    order = list(runners)
    for number in range(turns):
        shift = number % len(order)
        taken = {who: runners[who].ask(repeats=repeats)["seconds"] for who in order[shift:] + order[:shift]}
        rounds.append(taken)
    return ratio_of(name, family, rounds, again=longer > 1)


def ratio_of(name: str, family: str, rounds: Sequence[Mapping[str, float]], again: bool = False) -> Ratio:
    """A row from its rounds: the medians of what one process took over what another took in the same round."""
    return Ratio(
        name,
        family,
        gain=statistics.median(each[THEN] / each[NOW] for each in rounds),
        control=statistics.median(each[THEN] / each[CONTROL] for each in rounds),
        seconds={who: statistics.median(each[who] for each in rounds) for who in rounds[0]},
        again=again,
    )


def in_common(listed: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Name and family of the subjects that all have, in the order of the first."""
    first, *others = [dict(map(tuple, answer["subjects"])) for answer in listed.values()]
    return [(name, family) for name, family in first.items() if all(name in other for other in others)]


def measure(
    runners: Mapping[str, Runner], subjects: Iterable[tuple[str, str]], report: Callable[[str], None]
) -> list[Ratio]:
    """Every row that all can run; slower ones twice."""
    measured = []
    for name, family in subjects:
        row = measure_row(runners, name, family)
        if isinstance(row, Ratio) and row.gain < SLOWER:
            row = measure_row(runners, name, family, longer=3)
        if isinstance(row, str):
            report(f"{name:<72} left out: {row}")
            continue
        report(line(row))
        measured.append(row)
    return measured


def line(row: Ratio) -> str:
    seconds = f"{row.seconds[NOW] * 1e3:10.3f} ms" if NOW in row.seconds else ""
    return f"{row.name:<72}{seconds}  {row.gain:5.2f}×  control {row.control:.2f}×" + ("  (twice)" if row.again else "")


def summary(rows: Sequence[Ratio], commit: str) -> list[str]:
    """What is printed at the end: geometric means by family and in all, the control's beside them, the worst rows."""
    if not rows:
        return ["No row was measured."]
    families = {name: [row for row in rows if row.family == name] for name in dict.fromkeys(r.family for r in rows)}
    lines = [f"Now against {commit}: over 1× is faster now. Geometric means, and the control's beside them.", ""]
    lines += [_mean(name, chosen) for name, chosen in families.items()]
    lines += [_mean("all", rows), ""]
    spread = sorted(abs(math.log(row.control)) for row in rows)
    trusted = math.exp(spread[min(len(spread) - 1, math.ceil(0.95 * len(spread)) - 1)])
    slower = [row for row in rows if row.gain < min(SLOWER, 1 / trusted)]
    lines += [f"19 of 20 rows of the control lie within {trusted:.3f}× of themselves.", "Worst rows:"]
    lines += [f"  {line(row)}" for row in sorted(rows, key=lambda row: row.gain)[:WORST]]
    said = f"{len(slower)} of {len(rows)} rows are slower now by more than 5% and more than the control scatters"
    return [*lines, "", f"{said}." if not slower else f"{said}: " + "; ".join(row.name for row in slower)]


def _mean(name: str, rows: Sequence[Ratio]) -> str:
    gain, control = (geometric_mean([getattr(row, which) for row in rows]) for which in ("gain", "control"))
    return f"  {name:<56} {gain:6.3f}×  control {control:.3f}×  ({len(rows)} rows)"


def run(commit: str, groups: Sequence[str], quick: bool, only: str) -> None:
    """Measure these groups of the working tree and of the commit, and print as they go."""
    sha = resolve(commit)
    packages = {NOW: working_tree(), THEN: build(sha)}
    packages[CONTROL] = packages[THEN]
    rows: list[Ratio] = []
    for group in groups:
        with ExitStack() as stack:
            children = {name: stack.enter_context(Child(path, group, quick)) for name, path in packages.items()}
            listed = {name: child.ask(list=True) for name, child in children.items()}
            refused = {name: answer["refused"] for name, answer in listed.items() if "refused" in answer}
            if refused:
                print(f"{group}: left out: {'; '.join(f'{name}: {why}' for name, why in refused.items())}")
                continue
            chosen = [(name, family) for name, family in in_common(listed) if only in name]
            rows += measure(children, chosen, lambda text: print(text, flush=True))
    print("\n".join(["", *summary(rows, f"{commit} ({sha[:12]})")]))
