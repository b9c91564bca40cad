"""The results page: benchmarks/README.md, made of results.json alone."""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import picture
from benchmarks.cases import AVERAGE, BACKWARD, FIRST, FORWARD, LAST, MAX, TRAINING
from benchmarks.contenders import INTO, NO_GRADIENTS, NUMPY, TORCH
from benchmarks.goals import Goal, goals
from benchmarks.pooling import CLONE, COPY, ratios
from benchmarks.timing import geometric_mean

Record = dict[str, Any]

HEAD = """\
# What pooling costs

Written by `make bench`; every number is from the runs named below.

- A time is the median of repeated runs. Within a row everyone runs in the same process, in turns, on {threads} threads
  each, and was first found to give the same values as anypool.
- 3.1× means that anypool takes 1/3.1 of the other's time; under 1× the other is faster.
- **Two floors.** *copy* is a two-thread copy into touched memory that reads and writes as many bytes in all as the
  pooling must (input, output, and for a max's gradient a byte per output); `anypool out=` writes into an array that
  exists, and stands beside it. *fresh clone* is what cloning the input into a new array costs; `anypool NumPy` and
  `anypool torch` make a new array, as their users do. Cases under 64 MB live in caches: compare them with peers only.
- ONNX Runtime and OpenVINO write into arrays that exist and are compared with `anypool out=`; torch and torch.compile
  make new tensors and are compared with the layers of `anypool.torch`; all others with a call on NumPy arrays.
- Everyone is given the data in the layout of the row. ≈ marks a time taken on a part of the case and scaled up,
  because the whole takes too long.
- *forward* computes values, *backward* the gradient of the input from that of the output, *training* both, through
  autograd.
"""


def write(results: dict[str, Any], out: Path) -> None:
    """Write the page and the picture."""
    threads = next(iter(results.values()))["machine"]["threads"] if results else 0
    made = sections(results)
    parts = [HEAD.format(threads=threads), made["machine"], "## Goals", made["goals"]]
    if records := _records(results, "kernels"):
        picture.draw(records, out / "speed.svg")
        parts += ["![Time of max pooling over that of a copy](speed.svg)", "## How many times faster than each peer"]
        parts += [made["means"], "## Every row", _rows(records), "## Who did not take part", _refusals(records)]
    titles = {
        "operators": "Every operator",
        "torch-networks": "Whole networks in torch",
        "jax": "JAX arrays",
        "keras": "The course network in Keras",
        "large": "Large arrays",
        "pyramids": "Image pyramids",
        "memory": "Memory",
    }
    for group, title in titles.items():
        if group in made:
            parts += [f"## {title}", made[group]]
    (out / "README.md").write_text("\n".join(part.rstrip() + "\n" for part in parts))


def sections(results: dict[str, Any]) -> dict[str, str]:
    """The parts that other pages show too, by the name that `fill` knows them by."""
    makers: dict[str, Callable[[list[Record]], str]] = {
        "operators": _operators,
        "torch-networks": _networks,
        "jax": _jax,
        "keras": _keras,
        "large": _large,
        "pyramids": _pyramids,
        "memory": _memory,
    }
    made = {"machine": _machines(results), "goals": _goals(goals(results))}
    if records := _records(results, "kernels"):
        made["means"] = _means(records)
    return made | {group: make(records) for group, make in makers.items() if (records := _records(results, group))}


def fill(path: Path, parts: dict[str, str]) -> None:
    """Write parts into a page, each between its marks <!-- bench: NAME --> and <!-- end -->."""
    text = path.read_text()
    for name, part in parts.items():
        begin, end = f"<!-- bench: {name} -->\n", "<!-- end -->"
        marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        filled = f"{begin}\n{part.rstrip()}\n\n{end}"
        text = marked.sub(filled.replace("\\", r"\\"), text)
    path.write_text(text)


def _records(results: dict[str, Any], group: str) -> list[Record]:
    return results.get(group, {}).get("records", [])


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines)) + "\n"


def _machines(results: dict[str, Any]) -> str:
    lines = []
    for name, group in results.items():
        machine = group["machine"]
        versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
        lines.append((name, machine["date"], f"{group['minutes']:.1f}", machine["processor"], versions))
    same = {(processor, versions) for _, _, _, processor, versions in lines}
    if len(same) == 1:
        machine = next(iter(results.values()))["machine"]
        processor, versions = same.pop()
        text = f"{processor}; {machine['system']}; Python {machine['python']}; {versions}.\n\n"
        return text + _table(("group", "measured", "minutes"), [line[:3] for line in lines])
    return _table(("group", "measured", "minutes", "processor", "versions"), lines)


def _goals(found: Iterable[Goal]) -> str:
    lines = []
    for goal in found:
        sign = "at most" if goal.below else "at least"
        target, reached = (f"{_number(value)}{goal.unit}" for value in (goal.target, goal.reached))
        lines.append((goal.text, f"{sign} {target}", f"**{reached}**", "yes" if goal.met else "no", goal.where))
    return _table(("goal", "target", "measured", "met", "of what"), lines)


def _number(value: float) -> str:
    """Three figures, or as many as an integer has."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _milliseconds(seconds: float) -> str:
    return _number(seconds * 1e3)


def _means(records: list[Record]) -> str:
    """Geometric means against each peer, by family, layout and direction."""
    peers = list(dict.fromkeys(peer for record in records for peer in ratios(record)))
    lines = []
    for family in (MAX, AVERAGE, "large windows"):
        for layout in (FIRST, LAST):
            for direction in (FORWARD, BACKWARD, TRAINING):
                wanted = (family, layout, direction)
                chosen = [r for r in records if (r["family"], r["layout"], r["direction"]) == wanted]
                cells = []
                for peer in peers:
                    gains = [ratios(r)[peer] for r in chosen if peer in ratios(r)]
                    cells.append(f"{_number(geometric_mean(gains))}× ({len(gains)})" if gains else "")
                if any(cells):
                    lines.append((f"{family}, {direction}, channels {layout}", *cells))
    return "Geometric means, and of how many rows.\n\n" + _table(("", *peers), lines)


def _rows(records: list[Record]) -> str:
    """Every row: anypool's times, their floors, and each peer's time and ratio; a table per direction."""
    ours = (INTO, NUMPY, TORCH)
    peers = list(dict.fromkeys(peer for record in records for peer in record["beside"]))
    parts = ["Milliseconds; behind a peer's, how many times faster anypool is.\n"]
    for direction in (FORWARD, BACKWARD, TRAINING):
        chosen = [record for record in records if record["direction"] == direction]
        if not chosen:
            continue
        head = ("", "shape", "window", "", "channels", *ours, "of copy", CLONE, *peers)
        shown = [
            number for number, name in enumerate(head) if name not in peers or any(name in r["seconds"] for r in chosen)
        ]
        lines = [_row(record, ours, peers) for record in chosen]
        parts += [
            f"### {direction.capitalize()}\n",
            _table([head[n] for n in shown], [[line[n] for n in shown] for line in lines]),
        ]
    return "\n".join(parts)


def _row(record: Record, ours: Sequence[str], peers: Sequence[str]) -> list[str]:
    seconds = record["seconds"]
    what = record["what"] if record["dtype"] == "float32" else f"{record['what']}, {record['dtype']}"
    own = [_milliseconds(seconds[name]) if name in seconds else "–" for name in ours]
    copied = f"{seconds[COPY] / seconds[INTO]:.2f}" if COPY in seconds else ""
    cloned = _milliseconds(seconds[CLONE]) if CLONE in seconds else ""
    described = (what, "×".join(map(str, record["shape"])), record["window"], record["operator"], record["layout"])
    return [*described, *own, copied, cloned, *(_peer(record, peer) for peer in peers)]


def _peer(record: Record, peer: str) -> str:
    if peer not in record["seconds"]:
        return "–"
    about = "≈" if peer in record["scaled from a share"] else ""
    ratio = ratios(record).get(peer)
    told = f"{about}{_milliseconds(record['seconds'][peer])}"
    return f"{told} ({_number(ratio)}×)" if ratio is not None else told


def _refusals(records: list[Record]) -> str:
    """Who did not take part where, and why."""
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for record in records:
        for name, reason in record["refused"].items():
            if reason != NO_GRADIENTS:
                reasons[name, reason].append(record["name"])
    lines = []
    for (name, reason), rows in sorted(reasons.items()):
        said = reason.replace("|", "\\|").replace("<", "&lt;")
        lines.append((name, said, str(len(rows)), rows[0]))
    return _table(("who", "why", "rows", "for instance"), lines)


def _operators(records: list[Record]) -> str:
    peers = list(dict.fromkeys(peer for record in records for peer in record["beside"]))
    lines = []
    for record in records:
        own = (_milliseconds(record["seconds"][n]) if n in record["seconds"] else "–" for n in (NUMPY, TORCH))
        described = (record["operator"], record["direction"], record["layout"])
        lines.append((*described, *own, *(_peer(record, peer) for peer in peers)))
    shape = "×".join(map(str, records[0]["shape"]))
    head = f"""\
Milliseconds on {shape}, windows of {records[0]["window"]}; every operator that `anypool.OPERATORS` names, with its
default settings. Behind a peer's time, how many times faster anypool is on tensors.

"""
    return head + _table(("operator", "", "channels", NUMPY, TORCH, *peers), lines)


def _networks(records: list[Record]) -> str:
    lines = []
    for record in records:
        seconds, peak = record["seconds"], record["peak bytes"]
        lines.append(
            (
                f"{record['network']} ({'×'.join(map(str, record['image']))})",
                *(record["direction"], str(record["batch"]), record["layout"]),
                *(_milliseconds(seconds[name]) for name in ("before", "after")),
                *(f"{record[ratio]:.2f}×" for ratio in ("gain", "bound", "itself")),
                f"{peak['before'] / 2**20:.1f} → {peak['after'] / 2**20:.1f}",
            )
        )
    head = """\
Before and after `anypool.torch.accelerate(model)`, one process, in rounds; a gain is the median of the ratios of calls
one right after the other. *bound* is the gain if pooling cost nothing: every pooling module answers with tensors made
beforehand, through autograd in Python. *itself* is what a copy of the unchanged network gains, which shows how far the
others can be trusted. A training step is forward, loss and backward into fresh
gradients, without an optimizer. Memory is the most that tensors hold at a time during the step, above what was there
before it.

"""
    columns = (
        "network",
        "step",
        "batch",
        "channels",
        "before, ms",
        "after, ms",
        "gain",
        "bound",
        "itself",
        "peak, MiB",
    )
    return head + _table(columns, lines)


def _jax(records: list[Record]) -> str:
    def lines(records: Iterable[Record]) -> Iterator[tuple[str, ...]]:
        for record in records:
            (ours,) = (seconds for name, seconds in record["seconds"].items() if name.startswith("anypool"))
            shape = "×".join(map(str, record["shape"]))
            yield record["name"], shape, _milliseconds(ours), *(_peer(record, peer) for peer in peers)

    peers = list(dict.fromkeys(peer for record in records for peer in record["beside"]))
    text = """\
Milliseconds, everyone jitted; *backward* is what `jax.grad` computes. Measured twice, in a process each: with malloc's
defaults, which give calls memory that the process has had before or fresh pages as chance has it, and with freed memory
kept in huge pages (see docs/jax.md), which spares everyone fresh pages.

"""
    for memory, measured in itertools.groupby(records, key=lambda record: record["memory"]):
        text += _table((f"memory: {memory}", "shape, channels first", "anypool", *peers), lines(measured)) + "\n"
    return text


def _keras(records: list[Record]) -> str:
    lines = []
    for record in records:
        seconds = (f"{record['seconds'][name]:.3f}" for name in ("keras.layers", "anypool.keras"))
        ratios = (f"{record[ratio]:.2f}×" for ratio in ("gain", "itself"))
        lines.append((f"{record['backend']}, {record['pooling']}, {record['what']}", *seconds, *ratios))
    head = f"""\
{records[0]["images"]:,} images of 28×28, batch {records[0]["batch"]}. A process per backend; within it, layers of
both kinds take turns. Seconds, medians; the gain is the median of the ratios of calls one right after the other, and
*itself* the same of a second network with keras.layers, which shows how far the gain can be trusted.

"""
    return head + _table(("", "keras.layers", "anypool.keras", "gain", "itself"), lines)


def _large(records: list[Record]) -> str:
    lines = []
    for record in records:
        ours, seconds = record["seconds"]["anypool"], record["seconds"]
        peers = ", ".join(f"{name} {each / ours:.2f}×" for name, each in seconds.items() if name != "anypool")
        lines.append(
            (
                record["name"],
                f"{ours * 1e3:.1f}",
                f"{record['bytes'] / ours / 1e9:.2f}",
                record["goal"],
                peers,
                record["memory"],
            )
        )
    head = "GB/s are of the input.\n\n"
    return head + _table(("", "anypool, ms", "GB/s", "goal", "others take", ""), lines)


PYRAMIDS_TEXT = """\
CPU seconds (wall time), and how many times the CPU of reading alone. *differs*: the share of pixels of the last level
that are not the exact ones, because levels are made of rounded levels.
"""


def _pyramids(records: list[Record]) -> str:
    lines = []
    for record in records:
        reading = record["cpu"].get("reading alone", math.nan)
        for name, seconds in record["cpu"].items():
            times = f"{seconds:.2f} ({record['wall'][name]:.2f})"
            differs = record["differs"].get(name)
            lines.append(
                (record["name"], name, times, f"{seconds / reading:.2f}×", "" if differs is None else f"{differs:.1%}")
            )
    return PYRAMIDS_TEXT + "\n" + _table(("what", "who", "seconds", "of reading", "differs"), lines)


def _memory(records: list[Record]) -> str:
    lines = []
    for record in records:
        each = record["bytes per output"]
        lines.append((record["what"], *(f"{each[name]:.2f}" if name in each else "" for name in ("anypool", "torch"))))
    return "Bytes per output.\n\n" + _table(("", "anypool", "torch"), lines)
