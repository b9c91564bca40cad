"""The picture for the README: how long max pooling takes, in times of a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.cases import FIRST, FORWARD, LAST, MAX
from benchmarks.contenders import INTO
from benchmarks.pooling import COPY

Record = dict[str, Any]

COLOURS = {
    INTO: "#d1495b",
    "torch": "#30638e",
    "torch.compile": "#6ea4c9",
    "ONNX Runtime": "#7b6d8d",
    "OpenVINO": "#3f8f6b",
    "TensorFlow": "#e08e45",
    "JAX": "#b9a44c",
    "NumPy": "#9a9a9a",
    "SciPy": "#c4c4c4",
}
FOREGROUND, FAINT = "#333333", "#dddddd"


def draw(records: list[Record], path: Path) -> None:
    """One line per case, one dot per contender, a panel per layout; the copy is the line at 1."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    layouts = [layout for layout in (FIRST, LAST) if _chosen(records, layout)]
    if not layouts:
        return
    most = max(len(_chosen(records, layout)) for layout in layouts)
    style: Any = {"font.family": "sans-serif", "font.size": 10, "svg.hashsalt": "anypool", "text.color": FOREGROUND}
    with plt.rc_context(style):
        size = (5.2 * len(layouts), 0.36 * most + 1.5)
        figure, panels = plt.subplots(1, len(layouts), figsize=size, squeeze=False, layout="constrained", sharex=True)
        for panel, layout in zip(panels[0], layouts, strict=True):
            _panel(panel, _chosen(records, layout), layout)
        handles: dict[str, Any] = {}
        for panel in panels[0]:
            handles |= {label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        ordered = [name for name in COLOURS if name in handles]
        labels = ["anypool" if name == INTO else name for name in ordered]
        figure.legend(
            [handles[name] for name in ordered], labels, loc="outside lower center", ncols=len(ordered), frameon=False,
            handletextpad=0.1, columnspacing=1.2,
        )  # fmt: skip
        figure.suptitle("Max pooling, float32, two threads: time over that of copying the same bytes")
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _chosen(records: list[Record], layout: str) -> list[Record]:
    wanted = {"layout": layout, "direction": FORWARD, "operator": MAX, "dtype": "float32", "memory bound": True}
    return [
        record
        for record in records
        if all(record[key] == value for key, value in wanted.items()) and COPY in record["seconds"]
    ]


def _panel(panel: Any, records: list[Record], layout: str) -> None:
    for line, record in enumerate(reversed(records)):
        seconds = record["seconds"]
        times = {name: seconds[name] / seconds[COPY] for name in COLOURS if name in seconds}
        panel.plot([min(times.values()), max(times.values())], [line, line], color=FAINT, linewidth=1.5, zorder=1)
        for name, time in times.items():
            ours = name == INTO
            panel.scatter(
                time, line, color=COLOURS[name], s=64 if ours else 30, zorder=3 if ours else 2, linewidths=0, label=name
            )
    panel.axvline(1, color=FOREGROUND, linewidth=1, zorder=0)
    panel.set_yticks(range(len(records)), [f"{r['what'].split()[0]} {r['window']}" for r in reversed(records)])
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    panel.set_title(f"channels {layout}", fontsize=10, loc="left")
    panel.minorticks_off()
    panel.tick_params(length=0, colors=FOREGROUND)
    panel.spines[:].set_visible(False)
    panel.grid(axis="x", color=FAINT, linewidth=0.5)
    panel.set_axisbelow(True)
