"""A process that makes a pyramid and is killed as it writes: python pyramid_process.py PLACE KILL AFTER OPERATOR [PART]

KILL is the number of the write (0: none) that it does not live to finish, AFTER 1 if its file has its name by then.
"""

import os
import signal
import sys
from pathlib import Path

import anypool as ap

MEMORY = 60_000


def main(place, kill, after, operator, part=None):
    written, rename = 0, Path.replace

    def replace(self, target):
        nonlocal written
        written += 1
        if written == kill and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        moved = rename(self, target)
        if written == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    Path.replace = replace
    done = ap.pyramid(place, operator=operator, levels=3, memory=MEMORY, part=part)
    print(written, done.computed, done.blocks, done.complete)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], *sys.argv[5:])
