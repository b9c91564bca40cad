"""Where: the geometry of windows against the reference's loops, by hand and against torch's and TensorFlow's sizes."""

import dataclasses

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from anypool.windows import Adaptive, Global, Sliding

SMALL = st.integers(0, 12)
PADDINGS = st.one_of(st.sampled_from(["valid", "same", "same_lower"]), st.integers(0, 5), st.tuples(SMALL, SMALL))


def cells(plan, outputs):
    """The windows a plan describes, as the reference lists them."""
    listed = []
    for i in range(int(outputs)):
        window = []
        for j in range(int(plan.count(i))):
            if plan.valid(i, j):
                window.append(int(plan.positions(i, j)))
            elif plan.padded(i, j):
                window.append(None)
        listed.append(window)
    return listed


def check_plan(plan, expected):
    assert plan.outputs == len(expected)
    assert cells(plan, plan.outputs) == expected
    elements = [[cell for cell in window if cell is not None] for window in expected]
    first, count = plan.clipped()
    assert count.tolist() == [len(window) for window in elements]
    assert plan.padded_counts().tolist() == [len(window) for window in expected]
    assert all(
        plan.positions(i, j) == window[0] for i, (j, window) in enumerate(zip(first, elements, strict=True)) if window
    )
    assert bool(plan.has_empty_window) == any(not window for window in elements)
    assert all(len(window) <= plan.kernel_size for window in expected)


@settings(max_examples=600)
@given(n=st.integers(0, 15), kernel=st.integers(1, 6), stride=st.integers(1, 6), padding=PADDINGS,
       dilation=st.integers(1, 6), ceil_mode=st.booleans())  # fmt: skip
def test_sliding_windows_are_the_reference_s(n, kernel, stride, padding, dilation, ceil_mode):
    ceil_mode = ceil_mode and not isinstance(padding, str)
    expected = reference.sliding(n, kernel, stride, padding, dilation, ceil_mode)
    window = Sliding(kernel, stride, (padding,) if isinstance(padding, tuple) else padding, dilation, ceil_mode)
    room = n + sum(reference.padding_around(n, kernel, stride, padding, dilation)) - dilation * (kernel - 1)
    if not expected and room < 1 and padding not in ("same", "same_lower"):
        with pytest.raises(ValueError, match=f"kernel_size {kernel} .* length {n} .*must fit"):
            window.axis_plan(0, n)
        return
    check_plan(window.axis_plan(0, n), expected)


@given(n=st.integers(1, 40), m=st.one_of(st.none(), st.integers(1, 50)))
def test_adaptive_windows_are_the_reference_s(n, m):
    expected = reference.adaptive(n, m)
    plan = Adaptive(m).axis_plan(0, n)
    check_plan(plan, expected)
    assert plan.kernel_size == max(map(len, expected))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_global_window_is_the_whole_axis(n):
    plan = Global().axis_plan(0, n)
    check_plan(plan, reference.whole(n))
    assert plan.whole


@pytest.mark.parametrize(
    ("window", "n", "whole"),
    [
        (Sliding(4), 4, True),
        (Sliding(4, stride=1), 4, True),
        (Sliding(4, padding=((0, 3),)), 4, True),
        (Sliding(4, padding=((1, 0),)), 4, False),
        (Sliding(4, dilation=2), 7, False),
        (Sliding(4), 5, False),
        (Adaptive(1), 4, True),
        (Adaptive(2), 4, False),
    ],
)
def test_a_window_that_is_the_whole_axis_knows_it(window, n, whole):
    assert window.axis_plan(0, n).whole is whole


@settings(max_examples=400)
@given(n=st.integers(1, 15), kernel=st.integers(1, 6), stride=st.integers(1, 6), padding=PADDINGS,
       dilation=st.integers(1, 4), ceil_mode=st.booleans())  # fmt: skip
def test_a_length_that_is_not_known_gives_the_same_windows(n, kernel, stride, padding, dilation, ceil_mode):
    """A NumPy scalar stands for a framework's integer: no plain int, so no branch may look at it."""
    ceil_mode = ceil_mode and not isinstance(padding, str)
    expected = reference.sliding(n, kernel, stride, padding, dilation, ceil_mode)
    window = Sliding(kernel, stride, (padding,) if isinstance(padding, tuple) else padding, dilation, ceil_mode)
    if expected:
        plan = window.axis_plan(0, np.int64(n))
        assert plan.outputs == len(expected)
        assert cells(plan, plan.outputs) == expected


@given(n=st.integers(1, 40), m=st.integers(1, 50))
def test_a_length_that_is_not_known_gives_the_same_adaptive_windows(n, m):
    expected = reference.adaptive(n, m)
    plan = Adaptive(m).axis_plan(0, np.int64(n))
    assert cells(plan, m) == expected
    assert plan.kernel_size >= max(map(len, expected))


def test_positions_take_arrays():
    plan = Sliding(3, stride=2, padding=1).axis_plan(0, 6)
    i, j = np.arange(3)[:, None], np.arange(3)
    assert plan.positions(i, j).tolist() == [[-1, 0, 1], [1, 2, 3], [3, 4, 5]]
    assert plan.valid(i, j).tolist() == [[False, True, True], [True] * 3, [True] * 3]


@pytest.mark.parametrize(
    ("window", "lengths", "expected"),
    [
        (Sliding(2), (28, 28), (14, 14)),
        (Sliding(2), 5, (2,)),
        (Sliding(2, stride=1), 5, (4,)),
        (Sliding((3, 2), stride=(2, 1)), (7, 7), (3, 6)),
        (Sliding(3, stride=2, padding=1), (112, 112), (56, 56)),
        (Sliding(3, stride=2, padding=1, ceil_mode=True), (4, 4), (3, 3)),
        (Sliding(2, stride=3, ceil_mode=True), 6, (2,)),  # a third window would start past the end
        (Sliding(3, stride=2, padding="same"), (7, 8), (4, 4)),
        (Sliding(3, dilation=2), 5, (1,)),
        (Sliding(2, padding=((0, 1), (1, 1))), (3, 4), (2, 3)),
        (Sliding(2), (None, 6), (None, 3)),
        (Adaptive(7), (None, 30), (7, 7)),
        (Adaptive((None, 3)), (5, 1), (5, 3)),
        (Global(), (None, 9, 4), (1, 1, 1)),
        (Sliding(1, stride=2**31 - 1), 2**31 - 1, (1,)),
        (Sliding(2**31 - 1), 2**31 - 1, (1,)),
    ],
)
def test_output_shape(window, lengths, expected):
    assert window.output_shape(lengths) == expected
    assert all(type(n) is int for n in window.output_shape(lengths) if n is not None)


def test_output_shape_refuses_what_pooling_refuses():
    with pytest.raises(ValueError, match=r"kernel_size 3 .* axis 1 .* length 2"):
        Sliding(3).output_shape((5, 2))
    with pytest.raises(ValueError, match=r"2 axes.* 3 axes"):
        Sliding((2, 2)).output_shape((5, 5, 5))
    with pytest.raises(ValueError, match=r"2 axes.* 1 axes"):
        Adaptive((2, 2)).output_shape((None,))
    with pytest.raises(ValueError, match=r"lengths.*-1"):
        Global().output_shape((-1,))
    with pytest.raises(TypeError, match=r"lengths.*2\.5"):
        Sliding(2).output_shape((2.5,))


def test_windows_compare_hash_and_do_not_change():
    assert Sliding(2) == Sliding(2, stride=2) == Sliding(np.int64(2), padding="valid")
    assert Sliding(2) != Sliding(3)
    assert Sliding((2, 2)) != Sliding(2)
    assert (
        len({Sliding(2), Sliding(2, 2), Sliding([2, 2]), Sliding((2, 2)), Adaptive(2), Adaptive(2), Global(), Global()})
        == 4
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sliding(2).kernel_size = 3
    window = Sliding([3, 2], padding=[[1, 0], [0, 1]])
    assert eval(repr(window)) == window


def test_sizes_are_torch_s():
    torch = pytest.importorskip("torch")
    pooling = torch.nn.functional.max_pool1d
    for n in range(1, 9):
        for kernel in (1, 2, 3, 5):
            for stride in (1, 2, 3):
                for padding in range(kernel // 2 + 1):
                    for dilation in (1, 2):
                        for ceil_mode in (False, True):
                            try:
                                size = pooling(
                                    torch.zeros(1, 1, n), kernel, stride, padding, dilation, ceil_mode
                                ).shape[2]
                            except RuntimeError:
                                continue
                            assert Sliding(kernel, stride, padding, dilation, ceil_mode).output_shape(n) == (size,)


def test_adaptive_sizes_are_torch_s():
    torch = pytest.importorskip("torch")
    for n, m in [(5, 3), (7, 3), (10, 4), (3, 5), (6, 3)]:
        x = torch.arange(n, dtype=torch.float64).reshape(1, 1, n)
        expected = [np.mean(window) for window in reference.adaptive(n, m)]
        assert torch.nn.functional.adaptive_avg_pool1d(x, m)[0, 0].tolist() == pytest.approx(expected, abs=1e-15)


def test_same_is_tensorflow_s():
    tf = pytest.importorskip("tensorflow")
    for n in range(1, 8):
        for kernel in (1, 2, 3, 4):
            for stride in (1, 2, 3):
                x = np.arange(n, dtype=np.float32).reshape(1, 1, n, 1)
                sums = tf.nn.avg_pool2d(x, (1, kernel), (1, stride), "SAME")[0, 0, :, 0].numpy()
                windows = reference.sliding(n, kernel, stride, "same")
                expected = [np.mean([cell for cell in window if cell is not None]) for window in windows]
                assert sums.tolist() == pytest.approx(expected)
                assert Sliding(kernel, stride, padding="same").output_shape(n) == (len(windows),)
