"""`python -m benchmarks`: measure, print ratios as they come, write the results page and the picture."""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # idle threads of one contender must not sit on another's core
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import argparse
import warnings
from pathlib import Path

from benchmarks import groups
from benchmarks.timing import use_two_processors

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few cases, the core peers; within two minutes")
    parser.add_argument("--only", metavar="PATTERN", default="", help="rows whose name contains this")
    parser.add_argument("--group", choices=groups.NAMES, help="one group of measurements")
    parser.add_argument(
        "--out", type=Path, help=f"where results, page and picture go; default {HERE.name}/ for a full run or group"
    )
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    use_two_processors()
    chosen = [options.group] if options.group else list(groups.NAMES)
    partial = options.quick or bool(options.only)
    groups.run(chosen, options.quick, options.only, options.out or (None if partial else HERE))


if __name__ == "__main__":
    main()
