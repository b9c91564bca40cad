"""The arithmetic that `anypool shape` prints is right, and gives the window's own output size."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import anypool as ap
from anypool.lab.shapes import explain


@given(
    length=st.integers(1, 60),
    size=st.integers(1, 9),
    stride=st.integers(1, 9),
    padding=st.sampled_from([0, 1, 3, ((2, 0),), "same", "same_lower"]),
    dilation=st.integers(1, 4),
    ceil_mode=st.booleans(),
)
def test_arithmetic_adds_up(length, size, stride, padding, dilation, ceil_mode):
    window = ap.Sliding(size, stride, padding, dilation, ceil_mode)
    try:
        (outputs,) = window.output_shape(length)
    except ValueError:
        with pytest.raises(ValueError, match="kernel_size"):
            explain(window, [length])
        return
    (line,) = explain(window, [length])
    said, _, rest = line.partition(", ")
    steps = [evaluated(part) for part in said.split(" = ")]
    assert len(set(steps)) == 1
    dropped = re.search(r"at or past \d+: (\d+)$", rest)
    assert (int(dropped[1]) if dropped else steps[0]) == outputs


def evaluated(said):
    """The value of `⌊(28 + 0 − 1·(2 − 1) − 1) / 2⌋ + 1`."""
    python = said.replace("−", "-").replace("·", "*")
    python = re.sub("⌊(.*)⌋", r"math.floor(\1)", re.sub("⌈(.*)⌉", r"math.ceil(\1)", python))
    return eval(python, {"math": math})


def test_one_line_per_axis():
    assert explain(ap.Sliding((3, 2), stride=2, padding=(1, 0)), [28, 9]) == [
        "⌊(28 + 1 + 1 − 1·(3 − 1) − 1) / 2⌋ + 1 = ⌊27 / 2⌋ + 1 = 13 + 1 = 14",
        "⌊(9 + 0 − 1·(2 − 1) − 1) / 2⌋ + 1 = ⌊7 / 2⌋ + 1 = 3 + 1 = 4",
    ]


def test_a_window_that_starts_past_the_end_is_said():
    (line,) = explain(ap.Sliding(2, stride=3, padding=1, ceil_mode=True), [4])
    assert line.endswith("= 2 + 1 = 3, less a last window that starts at or past 5: 2")
