"""Settings as NumPy's users write them, in every function, operator, window and module."""

import numpy as np
import pytest

import anypool as ap
from anypool.arguments import as_flag, as_integer, as_number, per_axis, plain

torch = pytest.importorskip("torch")
apt = pytest.importorskip("anypool.torch")
nn = torch.nn

TWO = {
    "int64": np.int64(2),
    "uint8": np.uint8(2),
    "array of no axes": np.array(2),
    "array": np.array([2, 2]),
    "list of int64": [np.int64(2), np.int64(2)],
    "list": [2, 2],
}
TRUE = {"np.bool_": np.True_, "array of no axes": np.array(True)}
every_two = pytest.mark.parametrize("two", TWO.values(), ids=TWO)
every_true = pytest.mark.parametrize("true", TRUE.values(), ids=TRUE)


def arrays():
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    large = torch.randn(2, 3, 80, 80)
    return x, torch.from_numpy(x), torch.from_numpy(x).requires_grad_(), large, large.clone().requires_grad_()


def assert_same(got, expected):
    for ours, theirs in zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, expected)), strict=True):
        assert type(ours) is type(theirs)
        assert ours.shape == theirs.shape
        assert (ours == theirs).all()


@every_two
def test_sizes_of_functions_and_windows(two):
    for x in arrays():
        for pool in (ap.max_pool, ap.min_pool, ap.avg_pool, ap.sum_pool):
            assert_same(pool(x, two, two, np.array(1), dilation=two), pool(x, 2, 2, 1, dilation=2))
        assert_same(ap.adaptive_pool(x, "max", two), ap.adaptive_pool(x, "max", 2))
        assert_same(
            ap.pool(x, "max", ap.Sliding(two, padding="same")), ap.pool(x, "max", ap.Sliding(2, padding="same"))
        )
        pooled = ap.max_pool(x, two, return_indices=True)
        assert_same(ap.max_unpool(*pooled, two), ap.max_unpool(*pooled, 2))
    assert ap.Sliding(two).output_shape((4, 4)) == (2, 2)
    assert "np." not in repr((ap.Sliding(two, two, two), ap.Adaptive(two)))


@every_true
def test_flags_of_functions(true):
    for x in arrays():
        assert_same(ap.max_pool(x, 3, ceil_mode=true), ap.max_pool(x, 3, ceil_mode=True))
        assert_same(ap.max_pool(x, 3, return_indices=true), ap.max_pool(x, 3, return_indices=True))
        counted = ap.avg_pool(x, 3, padding=1, count_include_pad=True)
        assert_same(ap.avg_pool(x, 3, padding=1, count_include_pad=true), counted)
        everything = ap.global_pool(x, "max", np.array([2, 3]), keepdims=True)
        assert_same(ap.global_pool(x, "max", (2, 3), keepdims=true), everything)


def test_numbers_of_operators():
    for three in (np.int64(3), np.array(3), np.float32(3), np.longdouble(3)):
        for x in arrays():
            assert_same(ap.pool(x, ap.Lp(three), ap.Sliding(2)), ap.pool(x, ap.Lp(3), ap.Sliding(2)))
            assert_same(ap.pool(x, ap.GeM(three), ap.Sliding(2)), ap.pool(x, ap.GeM(3), ap.Sliding(2)))
            if not isinstance(three, np.floating):
                divided = ap.avg_pool(x, 2, divisor_override=3)
                assert_same(ap.avg_pool(x, 2, divisor_override=three), divided)
        assert type(ap.Lp(three).p) in (int, float)


@every_two
@pytest.mark.parametrize("name", ["MaxPool2d", "MinPool2d", "AvgPool2d", "SumPool2d"])
def test_sizes_of_modules(name, two):
    module, expected = getattr(apt, name)(two, two, np.array(1)), getattr(apt, name)(2, 2, 1)
    for x in arrays()[1:]:
        assert_same(module(x), expected(x))
    assert "np." not in repr(module)
    assert "array" not in repr(module)


@every_two
def test_sizes_of_other_modules(two):
    _, x, *_ = arrays()
    pooled = nn.MaxPool2d(2, return_indices=True)(x)
    assert_same(apt.MaxUnpool2d(two)(*pooled), nn.MaxUnpool2d(2)(*pooled))
    assert_same(apt.AdaptiveAvgPool2d(two)(x), apt.AdaptiveAvgPool2d(2)(x))
    assert_same(apt.AdaptiveMaxPool2d(two)(x), apt.AdaptiveMaxPool2d(2)(x))
    for signed in (True, False):
        assert_same(apt.LPPool2d(np.int64(2), two, signed=signed)(x), apt.LPPool2d(2, 2, signed=signed)(x))


@every_true
def test_flags_of_modules(true):
    for x in arrays()[1:]:
        assert_same(apt.MaxPool2d(3, ceil_mode=true)(x), apt.MaxPool2d(3, ceil_mode=True)(x))
        assert_same(apt.MaxPool2d(3, return_indices=true)(x), apt.MaxPool2d(3, return_indices=True)(x))
        counted = apt.AvgPool2d(3, 2, 1, count_include_pad=True)
        assert_same(apt.AvgPool2d(3, 2, 1, count_include_pad=true)(x), counted(x))
        assert_same(apt.AvgPool2d(2, divisor_override=np.int64(3))(x), apt.AvgPool2d(2, divisor_override=3)(x))
        assert_same(apt.AdaptiveMaxPool2d(2, return_indices=true)(x), apt.AdaptiveMaxPool2d(2, return_indices=True)(x))
        assert_same(apt.GlobalMaxPool2d(keepdim=true)(x), apt.GlobalMaxPool2d(keepdim=True)(x))
        assert_same(apt.LPPool2d(2, 3, ceil_mode=true, signed=true)(x), apt.LPPool2d(2, 3, None, True, signed=True)(x))
    assert apt.accelerate(nn.MaxPool2d(2), inplace=true)[1].replaced


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("kind", ["MaxPool", "AvgPool"])
def test_an_entry_alone_is_for_every_axis_as_in_torch(kind, rank):
    x = torch.randn(2, 3, *(6,) * rank)
    for entry in ((3,), [3], np.array([3])):
        for where in (x, x.clone().requires_grad_()):
            got = getattr(apt, f"{kind}{rank}d")(entry, (2,), (1,))(where)
            torch.testing.assert_close(got, getattr(nn, f"{kind}{rank}d")((3,), (2,), (1,))(where))


def test_settings_of_torchs_modules_given_our_class():
    """torch's modules hold what they were given, and run with much of it."""
    x = torch.randn(2, 3, 8, 8)
    for module in (nn.MaxPool2d(np.int64(2)), nn.MaxPool2d([2, 2]), nn.AvgPool2d([2, 2], (2,)), nn.MaxPool2d((2,))):
        faster, report = apt.accelerate(module)
        assert report.replaced
        torch.testing.assert_close(faster(x), module(x))


def test_a_divisor_over_one_axis_counts_with_a_gradient_too():
    """Which torch's own average over one axis does not take."""
    module, x = apt.AvgPool1d(2, divisor_override=4), torch.ones(1, 1, 4)
    assert module(x).tolist() == module(x.requires_grad_()).tolist() == [[[0.5, 0.5]]]


def test_plain():
    assert plain(np.longdouble(2)) == 2.0
    assert plain((np.array([[1, 2], [3, 4]]), [np.True_, None, "same"])) == (((1, 2), (3, 4)), (True, None, "same"))
    assert type(plain(np.float32(2))) is float


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (as_integer, np.float64(2)),
        (as_integer, np.True_),
        (as_integer, np.array([2, 2])),
        (as_integer, np.array(True)),
        (as_flag, np.int64(1)),
        (as_flag, 1),
        (as_flag, np.array([True])),
        (as_number, np.True_),
        (as_number, np.array([2.0])),
        (as_number, "2"),
    ],
)
def test_what_is_no_such_setting_is_refused(check, value):
    with pytest.raises(TypeError, match="setting must be"):
        check("setting", value, *((1,) if check is as_integer else ()))
    if check is as_integer and np.ndim(value) == 1:
        assert per_axis("setting", value, 1) == (2, 2)
