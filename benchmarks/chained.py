"""`python -m benchmarks.chained`: what it does to pixels to make each level of the level before.

It prints the table of docs/howto/pyramids.md; `--fill` writes it there, between its marks. The volume is that of
examples/pyramid.py; exact levels are anypool's, chained ones are made here, of rounded levels, as is done elsewhere.
"""

from __future__ import annotations

import argparse
import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import anypool as ap

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "howto" / "pyramids.md"
SHAPE, LEVELS = (64, 512, 512), 5
GAPS = 0.95
"""The share of elements that hold nothing, where gaps are tried."""


def example() -> Any:
    """examples/pyramid.py, imported."""
    spec = importlib.util.spec_from_file_location("pyramid_example", ROOT / "examples" / "pyramid.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exact(x: np.ndarray, operator: str, **settings: Any) -> list[np.ndarray]:
    """All levels, of level 0."""
    import zarr

    group: Any = zarr.create_group(zarr.storage.MemoryStore())
    ap.pyramid(x, group, operator, levels=LEVELS, **settings)
    return [group[str(level)][...] for level in range(1, LEVELS + 1)]


def windows(x: np.ndarray) -> np.ndarray:
    """The elements of every 2×2×2 window along a last axis."""
    z, y, x_ = (n // 2 for n in x.shape)
    return x.reshape(z, 2, y, 2, x_, 2).transpose(0, 2, 4, 1, 3, 5).reshape(z, y, x_, 8)


def chained(x: np.ndarray, kind: str) -> list[np.ndarray]:
    """All levels, each of the one before."""
    levels = []
    for _ in range(LEVELS):
        if kind == "truncated":
            x = (windows(x).sum(axis=-1, dtype=np.int64) // 8).astype(x.dtype)
        elif kind == "rounded":
            x = np.round(windows(x).mean(axis=-1)).astype(x.dtype)
        elif kind == "nanmean":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of windows of NaN alone
                x = np.nanmean(windows(x), axis=-1)
        else:
            x = np.asarray(ap.pool(x, "mode", ap.Sliding((2, 2, 2))))
        levels.append(x)
    return levels


def rows() -> list[tuple[str, list[str]]]:
    """What is compared, and a number for every level."""
    module = example()
    light = module.volume(SHAPE)
    labels, mean = module.labels(light), exact(light, "mean")
    full = light.astype(np.float64) + 1
    gaps = np.where(np.random.default_rng(1).random(SHAPE) < GAPS, np.nan, full)
    shifts = zip(chained(light, "truncated"), mean, strict=True)
    rounded = zip(chained(light, "rounded"), mean, strict=True)
    worst = zip(chained(gaps, "nanmean"), exact(gaps, "mean", nodata=np.nan), strict=True)
    modes = zip(chained(labels, "mode"), exact(labels, "mode"), strict=True)
    return [
        ("mean, cut to integers: mean shift in grey levels", [f"{_shift(a, b):.2f}" for a, b in shifts]),
        ("mean, rounded: pixels that differ", [f"{(a != b).mean():.0%}" for a, b in rounded]),
        ("mean of what is no NaN: worst pixel is off by", [f"{_worst(a, b):.0%}" for a, b in worst]),
        ("mode: pixels that differ", [f"{(a != b).mean():.0%}" for a, b in modes]),
    ]


def _shift(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.astype(np.float64) - b).mean())


def _worst(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.nanmax(np.abs(a - b) / np.abs(b)))


def table() -> str:
    head = "| each level of the one before | " + " | ".join(f"level {n}" for n in range(1, LEVELS + 1)) + " |"
    rule = "|---|" + "---:|" * LEVELS
    return "\n".join([head, rule, *("| " + " | ".join([name, *cells]) + " |" for name, cells in rows())]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chained", description=__doc__)
    parser.add_argument("--fill", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    if parser.parse_args().fill:
        from benchmarks.page import fill

        fill(PAGE, {"chained": table()})
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()
