"""Pooling of torch tensors: gradients of every kind, transforms, layouts, dtypes, devices, bad input."""

import contextlib
import warnings
from itertools import product

import numpy as np
import pytest
from adapters import ADAPTERS
from harness import assert_close, check, check_gradient, fitting_case, laid_out, random_array
from operator_table import CORE as OPERATORS

torch = pytest.importorskip("torch")
ap = pytest.importorskip("anypool")
kernels = pytest.importorskip("anypool.cpu.kernels")
fw = pytest.importorskip("torch.autograd.forward_ad")
func = pytest.importorskip("torch.func")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's own first use of forward mode imports what it deprecates
    with fw.dual_level():
        fw.make_dual(torch.ones(1), torch.ones(1))

WINDOWS = {
    "overlapping": ap.Sliding(3, 2, 1),
    "apart": ap.Sliding(2),
    "adaptive": ap.Adaptive(4),
    "global": ap.Global(),
}
IMPLEMENTATIONS = ["auto", "definition", *(["kernel"] if kernels.available() else [])]
every_operator = pytest.mark.parametrize("operator", OPERATORS)
every_window = pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
every_implementation = pytest.mark.parametrize("impl", IMPLEMENTATIONS)
channels_last = pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])


def image(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5)).to(dtype)


def kernels_serve(operator, impl):
    return operator != "lp" or impl != "kernel"


# ---------------------------------------------------------------------------------------------------------------------
# Against the reference


@every_operator
def test_torchs_own_operators_give_what_the_definition_says(operator, rng):
    torch_adapter, ran = ADAPTERS["torch"](), 0
    for number in range(60):
        case, shape = fitting_case(rng, operator=operator, rank=1 + number % 3)
        x = random_array(rng, shape, ("float32", "float64", "float16", "bfloat16")[number % 4], number % 2 == 0)
        got = None
        with contextlib.suppress(ValueError):  # torch has no such pooling
            got = case.package(torch_adapter.make(laid_out(rng, x)), impl="framework")
        if got is None:
            continue
        ran += 1
        assert_close(case, x, torch_adapter.numpy(got), torch_adapter)
        if x.dtype.itemsize >= 4 and np.isfinite(x).all():
            check_gradient(case, x, torch_adapter, impl="framework")
    assert ran > 20 or operator == "lp"


@every_operator
def test_kernels_on_tensors(operator, rng):
    torch_adapter = ADAPTERS["torch"]()
    for number in range(60):
        case, shape = fitting_case(rng, operator=operator, rank=1 + number % 3)
        name = torch_adapter.dtypes[number % len(torch_adapter.dtypes)]
        x = random_array(rng, shape, name, "float" in name)
        check(case, laid_out(rng, x), torch_adapter)
        if name in ("float32", "float64"):
            check_gradient(case, random_array(rng, shape, name), torch_adapter)


@pytest.mark.parametrize("name", ["uint16", "uint32", "uint64"])
def test_unsigned_integers_that_torch_hardly_computes_in(name):
    dtype = getattr(torch, name)
    x = torch.tensor([[1, 2**15 + 1, 7, 3]]).to(dtype)
    for impl in IMPLEMENTATIONS:
        values, indices = ap.max_pool(x, (1, 2), return_indices=True, impl=impl)
        assert values.dtype == dtype
        assert values.tolist() == [[2**15 + 1, 7]]
        assert indices.tolist() == [[1, 2]]
        assert ap.sum_pool(x, (1, 2), impl=impl).tolist() == [[2**15 + 2, 10]]
        assert ap.max_unpool(values, indices, (1, 2)).tolist() == [[0, 2**15 + 1, 7, 0]]


# ---------------------------------------------------------------------------------------------------------------------
# Gradients


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_of_unpooling_goes_to_what_stayed(memory_format):
    x = torch.rand(2, 3, 2, 2).contiguous(memory_format=memory_format).requires_grad_()
    indices = torch.tensor([[1, 5], [5, 0]]).expand(2, 3, 2, 2)
    unpooled = ap.max_unpool(x, indices, 2)
    assert unpooled.is_contiguous(memory_format=memory_format)
    weights = torch.rand(2, 3, 4, 4)
    (gradient,) = torch.autograd.grad(unpooled, x, weights)
    w = weights.flatten(2)
    nothing = torch.zeros(2, 3)
    expected = torch.stack([w[..., 1], nothing, w[..., 5], w[..., 0]], -1).reshape(2, 3, 2, 2)
    assert torch.equal(gradient, expected)


def test_the_gradient_of_unpooling_nothing_is_nothing():
    for shape in ((0, 3, 2, 2), (0, 2, 2)):
        x, indices = torch.zeros(shape, requires_grad=True), torch.zeros(shape, dtype=torch.int64)
        y = ap.max_unpool(x, indices, 2)
        assert y.requires_grad
        y.sum().backward()
        assert x.grad.shape == shape


def test_what_other_values_covered_has_no_gradient():
    """torch's own gives every one of several values with the same place the gradient of that place."""
    x = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    places = torch.tensor([[1, 1, 4]])
    y = ap.max_unpool(x, places, 2, axes=1, output_size=6)
    assert y.tolist() == [[0, 2, 0, 0, 3, 0]]
    y.sum().backward()
    assert x.grad.tolist() == [[0, 1, 1]]
    assert torch.autograd.gradcheck(lambda x: ap.max_unpool(x, places, 2, axes=1), x.detach().double().requires_grad_())


@every_operator
@every_window
@every_implementation
@channels_last
def test_gradients_to_the_second_order(operator, window, impl, memory_format):
    if not kernels_serve(operator, impl):
        pytest.skip("no kernel for norms")
    x = image(1, 2, 6, 5).to(memory_format=memory_format).requires_grad_()

    def pool(x):
        return ap.pool(x, operator, window, axes=(2, 3), impl=impl)

    assert torch.autograd.gradcheck(pool, x, fast_mode=True, check_forward_ad=impl != "kernel")
    assert torch.autograd.gradgradcheck(pool, x, fast_mode=True)


@every_operator
@every_window
def test_transforms(operator, window):
    x = image(2, 3, 5, 6)

    def pool(x):
        return ap.pool(x, operator, window, axes=(-2, -1))

    for axis in (0, 1):
        torch.testing.assert_close(func.vmap(pool, in_dims=axis, out_dims=axis)(x), pool(x))
    torch.testing.assert_close(func.jacfwd(pool)(x[:1]), func.jacrev(pool)(x[:1]))
    hessian = func.hessian(lambda x: (pool(x) ** 2).sum())(x[0, 0])
    torch.testing.assert_close(hessian, torch.autograd.functional.hessian(lambda x: (pool(x) ** 2).sum(), x[0, 0]))
    with fw.dual_level():
        tangent = fw.unpack_dual(pool(fw.make_dual(x, torch.ones_like(x)))).tangent
    torch.testing.assert_close(tangent, func.jvp(pool, (x,), (torch.ones_like(x),))[1])
    assert tangent.abs().sum() > 0


def test_max_saves_a_byte_per_output_and_average_nothing():
    x = torch.randn(2, 3, 32, 32, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        ap.max_pool(x, 2)
        if kernels.available():
            assert [(t.dtype, t.numel()) for t in saved] == [(torch.uint8, 2 * 3 * 16 * 16)]
        saved.clear()
        ap.avg_pool(x, 2)
        ap.sum_pool(x, 3, stride=1)
    if kernels.available():
        assert saved == []


def test_indices_changed_before_backward_are_noticed():
    x = torch.randn(1, 4, 4, requires_grad=True)
    values, indices = ap.max_pool(x, 2, return_indices=True)
    indices.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        values.sum().backward()


def test_gradient_of_ties_and_nan_goes_to_the_first():
    x = torch.tensor([[0.0, 0.0, 1.0, float("nan"), float("nan"), 2.0]], requires_grad=True)
    for impl in IMPLEMENTATIONS:
        (grad,) = torch.autograd.grad(ap.max_pool(x, (1, 3), impl=impl).sum(), x)
        assert grad.tolist() == [[0, 0, 1, 1, 0, 0]]


NAMES = sorted(name for name, kind in ap.OPERATORS.items() if not kind().random and name != "mode")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_lie_as_x_does_and_results_may_be_changed(name, dtype):
    windows = [ap.Sliding(2)] if ap.OPERATORS[name]().composed else [ap.Sliding(3, 2, 1), ap.Sliding(2), ap.Global()]
    for memory_format, window in product((torch.contiguous_format, torch.channels_last), windows):
        x = (image(2, 3, 8, 6, dtype=dtype).abs() + 0.1).to(memory_format=memory_format).requires_grad_()
        y = ap.pool(x, name, window, axes=(2, 3))
        if not y.requires_grad:  # counts have no gradient
            continue
        (expected,) = torch.autograd.grad(y.sum(), x)
        assert expected.stride() == x.stride(), window
        y = ap.pool(x, name, window, axes=(2, 3))
        (gradient,) = torch.autograd.grad(y.mul_(2).sum(), x)
        torch.testing.assert_close(gradient, 2 * expected)


@every_operator
def test_results_are_the_same_in_deterministic_mode(operator):
    x = image(2, 3, 9, 9).requires_grad_()
    expected = torch.autograd.grad(ap.pool(x, operator, ap.Sliding(3, 1)).sum(), x)[0]
    torch.use_deterministic_algorithms(True)
    try:
        for impl in IMPLEMENTATIONS[:2]:
            got = torch.autograd.grad(ap.pool(x, operator, ap.Sliding(3, 1), impl=impl).sum(), x)[0]
            torch.testing.assert_close(got, expected)
    finally:
        torch.use_deterministic_algorithms(False)


# ---------------------------------------------------------------------------------------------------------------------
# Layouts, dtypes, devices


@every_operator
@every_window
@every_implementation
def test_channels_last_stays_channels_last(operator, window, impl):
    if not kernels_serve(operator, impl):
        pytest.skip("no kernel for norms")
    x = image(2, 3, 6, 8).to(memory_format=torch.channels_last)
    y = ap.pool(x, operator, window, axes=(2, 3), impl=impl)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(y, ap.pool(x.contiguous(), operator, window, axes=(2, 3), impl=impl))


@every_operator
def test_meta_and_fake_tensors(operator):
    from torch._subclasses import FakeTensorMode

    x = image(2, 3, 6, 7)
    expected = ap.pool(x, operator, ap.Sliding(2), axes=(2, 3))
    meta = ap.pool(x.to("meta"), operator, ap.Sliding(2), axes=(2, 3))
    assert (meta.device.type, meta.shape, meta.dtype) == ("meta", expected.shape, expected.dtype)
    with FakeTensorMode() as mode:
        fake = ap.pool(mode.from_tensor(x), operator, ap.Sliding(2), axes=(2, 3))
    assert (fake.shape, fake.stride()) == (expected.shape, expected.stride())


@every_operator
def test_autocast_keeps_the_dtype_of_the_input(operator):
    for dtype in (torch.float32, torch.bfloat16):
        x = image(1, 2, 6, 6, dtype=dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = ap.pool(x, operator, ap.Sliding(2))
            assert y.dtype == dtype
        y.sum().backward()
        assert x.grad.dtype == dtype


def test_the_default_dtype_is_torchs():
    x = torch.arange(4).reshape(1, 4)
    assert ap.avg_pool(x, (1, 2)).dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert ap.avg_pool(x, (1, 2)).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_default_device_does_not_matter():
    x = image(1, 4, 4)
    with torch.device("meta"):
        assert ap.max_pool(x, 2).device.type == "cpu"
        assert ap.pool(x, "lp", ap.Sliding(2)).device.type == "cpu"


@every_operator
def test_tensors_whose_sign_is_kept_apart(operator):
    turned = torch.randn(1, 2, 60, 60, dtype=torch.complex64).conj().imag
    assert turned.is_neg()
    leaf = turned.resolve_neg().requires_grad_()
    expected = ap.pool(leaf, operator, ap.Sliding(2), impl="definition")
    assert torch.allclose(ap.pool(turned, operator, ap.Sliding(2)), expected, atol=1e-5)
    upstream = torch.randn(1, 2, 30, 30, dtype=torch.complex64).conj().imag
    (gradient,) = torch.autograd.grad(ap.pool(leaf, operator, ap.Sliding(2)), leaf, upstream)
    assert torch.allclose(gradient, torch.autograd.grad(expected, leaf, upstream.resolve_neg())[0], atol=1e-5)
    out = torch.zeros(1, 2, 30, 30, dtype=torch.complex64).conj().imag
    assert torch.allclose(ap.pool(leaf.detach(), operator, ap.Sliding(2), out=out), expected, atol=1e-5)


def test_out_is_written_into():
    x, out = image(2, 6, 6), torch.empty(2, 3, 3, dtype=torch.float64)
    for impl in (*IMPLEMENTATIONS, "framework"):
        out.zero_()
        assert ap.max_pool(x, 2, out=out, impl=impl) is out
        assert torch.equal(out, ap.max_pool(x, 2))
    inside = x.clone()
    ap.max_pool(inside, 2, out=inside[:, :3, :3])
    assert torch.equal(inside[:, :3, :3], ap.max_pool(x, 2))


# ---------------------------------------------------------------------------------------------------------------------
# Bad input


def grad_of_wrong_shape():
    x = torch.randn(1, 4, 4, requires_grad=True)
    ap.max_pool(x, 2).backward(torch.ones(1, 3, 3))


def x():
    return torch.ones(1, 4, 4)


BAD = {
    "sparse": (lambda: ap.max_pool(x().to_sparse(), 2), TypeError, "dense"),
    "quantized": (lambda: ap.max_pool(torch.quantize_per_tensor(x(), 1.0, 0, torch.quint8), 2), TypeError, "quantized"),
    "complex": (lambda: ap.max_pool(x().to(torch.complex64), 2), TypeError, "complex64"),
    "float8": (lambda: ap.max_pool(x().to(torch.float8_e4m3fn), 2), TypeError, "float8"),
    "stride 0": (lambda: ap.max_pool(x(), 2, stride=0), ValueError, "stride must be between 1"),
    "kernel 0": (lambda: ap.max_pool(x(), 0), ValueError, "kernel_size must be between 1"),
    "negative padding": (lambda: ap.max_pool(x(), 2, padding=-1), ValueError, "padding must be between 0"),
    "kernel over padded input": (lambda: ap.max_pool(x(), 7, padding=1), ValueError, "must fit"),
    "dilation overflow": (lambda: ap.max_pool(x(), 2, dilation=2**62), ValueError, "dilation must be between"),
    "dilation too far": (lambda: ap.max_pool(x(), 2, dilation=2**31 - 1), ValueError, "must fit"),
    "padding without elements": (lambda: ap.max_pool(x(), 2, padding=4), ValueError, "without any element"),
    "no such axes": (lambda: ap.max_pool(torch.ones(4), 2), ValueError, "at least the 2 axes"),
    "indices out of range": (lambda: ap.max_unpool(x(), torch.full((1, 4, 4), 64), 2), ValueError, "indices must lie"),
    "negative indices": (lambda: ap.max_unpool(x(), torch.full((1, 4, 4), -1), 2), ValueError, "indices must lie"),
    "float indices": (lambda: ap.max_unpool(x(), x(), 2), TypeError, "indices must be integers"),
    "indices of another shape": (lambda: ap.max_unpool(x(), torch.zeros(1, 2, 2).long(), 2), ValueError, "x's shape"),
    "indices elsewhere": (
        lambda: ap.max_unpool(x(), torch.zeros(1, 4, 4, device="meta").long(), 2),
        ValueError,
        "device",
    ),
    "out elsewhere": (lambda: ap.max_pool(x(), 2, out=torch.empty(1, 2, 2, device="meta")), ValueError, "device"),
    "out with gradient": (
        lambda: ap.max_pool(x().requires_grad_(), 2, out=torch.empty(1, 2, 2)),
        ValueError,
        "no gradient",
    ),
    "gradient of another shape": (grad_of_wrong_shape, RuntimeError, "shape"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_bad_input_is_refused_in_words(name):
    call, kind, words = BAD[name]
    with pytest.raises(kind, match=words):
        call()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nested_tensors_are_refused():
    for layout in (torch.strided, torch.jagged):
        nested = torch.nested.nested_tensor([torch.ones(2, 2), torch.ones(3, 2)], layout=layout)
        with pytest.raises(TypeError, match=r"nested.*x\.unbind\(\).*to_padded_tensor") as error:
            ap.max_pool(nested, 2)
        assert "to_dense" not in str(error.value)
        assert [ap.max_pool(part, 2).shape for part in nested.unbind()] == [(1, 1), (1, 1)]
        assert ap.max_pool(torch.nested.to_padded_tensor(nested, 0.0), 2).shape == (2, 1, 1)
    for sparse in (torch.ones(1, 4, 4).to_sparse(), torch.ones(4, 4).to_sparse_csr(), torch.ones(4, 4).to_mkldnn()):
        with pytest.raises(TypeError, match=r"use x\.to_dense\(\)"):
            ap.max_pool(sparse, 2)
        assert ap.max_pool(sparse.to_dense(), 2).shape[-2:] == (2, 2)


def test_two_threads_at_once():
    from concurrent.futures import ThreadPoolExecutor

    x = image(4, 8, 32, 32)
    expected = ap.max_pool(x, 3, 1, 1)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: ap.max_pool(x, 3, 1, 1), range(16)))
    assert all(torch.equal(result, expected) for result in results)
