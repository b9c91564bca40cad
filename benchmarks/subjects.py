"""What `--against` measures: poolings as a user calls them, through public names only, so that any commit can run them.

`python -m benchmarks.subjects GROUP` serves them: requests come on stdin and answers go to stdout, a line of JSON each.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.timing import Call, estimate, seconds_each


@dataclass(frozen=True)
class Subject:
    """One pooling to time: under which heading it is summed up, and what makes its call."""

    name: str
    family: str
    make: Callable[[], Call]


def main() -> None:
    """Answer requests until stdin ends: what there is, make one ready, and so many seconds of it."""
    group, quick, package = sys.argv[1], sys.argv[2] == "quick", Path(sys.argv[3])
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever else is printed is no answer
    _import_from(package)
    subjects: dict[str, Subject] = {}
    call: Call | None = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        if "list" in request:
            try:
                subjects = {subject.name: subject for subject in GROUPS[group](quick)}
                answer = {"subjects": [(subject.name, subject.family) for subject in subjects.values()]}
            except Exception as error:  # an older commit may lack what a group is about
                answer = {"refused": _said(error)}
        elif "make" in request:
            call = None
            _forget()
            try:
                call = subjects[request["make"]].make()
                call()
                answer = {"estimate": estimate(call)}
            except Exception as error:  # said in the other process, which goes on with the next subject
                answer = {"refused": _said(error)}
        else:
            assert call is not None, "a call is made before it is timed"
            call()  # it finds the caches as it leaves them, not as the process before it
            answer = {"seconds": seconds_each(call, request["repeats"])}
        print(json.dumps(answer), file=answers, flush=True)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _import_from(package: Path) -> None:
    """Make sure that `import anypool` is that package: an editable install has a finder that comes before the path."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if "ScikitBuild" not in type(finder).__name__]
    import anypool

    found = Path(anypool.__file__).parent
    if found != package:
        raise ImportError(f"anypool comes from {found} in place of {package}")


def _forget() -> None:
    """Drop the arrays of the subject before, which three processes hold at a time."""
    from benchmarks import tasks

    tasks.random_array.cache_clear()
    gc.collect()


def kernels(quick: bool) -> Iterator[Subject]:
    """Every row of the table of cases: forward into an array that exists, the others through torch's autograd."""
    from benchmarks import cases
    from benchmarks.contenders import AnypoolInto, AnypoolTorch
    from benchmarks.tasks import Task

    into, torch = AnypoolInto(), AnypoolTorch()
    for row in cases.rows(quick=quick):
        contender = into if row.direction == cases.FORWARD else torch
        family = f"{row.family}, {row.direction}, channels {row.layout}"
        yield Subject(row.name, family, lambda row=row, by=contender: by.call(Task(row)))  # type: ignore[misc]


def jax(quick: bool) -> Iterator[Subject]:
    """The rows of the group of JAX arrays."""
    from benchmarks import jax_gradients
    from benchmarks.tasks import Task

    for row in jax_gradients.rows(quick):
        family = f"JAX, {row.family}, {row.direction}"
        yield Subject(f"JAX: {row.name}", family, lambda row=row: jax_gradients.AnypoolJax().call(Task(row)))  # type: ignore[misc]


def operators(quick: bool) -> Iterator[Subject]:
    """Every operator that has a name, on NumPy arrays and, in training, on tensors."""
    from benchmarks import operators
    from benchmarks.cases import FORWARD
    from benchmarks.tasks import Task

    array, tensor = operators.OURS
    for row in operators.rows(quick):
        contender = array if row.direction == FORWARD else tensor
        family = f"operators, {row.direction}, channels {row.layout}"
        yield Subject(f"operators: {row.name}", family, lambda row=row, by=contender: by.call(Task(row)))  # type: ignore[misc]


def torch_networks(quick: bool) -> Iterator[Subject]:
    """Whole networks after `anypool.torch.accelerate`."""
    from benchmarks import torch_networks

    for trial in torch_networks.trials(quick):
        yield Subject(trial.name, f"networks, {trial.direction}, channels {trial.layout}", trial.accelerated_step)


GROUPS = {"kernels": kernels, "operators": operators, "jax": jax, "torch-networks": torch_networks}


if __name__ == "__main__":
    main()
