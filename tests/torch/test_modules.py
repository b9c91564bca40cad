"""The modules of anypool.torch beside torch.nn's own, beyond them, and through pickle, copies and state_dicts."""

import copy
import math
import pickle

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
ap = pytest.importorskip("anypool")
apt = pytest.importorskip("anypool.torch")
nn = torch.nn

RANKS = (1, 2, 3)
every_rank = pytest.mark.parametrize("rank", RANKS)
KINDS = ("MaxPool", "AvgPool", "LPPool", "AdaptiveMaxPool", "AdaptiveAvgPool", "MaxUnpool")
OURS = ("MinPool", "SumPool", "AdaptiveMinPool", "GlobalMaxPool", "GlobalMinPool", "GlobalAvgPool")


def module(kind, rank, *arguments, where=apt, **options):
    return getattr(where, f"{kind}{rank}d")(*arguments, **options)


def image(rank, batch=(2, 3), length=9, dtype=torch.float32):
    shape = (*batch, *(length - axis for axis in range(rank)))
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7)).to(dtype)


def assert_like_torch(x, kind, rank, *arguments, **options):
    """Outputs and gradients of both."""
    results = []
    for where in (nn, apt):
        leaf = x.clone().requires_grad_()
        result = module(kind, rank, *arguments, where=where, **options)(leaf)
        values, *indices = result if isinstance(result, tuple) else (result,)
        (grad,) = torch.autograd.grad(
            (values * torch.linspace(-1, 1, values.numel()).reshape(values.shape)).sum(), leaf
        )
        results.append((values.detach(), grad, *indices))
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, equal_nan=True)


@st.composite
def geometries(draw):
    rank = draw(st.sampled_from(RANKS))

    def entries(low, high):
        return (
            tuple(draw(st.integers(low, high)) for _ in range(rank))
            if draw(st.booleans())
            else draw(st.integers(low, high))
        )

    kernel = entries(1, 4)
    smallest = kernel if isinstance(kernel, int) else min(kernel)
    return {
        "rank": rank,
        "kernel_size": kernel,
        "stride": draw(st.none()) if draw(st.booleans()) else entries(1, 4),
        "padding": draw(st.integers(0, smallest // 2)),
        "dilation": entries(1, 2),
        "ceil_mode": draw(st.booleans()),
        "batch": draw(st.sampled_from([(2, 3), (3,)])),
    }


@settings(max_examples=60)
@given(geometries(), st.booleans())
def test_max_pooling_is_torchs(geometry, return_indices):
    rank, batch = geometry.pop("rank"), geometry.pop("batch")
    assert_like_torch(image(rank, batch), "MaxPool", rank, return_indices=return_indices, **geometry)


@settings(max_examples=60)
@given(geometries(), st.booleans(), st.sampled_from([None, 3, -2]))
def test_average_pooling_is_torchs(geometry, count_include_pad, divisor):
    rank, batch = geometry.pop("rank"), geometry.pop("batch")
    del geometry["dilation"]
    if rank > 1:
        geometry["divisor_override"] = divisor
    assert_like_torch(image(rank, batch), "AvgPool", rank, count_include_pad=count_include_pad, **geometry)


@settings(max_examples=40)
@given(geometries(), st.sampled_from([1, 2, 3, 2.5, math.inf, -math.inf]))
def test_signed_norms_are_torchs(geometry, p):
    rank, batch = geometry.pop("rank"), geometry.pop("batch")
    del geometry["dilation"], geometry["padding"]
    if rank == 1 and isinstance(geometry["kernel_size"], tuple):  # which torch cannot
        (geometry["kernel_size"],) = geometry["kernel_size"]
    x = image(rank, batch)
    theirs = module("LPPool", rank, p, where=nn, **geometry)(x)
    torch.testing.assert_close(module("LPPool", rank, p, signed=True, **geometry)(x), theirs, equal_nan=True)


@settings(max_examples=40)
@given(st.sampled_from(RANKS), st.data())
def test_adaptive_pooling_is_torchs(rank, data):
    sizes = tuple(data.draw(st.integers(1, 9) if rank == 1 else st.none() | st.integers(1, 9)) for _ in range(rank))
    size = data.draw(st.sampled_from([sizes, 5] if rank > 1 else [sizes[0]]))
    x = image(rank, data.draw(st.sampled_from([(2, 3), (3,)])))
    assert_like_torch(x, "AdaptiveAvgPool", rank, size)
    assert_like_torch(x, "AdaptiveMaxPool", rank, size, return_indices=data.draw(st.booleans()))


@every_rank
def test_unpooling_is_torchs(rank):
    x = torch.randn(2, 3, *(8, 6, 4)[:rank])
    values, indices = module("MaxPool", rank, 2, return_indices=True)(x)
    for size in (None, x.shape, x.shape[2:]):
        theirs = module("MaxUnpool", rank, 2, where=nn)(values, indices, output_size=size)
        torch.testing.assert_close(module("MaxUnpool", rank, 2)(values, indices, output_size=size), theirs)
    with pytest.raises(ValueError, match="output_size must be within one stride"):
        module("MaxUnpool", rank, 2)(values, indices, output_size=(99,) * rank)
    with pytest.raises(ValueError, match="indices must lie within"):
        module("MaxUnpool", rank, 2)(values, indices + 999)


@every_rank
def test_norms_are_of_magnitudes(rank):
    x = image(rank)
    got = module("LPPool", rank, 3, 2)(x)
    windows = [reference.sliding(n, 2, 2, (0, 0), 1, False) for n in x.shape[2:]]
    expected = reference.pool(x.numpy().astype(np.float64), "lp", windows, tuple(range(2, 2 + rank)), p=3.0)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5)
    assert torch.isnan(module("LPPool", rank, 3, 2, where=nn)(-x.abs())).all()
    assert torch.equal(module("LPPool", rank, math.inf, 2)(x), module("MaxPool", rank, 2)(x.abs()))


@every_rank
def test_what_torch_lacks(rank):
    x, axes = image(rank), tuple(range(-rank, 0))
    assert torch.equal(module("MinPool", rank, 2, 1)(x), -module("MaxPool", rank, 2, 1)(-x))
    assert torch.equal(module("AdaptiveMinPool", rank, 4)(x), -module("AdaptiveMaxPool", rank, 4)(-x))
    torch.testing.assert_close(module("SumPool", rank, 2)(x), module("AvgPool", rank, 2)(x) * 2**rank)
    assert torch.equal(module("GlobalMaxPool", rank)(x), x.amax(axes))
    assert torch.equal(module("GlobalMinPool", rank, keepdim=True)(x), x.amin(axes, keepdim=True))
    torch.testing.assert_close(module("GlobalAvgPool", rank)(x), x.mean(axes))


def test_paddings_and_dilations_that_torch_lacks():
    x = image(2)
    inf, zero = -math.inf, 0.0
    same = nn.functional.pad(x, (1, 1, 1, 1), value=inf)
    assert torch.equal(apt.MaxPool2d(3, 1, "same")(x), nn.MaxPool2d(3, 1)(same))
    uneven = nn.functional.pad(x, (2, 0, 0, 1), value=inf)
    assert torch.equal(apt.MaxPool2d(2, 1, ((0, 1), (2, 0)))(x), nn.MaxPool2d(2, 1)(uneven))
    large = nn.functional.pad(x, (3, 3, 3, 3), value=zero)
    torch.testing.assert_close(apt.AvgPool2d(2, 1, 3)(x), nn.AvgPool2d(2, 1)(large))
    every_other = x[..., ::2, ::2][..., :2, :2].mean((-1, -2))
    torch.testing.assert_close(apt.AvgPool2d(2, dilation=2)(x)[..., 0, 0], every_other)
    torch.testing.assert_close(
        apt.LPPool2d(2, 2, dilation=2)(x)[..., 0, 0], 2 * (x[..., :3:2, :3:2] ** 2).mean((-1, -2)).sqrt()
    )


def test_a_window_of_padding_alone_is_the_identity_as_in_torch():
    x = torch.ones(1, 1, 2)
    assert apt.MaxPool1d(1, 1, 1)(x).tolist() == [[[-math.inf, 1, 1, -math.inf]]]
    assert apt.MinPool1d(1, 1, 1)(x).tolist() == [[[math.inf, 1, 1, math.inf]]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_and_leading_axes(dtype):
    x = (torch.arange(2 * 1 * 3 * 4 * 4).reshape(2, 1, 3, 4, 4) % 5).to(dtype)
    y = apt.MaxPool2d(2)(x)
    assert (y.shape, y.dtype) == ((2, 1, 3, 2, 2), dtype)
    assert torch.equal(y[0], apt.MaxPool2d(2)(x[0]))
    assert torch.equal(y[0, 0, 0], apt.MaxPool2d(2)(x[0, 0, 0]))
    average = apt.AvgPool2d(2)(x)
    assert average.dtype == (dtype if dtype.is_floating_point else torch.float32)


@every_rank
@pytest.mark.parametrize("kind", KINDS)
def test_are_subclasses_of_torchs(kind, rank):
    assert issubclass(getattr(apt, f"{kind}{rank}d"), getattr(nn, f"{kind}{rank}d"))


MODULES = [
    *(module(kind, rank, 2) for kind in ("MaxPool", "MinPool", "AvgPool", "SumPool", "MaxUnpool") for rank in RANKS),
    *(module(kind, rank, 2) for kind in ("AdaptiveMaxPool", "AdaptiveMinPool", "AdaptiveAvgPool") for rank in RANKS),
    *(module("LPPool", rank, 2, 2) for rank in RANKS),
    *(module(kind, rank) for kind in ("GlobalMaxPool", "GlobalMinPool", "GlobalAvgPool") for rank in RANKS),
]


@pytest.mark.parametrize("original", MODULES, ids=lambda m: type(m).__name__)
def test_pickle_copy_state_and_text(original):
    for other in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        assert repr(other) == repr(original)
        if "Unpool" not in repr(original):
            x = image(original.rank)
            assert torch.equal(other(x), original(x))
    assert original.state_dict() == {}
    original.load_state_dict({})
    assert type(original).__name__ in apt.__all__
    assert type(original).__doc__


def test_settings_changed_later_count():
    pooling, x = apt.MaxPool2d(2), image(2)
    assert pooling(x).shape[-1] == 4
    pooling.ceil_mode = True
    assert torch.equal(pooling(x), nn.MaxPool2d(2, ceil_mode=True)(x))


BAD = {
    "stride 0": (lambda: apt.MaxPool2d(2, 0), ValueError, "stride must be between 1"),
    "negative kernel": (lambda: apt.AvgPool2d(-2), ValueError, "kernel_size must be between 1"),
    "three entries": (lambda: apt.MaxPool2d((2, 2, 2)), ValueError, "pools 2 axes"),
    "kernel of text": (lambda: apt.MaxPool2d("2"), TypeError, "kernel_size must be an integer"),
    "padding of a name": (lambda: apt.MaxPool2d(2, padding="full"), ValueError, "padding must be one of"),
    "divisor 0": (lambda: apt.AvgPool2d(2, divisor_override=0), ValueError, "divisor_override must not be 0"),
    "norm 0": (lambda: apt.LPPool2d(0, 2), ValueError, "p must be at least 1"),
    "signed with padding": (lambda: apt.LPPool2d(2, 2, padding=1, signed=True), ValueError, "without padding"),
    "output size 0": (lambda: apt.AdaptiveAvgPool2d(0), ValueError, "output_size must be between 1"),
    "three output sizes": (lambda: apt.AdaptiveAvgPool2d((1, 2, 3)), ValueError, "pools 2 axes"),
    "keepdim 1": (lambda: apt.GlobalMaxPool2d(1), TypeError, "keepdim must be"),
    "an array": (lambda: apt.MaxPool2d(2)(np.ones((1, 4, 4))), TypeError, "input must be a Tensor"),
    "too large": (lambda: apt.MaxPool2d(5)(torch.ones(1, 4, 4)), ValueError, "a window must fit"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_refused_in_words(name):
    call, kind, words = BAD[name]
    with pytest.raises(kind, match=words):
        call()


KERNELS = ("_SelectionBackward", "_LinearBackward")
FEW_OR_MANY = {
    "max": (lambda: apt.MaxPool2d(3, 2, 1), lambda: nn.MaxPool2d(3, 2, 1)),
    "average": (lambda: apt.AvgPool2d(2), lambda: nn.AvgPool2d(2)),
    "average without padding": (
        lambda: apt.AvgPool2d(3, 1, 1, count_include_pad=False),
        lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    ),
    "adaptive max": (lambda: apt.AdaptiveMaxPool2d(3), lambda: nn.AdaptiveMaxPool2d(3)),
    "adaptive average": (lambda: apt.AdaptiveAvgPool2d((3, 4)), lambda: nn.AdaptiveAvgPool2d((3, 4))),
    "all of an image": (lambda: apt.AdaptiveAvgPool2d(1), lambda: nn.AdaptiveAvgPool2d(1)),
}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", FEW_OR_MANY)
def test_results_are_torchs_whoever_pools(name, memory_format):
    """torch's own operator has few elements, the kernels have many; on both sides ties, as relu leaves them."""
    ours, theirs = (make() for make in FEW_OR_MANY[name])
    who = set()
    for batch, side in ((1, 7), (4, 9), (2, 33), (16, 67)):
        x = torch.randn(batch, 32, side, side).relu().to(memory_format=memory_format)
        with torch.no_grad():
            without = ours(x)
        given, wanted = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, expected = ours(given), theirs(wanted)
        assert torch.allclose(y, expected, atol=1e-6)
        assert torch.allclose(y, without, atol=1e-6)
        if y.shape[-1] > 1:
            assert y.stride() == expected.stride()
        upstream = torch.randn_like(expected)
        (mine,), (its,) = torch.autograd.grad(y, given, upstream), torch.autograd.grad(expected, wanted, upstream)
        assert torch.allclose(mine, its, atol=1e-5)
        who.add(type(y.grad_fn).__name__ in KERNELS)
    assert who == {False, True}


def test_what_torch_lacks_is_never_its_own():
    x = torch.randn(1, 32, 5, 5, requires_grad=True)
    for module in (apt.MaxPool2d(2, padding="same"), apt.AvgPool2d(3, dilation=2), apt.MaxPool2d(3, 1, 2)):
        assert type(module(x).grad_fn).__name__ in KERNELS
    assert torch.allclose(apt.AvgPool2d([2, 2])(x), nn.AvgPool2d([2, 2])(x), atol=1e-6)


@pytest.mark.parametrize("pool", [lambda x: ap.max_pool(x, 2), apt.MaxPool2d(2), apt.AvgPool2d(2), apt.LPPool2d(2, 2)])
def test_a_tensor_whose_storage_was_freed_is_refused(pool):
    x = torch.randn(1, 3, 64, 64)
    pool(x)
    x.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match="storage was freed"):
        pool(x)
    with pytest.raises(RuntimeError, match="storage was freed"):
        ap.max_pool(x, 2, out=torch.empty(1, 3, 32, 32))
