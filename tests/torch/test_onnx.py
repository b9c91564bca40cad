"""torch.onnx.export of pooling, by both exporters: standard nodes, and the same results for every size."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ap = pytest.importorskip("anypool")
apt = pytest.importorskip("anypool.torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from torch_ways_out import image, onnx_model, session, torchscript_onnx_model  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


class Net(torch.nn.Module):
    def __init__(self, *poolings):
        super().__init__()
        self.poolings = torch.nn.ModuleList(poolings)

    def forward(self, x):
        results = [pooling(x) for pooling in self.poolings]
        return tuple(leaf for result in results for leaf in (result if isinstance(result, tuple) else (result,)))


ONNX_NODES = {
    "MaxPool": apt.MaxPool2d(3, 2, 1, dilation=2),
    "MaxPool asymmetric": apt.MaxPool2d(3, 2, ((0, 1), (2, 0))),
    "MaxPool ceil": apt.MaxPool2d(2, 2, ceil_mode=True),
    "MaxPool 1d": apt.MaxPool1d(3, 2, 1),
    "MaxPool indices": apt.MaxPool2d(3, 2, 1, return_indices=True),
    "MaxPool of the negated": apt.MinPool2d(2),
    "AveragePool": apt.AvgPool2d(3, 2, 1),
    "AveragePool without padding": apt.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "AveragePool dilated": apt.AvgPool2d(2, dilation=2),
    "AveragePool summed": apt.SumPool2d(2, 2, 1),
    "AveragePool divided": apt.AvgPool2d(2, divisor_override=3),
    "AveragePool adaptive": apt.AdaptiveAvgPool2d((3, 3)),
    "GlobalMaxPool": apt.GlobalMaxPool2d(keepdim=True),
    "GlobalAveragePool": apt.AdaptiveAvgPool2d(1),
    "AveragePool with padding counted and overhang not": apt.AvgPool2d(3, 3, 1, ceil_mode=True),
    "LpPool": apt.LPPool2d(3, 2, padding=1),
}
ONNX_DECOMPOSED = {
    "adaptive with uneven windows": apt.AdaptiveAvgPool2d((4, 5)),
    "adaptive max": apt.AdaptiveMaxPool2d(4),
    "fractional norm": apt.LPPool2d(2.5, 2),
}


def exported(net, x, dynamic=False):
    """The types of the nodes, and the program."""
    model = onnx_model(net, x, dynamic)
    return [node.op_type for node in model.graph.node], session(model.SerializeToString())


def pools(nodes):
    return [node for node in nodes if node.endswith("Pool")]


def test_the_standard_nodes():
    """One export of all: every module in order, and each its own node."""
    net, x = Net(*ONNX_NODES.values()), image((2, 3, 9, 9))
    nodes, run = exported(net, x)
    assert pools(nodes) == [name.split()[0] for name in ONNX_NODES]
    assert_same(run(x), net(x))


def test_decomposes_what_onnx_lacks():
    net, x = Net(*ONNX_DECOMPOSED.values()), image((2, 3, 9, 9))
    nodes, run = exported(net, x)
    assert not pools(nodes)
    assert_same(run(x), net(x))


DYNAMIC_NODES = {
    "MaxPool": apt.MaxPool2d(3, 2, 1),
    "MaxPool ceil": apt.MaxPool2d(2, ceil_mode=True),
    "MaxPool indices": apt.MaxPool2d(3, 2, 1, return_indices=True),
    "MaxPool same, kernel < stride": apt.MaxPool2d(2, 3, "same"),
    "MaxPool same, dilated": apt.MaxPool2d(3, 2, "same", 2),
    "MaxPool padding of the kernel's size": apt.MaxPool2d(2, 2, 2, 3),
    "AveragePool same": apt.AvgPool2d(3, 2, "same"),
    "AveragePool ceil": apt.AvgPool2d(3, 2, 1, ceil_mode=True),
    "AveragePool summed": apt.SumPool2d(2, 2, 1, ceil_mode=True),
    "LpPool": apt.LPPool2d(2, 2),
    "GlobalMaxPool": apt.GlobalMaxPool2d(),
    "GlobalAveragePool": apt.AdaptiveAvgPool2d(1),
}


def test_nodes_over_unknown_sizes():
    net = Net(*DYNAMIC_NODES.values())
    nodes, run = exported(net, image((2, 3, 9, 10)), dynamic=True)
    assert pools(nodes) == [name.split()[0] for name in DYNAMIC_NODES]
    for shape in ((2, 3, 9, 10), (1, 3, 12, 7), (3, 3, 8, 11)):
        assert_same(run(image(shape)), net(image(shape)))


def test_accelerated_models_export_as_right_as_torchs():
    """The last row and column of ceil mode vanished where height and width were unknown."""
    model = torch.nn.Sequential(torch.nn.MaxPool2d(2, ceil_mode=True))
    fast, _ = apt.accelerate(model)
    _, run = exported(fast, image((1, 1, 8, 8)), dynamic=True)
    x = image((1, 1, 11, 13))
    assert_same(run(x), [model(x)])


TORCHSCRIPT = (
    apt.MaxPool2d(3, 2, 1, ceil_mode=True),
    apt.SumPool2d(2, 2, 1),
    apt.SumPool2d(3, 2, ceil_mode=True),
    apt.AvgPool2d(2, divisor_override=3),
    apt.AvgPool2d(3, 2, 1, ceil_mode=True),
    apt.AvgPool2d(3, 2, "same"),
    apt.AdaptiveAvgPool2d((3, 5)),
    apt.AdaptiveMaxPool2d(3),
    apt.LPPool2d(3, 2),
    apt.Pool2d("median", 3),
    apt.GlobalAvgPool2d(),
)


@pytest.mark.parametrize("dynamic", [False, True])
def test_torchscripts_exporter(dynamic):
    """It drops divisors, and knows adaptive windows only where they divide what it saw."""
    net = Net(*TORCHSCRIPT).eval()
    run = session(torchscript_onnx_model(net, image((2, 3, 9, 10)), dynamic))
    for shape in ((2, 3, 9, 10), (1, 3, 12, 7)) if dynamic else ((2, 3, 9, 10),):
        assert_same(run(image(shape)), net(image(shape)))


def assert_same(got, expected):
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e.numpy(), rtol=1e-5, atol=1e-6)
