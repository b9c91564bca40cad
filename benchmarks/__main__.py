"""`python -m benchmarks`: measure, print ratios as they come, write the results page and the picture."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path

from benchmarks import against
from benchmarks.timing import THREADS, use_two_processors

HERE = Path(__file__).parent
GROUPS = ("kernels", "operators", "torch-networks", "jax", "keras", "large", "pyramids", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few cases, the core peers; within two minutes")
    parser.add_argument("--only", metavar="PATTERN", default="", help="rows whose name contains this")
    parser.add_argument("--group", choices=GROUPS, help="one group of measurements")
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help=f"this working tree beside another commit; of {', '.join(against.GROUPS)}, by default all of them",
    )
    parser.add_argument(
        "--out", type=Path, help=f"where results, page and picture go; default {HERE.name}/ for a full run or group"
    )
    options = parser.parse_args()
    chosen = [options.group] if options.group else list(GROUPS)
    partial = options.quick or bool(options.only)
    _prepare()
    if options.against is not None:
        _against(parser, options)
        return
    from benchmarks import groups  # the frameworks read threads and processors when they are loaded

    complete = groups.run(chosen, options.quick, options.only, options.out or (None if partial else HERE))
    sys.exit(0 if complete else 1)


def _against(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    groups = [options.group] if options.group else list(against.GROUPS)
    if not set(groups) <= set(against.GROUPS):
        parser.error(f"--group must be one of {', '.join(against.GROUPS)} with --against, got {options.group!r}")
    if options.out is not None:
        parser.error("--out must be left away with --against, which only prints")
    try:
        against.run(options.against, groups, options.quick, options.only)
    except ValueError as error:
        parser.error(str(error))


def _prepare() -> None:
    use_two_processors()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # idle threads must not sit on the next contender's processor
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


if __name__ == "__main__":
    main()
