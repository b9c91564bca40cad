"""What others say: ONNX's node cases, torch's own pooling, scikit-image's block_reduce, and NumPy."""

import itertools
import warnings

import numpy as np
import pytest

import anypool as ap

ONNX_OPERATORS = (
    "AveragePool",
    "GlobalAveragePool",
    "GlobalLpPool",
    "GlobalMaxPool",
    "LpPool",
    "MaxPool",
    "MaxUnpool",
)


def onnx_cases():
    """ONNX's own node cases of pooling: each with its operator, attributes, inputs and the outputs it must have."""
    onnx = pytest.importorskip("onnx")
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the cases of other operators, which are made along
        cases = load_model_tests(kind="node")
    for case in cases:
        nodes = case.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in ONNX_OPERATORS:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in nodes[0].attribute}
            for inputs, outputs in case.data_sets:
                yield case, nodes[0].op_type, attributes, inputs, outputs


def sliding(attributes, backwards=False):
    """ONNX's attributes as a window, with its axes in their order or turned round."""
    kernel = attributes["kernel_shape"]
    rank, step = len(kernel), -1 if backwards else 1
    pads = attributes.get("pads", [0] * 2 * rank)
    explicit = tuple(zip(pads[:rank], pads[rank:], strict=True))[::step]
    named = {b"SAME_UPPER": "same", b"SAME_LOWER": "same_lower", b"VALID": "valid"}
    return ap.Sliding(
        kernel[::step],
        attributes.get("strides", [1] * rank)[::step],
        named.get(attributes.get("auto_pad"), explicit),
        attributes.get("dilations", [1] * rank)[::step],
        bool(attributes.get("ceil_mode", 0)),
    )


def as_onnx(operator, attributes, x, *others):
    """The outputs that ONNX's operator has, by anypool."""
    axes = tuple(range(2, x.ndim))
    if operator.startswith("Global"):
        name = {"Average": "average", "Max": "max", "Lp": ap.Lp(attributes.get("p", 2))}[operator[6:-4]]
        return [ap.global_pool(x, name, axes, keepdims=True)]
    if operator == "LpPool":
        return [ap.pool(x, ap.Lp(attributes.get("p", 2)), sliding(attributes), axes)]
    if operator == "AveragePool":
        return [ap.pool(x, ap.Average(bool(attributes.get("count_include_pad", 0))), sliding(attributes), axes)]
    if operator == "MaxUnpool":
        return [unpooled_as_onnx(sliding(attributes), x, *others)]
    backwards = bool(attributes.get("storage_order", 0))  # column by column: the axes the other way round
    window, order = sliding(attributes, backwards), axes[::-1] if backwards else axes
    values, indices = ap.pool(x, "max", window, order, return_indices=True)
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1 for _ in axes))
    return [values, indices + planes * np.prod(x.shape[2:])]


def unpooled_as_onnx(window, x, indices, shape=None):
    """ONNX counts positions in the smallest output, and puts that into the corner of a larger one."""
    arguments = (window.kernel_size, window.stride, window.padding)
    small = ap.max_unpool(x, indices, *arguments)
    if shape is None:
        return small
    return np.pad(small, [(0, after - n) for n, after in zip(small.shape, shape, strict=True)])


def test_onnx_node_cases():
    seen = set()
    for case, operator, attributes, inputs, outputs in onnx_cases():
        got = as_onnx(operator, attributes, *inputs)
        for mine, expected in zip(got, outputs, strict=False):  # indices are optional outputs
            np.testing.assert_allclose(mine, expected, rtol=case.rtol, atol=case.atol, err_msg=case.name)
            assert mine.dtype == expected.dtype, case.name
        seen.add(case.name)
    assert len(seen) >= 53


# ---------------------------------------------------------------------------------------------------------------------
# torch

SETTINGS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 2, "stride": 3, "ceil_mode": True},
]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_torch_s_max_and_average(rank, settings, rng):
    torch = pytest.importorskip("torch")
    functions = torch.nn.functional
    x = rng.normal(size=(2, 3, *(9, 8, 7)[:rank])).astype(np.float32)
    tensor, axes = torch.from_numpy(x), tuple(range(2, 2 + rank))
    for dilation in (1, 2):
        values, indices = getattr(functions, f"max_pool{rank}d")(
            tensor, **settings, dilation=dilation, return_indices=True
        )
        mine = ap.max_pool(x, **settings, dilation=dilation, axes=axes, return_indices=True)
        np.testing.assert_array_equal(mine[0], values.numpy())
        np.testing.assert_array_equal(mine[1], indices.numpy())
    for counted in (False, True):
        theirs = getattr(functions, f"avg_pool{rank}d")(tensor, **settings, count_include_pad=counted)
        mine = ap.avg_pool(x, **settings, axes=axes, count_include_pad=counted)
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-5, atol=1e-6)
    if rank > 1:
        theirs = getattr(functions, f"avg_pool{rank}d")(tensor, **settings, divisor_override=5)
        np.testing.assert_allclose(
            ap.avg_pool(x, **settings, axes=axes, divisor_override=5), theirs.numpy(), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_torch_s_adaptive_pooling(rank, rng):
    torch = pytest.importorskip("torch")
    functions = torch.nn.functional
    x = rng.normal(size=(2, 3, *(9, 8, 7)[:rank])).astype(np.float32)
    tensor, axes = torch.from_numpy(x), tuple(range(2, 2 + rank))
    for size in itertools.product((1, 3, 4, 11), repeat=rank):
        values, indices = getattr(functions, f"adaptive_max_pool{rank}d")(tensor, size, return_indices=True)
        mine = ap.adaptive_pool(x, "max", size, axes=axes, return_indices=True)
        np.testing.assert_array_equal(mine[0], values.numpy())
        np.testing.assert_array_equal(mine[1], indices.numpy())
        theirs = getattr(functions, f"adaptive_avg_pool{rank}d")(tensor, size)
        np.testing.assert_allclose(
            ap.adaptive_pool(x, "average", size, axes=axes), theirs.numpy(), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("p", [1, 2, 3])
def test_torch_s_norms_of_positive_numbers(p, rng):
    """Where torch's own has a meaning: positive numbers and whole windows."""
    torch = pytest.importorskip("torch")
    x = rng.random(size=(2, 3, 8, 6)).astype(np.float32)
    theirs = torch.nn.functional.lp_pool2d(torch.from_numpy(x), p, 3, 2)
    np.testing.assert_allclose(ap.pool(x, ap.Lp(p), ap.Sliding(3, 2)), theirs.numpy(), rtol=1e-5)


def test_torch_s_unpooling(rng):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(rng.normal(size=(2, 3, 9, 8)).astype(np.float32))
    values, indices = torch.nn.functional.max_pool2d(x, 3, 3, 1, return_indices=True)
    theirs = torch.nn.functional.max_unpool2d(values, indices, 3, 3, 1, output_size=(9, 8))
    mine = ap.max_unpool(values, indices, 3, 3, 1, output_size=(9, 8))
    np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


# ---------------------------------------------------------------------------------------------------------------------
# scikit-image and NumPy


@pytest.mark.parametrize("block", [(2, 2), (3, 2), (1, 4)])
def test_scikit_image_s_block_reduce(block, rng):
    """It pads the last blocks with zeros, which is a sum's ceil mode, and an average over the whole block."""
    measure = pytest.importorskip("skimage.measure")
    x = rng.normal(size=(7, 9)).astype(np.float64)
    inside = x[: 7 // block[0] * block[0], : 9 // block[1] * block[1]]
    for name, reducer in (("max", np.max), ("min", np.min), ("average", np.mean), ("sum", np.sum)):
        theirs = measure.block_reduce(inside, block, reducer)
        np.testing.assert_allclose(ap.pool(x, name, ap.Sliding(block)), theirs, rtol=1e-12, atol=1e-12)
    theirs = measure.block_reduce(x, block, np.sum)
    np.testing.assert_allclose(ap.sum_pool(x, block, ceil_mode=True), theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("axes", [(0,), (2, 0), (0, 1, 2)])
def test_numpy_s_reductions(axes, rng):
    x = rng.normal(size=(4, 5, 6))
    for name, reducer in (("max", np.max), ("min", np.min), ("average", np.mean), ("sum", np.sum)):
        np.testing.assert_allclose(ap.global_pool(x, name, axes), reducer(x, axis=axes), rtol=1e-12, atol=1e-13)
        kept = reducer(x, axis=axes, keepdims=True)
        np.testing.assert_allclose(ap.global_pool(x, name, axes, keepdims=True), kept, rtol=1e-12, atol=1e-13)


def test_numpy_s_sliding_window_view(rng):
    x = rng.normal(size=(3, 12, 10))
    windows = np.lib.stride_tricks.sliding_window_view(x, (5, 3), axis=(1, 2))[:, ::2, ::3]
    np.testing.assert_array_equal(ap.max_pool(x, (5, 3), (2, 3)), windows.max((-2, -1)))
    np.testing.assert_allclose(ap.avg_pool(x, (5, 3), (2, 3)), windows.mean((-2, -1)), rtol=1e-12, atol=1e-13)
