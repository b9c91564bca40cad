"""A process that makes a pyramid and is killed as it writes: python pyramid_process.py PLACE KILL AFTER OPERATOR [PART]

KILL is the number of the write (0: none) that it does not live to finish, AFTER 1 if its file has its name by then.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path

import anypool as ap

MEMORY = 60_000


def main(place, kill, after, operator, part=None):
    numbers, rename = count(1), Path.replace  # threads get a number each

    def replace(self, target):
        number = next(numbers)
        if number == kill and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        moved = rename(self, target)
        if number == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    Path.replace = replace
    done = ap.pyramid(place, operator=operator, levels=3, memory=MEMORY, part=part)
    print(next(numbers) - 1, done.computed, done.blocks, done.complete)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], *sys.argv[5:])
