"""The arithmetic of superblocks: they cover the image once, cut no window, and fit into memory."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anypool.pyramids.plan import Grid, Level, Steps, cell, inside, levels_of, superblock

LENGTHS = st.integers(1, 200)


@given(st.integers(1, 3).flatmap(lambda rank: st.tuples(*(st.tuples(LENGTHS, LENGTHS, st.integers(1, 40)),) * rank)),
       st.integers(1, 10**6), st.integers(1, 10**6))  # fmt: skip
@settings(max_examples=300)
def test_superblocks_are_within_memory_and_cut_no_window(axes, most, share):
    shape, chunks, align = (tuple(each) for each in zip(*axes, strict=True))
    targets = [tuple(map(math.lcm, chunks, align)), tuple(2 * c * a for c, a in zip(chunks, align, strict=True))]
    try:
        block = superblock(shape, chunks, align, targets, most, share)
    except ValueError:
        assert math.prod(map(min, align, shape)) > most
        return
    assert math.prod(block) <= most
    assert all(b % a == 0 or b >= n for b, a, n in zip(block, align, shape, strict=True))
    unit = tuple(map(math.lcm, chunks, align))
    lengths = cell(shape, block, unit, 1000)
    assert all(part % a == 0 or part >= n for part, a, n in zip(lengths, align, shape, strict=True))
    grid = Grid(shape, block)
    if math.prod(shape) <= 10**5:
        seen = np.zeros(shape, int)
        for number in range(len(grid)):
            for part in inside(grid.region(number), lengths):
                seen[part] += 1
        assert (seen == 1).all()


def test_superblocks_are_whole_chunks_and_make_whole_chunks_of_levels_where_memory_allows():
    targets = [(128 * 2**level,) * 3 for level in (1, 2, 3)]
    for most, share, expected in [
        (512**3, 512**3, (512, 512, 512)),
        (2**40, 512**3, (512, 512, 512)),
        (512**3 - 1, 2**40, (256, 512, 512)),
        (256**3, 2**40, (256, 256, 256)),
        (128**3, 2**40, (128, 128, 128)),
        (128**3 - 1, 2**40, (64, 64, 64)),
    ]:
        found = superblock((4096,) * 3, (128,) * 3, (8,) * 3, targets, most, share)
        assert all(b % 8 == 0 for b in found)
        assert math.prod(found) <= most
        if expected[0] > 64:
            assert found == expected


def test_levels_end_when_the_image_fits_into_a_chunk():
    steps = Steps((1, 2, 2), (False, True, True), (1.0,) * 3)
    found = levels_of((3, 1000, 600), steps, "auto", (1, 128, 128))
    assert [level.shape for level in found] == [(3, 500, 300), (3, 250, 150), (3, 125, 75)]
    assert levels_of((3, 50, 60), steps, "auto", (1, 128, 128))[-1].shape == (3, 25, 30)


def test_an_axis_of_one_element_is_reduced_no_further():
    steps = Steps((2, 2), (True, True), (1.0, 1.0))
    found = levels_of((3, 100), steps, 4, (1, 1))
    assert [level.factors for level in found] == [(2, 2), (4, 4), (4, 8), (4, 16)]
    with pytest.raises(ValueError, match="levels must be at most 7, got 8"):
        levels_of((3, 100), steps, 8, (1, 1))


def test_a_level_knows_where_a_region_lies():
    level = Level(2, (4, 4), (3, 2))
    assert level.region((slice(4, 10), slice(0, 7))) == (slice(1, 3), slice(0, 2))
