"""torch.compile, torch.export, make_fx and torch.onnx.export of pooling: one graph, standard nodes, same results."""

import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ap = pytest.importorskip("anypool")
apt = pytest.importorskip("anypool.torch")
library = pytest.importorskip("anypool.adapters.torch.library")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def _forget_compiled():
    torch._dynamo.reset()


def image(*shape, dtype=torch.float32, channels_last=False):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(*shape, generator=generator).to(dtype)
    return x.to(memory_format=torch.channels_last) if channels_last else x


CALLS = {
    "max_pool": lambda x: ap.max_pool(x, 3, 2, 1),
    "max_pool with indices": lambda x: ap.max_pool(x, 3, stride=2, ceil_mode=True, return_indices=True),
    "min_pool dilated": lambda x: ap.min_pool(x, 2, stride=1, dilation=2),
    "avg_pool same": lambda x: ap.avg_pool(x, 3, padding="same"),
    "sum_pool to float64": lambda x: ap.sum_pool(x, 2, dtype=torch.float64),
    "adaptive": lambda x: ap.adaptive_pool(x, "average", (3, 5)),
    "global": lambda x: ap.global_pool(x, "max", axes=(2, 3)),
    "lp": lambda x: ap.pool(x, ap.Lp(3), ap.Sliding(2)),
    "pool": lambda x: ap.pool(x, ap.Average(True), ap.Sliding(3, 2, ((1, 0), (0, 1))), axes=(3, 2)),
    "unpool": lambda x: ap.max_unpool(*ap.max_pool(x, 2, return_indices=True), 2),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_compiles_in_one_graph(call):
    compiled = torch.compile(call, backend="aot_eager", fullgraph=True)
    for x in (image(2, 3, 8, 10), image(2, 3, 8, 10, channels_last=True)):
        for got, expected in zip(leaves(compiled(x)), leaves(call(x)), strict=True):
            torch.testing.assert_close(got, expected)
            assert got.stride() == expected.stride()


@pytest.mark.parametrize("name", ["max_pool", "avg_pool same", "global", "adaptive"])
def test_compiles_for_any_size(name):
    call = CALLS[name]
    graphs = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(call, backend=graphs, fullgraph=True, dynamic=True)
    for shape in ((2, 3, 8, 10), (3, 2, 12, 11), (4, 5, 17, 20)):
        torch.testing.assert_close(compiled(image(*shape)), call(image(*shape)))
    assert graphs.frame_count == 1


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_compiled_gradients(call):
    def loss(x):
        return sum((leaf * leaf).sum() for leaf in leaves(call(x)) if leaf.is_floating_point())

    x = image(2, 3, 8, 10).requires_grad_()
    (expected,) = torch.autograd.grad(loss(x), x)
    (got,) = torch.autograd.grad(torch.compile(loss, backend="aot_eager", fullgraph=True)(x), x)
    torch.testing.assert_close(got, expected)


def test_a_network_compiles_with_inductor():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), apt.MaxPool2d(2), apt.AdaptiveAvgPool2d(1))
    x = image(2, 3, 10, 10)
    torch.testing.assert_close(torch.compile(net, fullgraph=True)(x), net(x))


def test_the_first_call_of_a_process_may_be_a_compiled_one():
    from processes import run_python

    code = (
        "import torch, anypool\n"
        "f = torch.compile(lambda x: anypool.max_pool(x, 2), backend='aot_eager', fullgraph=True)\n"
        "print(f(torch.arange(16.).reshape(1, 4, 4)).tolist())"
    )
    done = run_python("-c", code)
    assert done.stdout.strip() == "[[[5.0, 7.0], [13.0, 15.0]]]", done.stderr


OPERATORS = {"max": ap.Max(), "min": ap.Min(), "average": ap.Average(), "sum": ap.Sum()}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("operator", OPERATORS)
def test_opcheck(operator, channels_last):
    from anypool.adapters.torch.adapter import ADAPTER
    from anypool.pooling import decide

    x = image(2, 3, 7, 8, channels_last=channels_last).requires_grad_()
    spec = library.spec(decide(ADAPTER, x, operator, ap.Sliding(3, 2, 1)))
    if operator in ("max", "min"):
        torch.library.opcheck(library.select, (x, spec))
        offsets = library.select(x, spec)[1]
    else:
        offsets = None
    torch.library.opcheck(library.pool, (x.detach(), spec))
    if offsets is None:
        torch.library.opcheck(library.pool, (x, spec))
    grad = torch.ones(2, 3, 4, 4, requires_grad=True)
    order = (0, 2, 3, 1) if channels_last else ()
    torch.library.opcheck(library.gradient, (grad, offsets, spec, x.shape, x.dtype, order))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_make_fx_sees_operators_and_no_constants(call):
    from torch.fx.experimental.proxy_tensor import make_fx

    traced = make_fx(call)(image(2, 3, 8, 10))
    other = image(2, 3, 8, 10) * -2
    for got, expected in zip(leaves(traced(other)), leaves(call(other)), strict=True):
        torch.testing.assert_close(got, expected)


def test_jit_trace_records_operators():
    traced = torch.jit.trace(lambda x: ap.max_pool(x, 2), image(1, 2, 4, 4), check_trace=False)
    x = image(1, 2, 4, 4) * -1
    torch.testing.assert_close(traced(x), ap.max_pool(x, 2))


def test_tensor_subclasses_and_modes_are_respected():
    class Ours(torch.Tensor):
        pass

    assert type(ap.max_pool(image(2, 4, 4).as_subclass(Ours), 2)) is Ours
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with Watch():
        ap.max_pool(image(2, 4, 4), 2)
    assert "anypool.pool.default" in seen


# ---------------------------------------------------------------------------------------------------------------------
# Export


class Net(torch.nn.Module):
    def __init__(self, *poolings):
        super().__init__()
        self.poolings = torch.nn.ModuleList(poolings)

    def forward(self, x):
        return tuple(leaf for pooling in self.poolings for leaf in leaves(pooling(x)))


NETWORK = (apt.MaxPool2d(3, 2, 1), apt.AvgPool2d(2), apt.MinPool2d(2), apt.LPPool2d(2, 2), apt.GlobalAvgPool2d())


@pytest.mark.parametrize("strict", [False, True])
def test_exported_programs_save_and_load(strict):
    x = image(2, 3, 8, 8)
    net = Net(*NETWORK, apt.MaxPool2d(2, return_indices=True)).eval()
    height = torch.export.Dim("height", min=4, max=64)
    program = torch.export.export(net, (x,), strict=strict, dynamic_shapes=({2: height},))
    assert "anypool.pool" in str(program.graph)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for size in (8, 14):
        x = image(2, 3, size, 8)
        for got, expected in zip(loaded(x), net(x), strict=True):
            torch.testing.assert_close(got, expected)


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
    "LpPool": apt.LPPool2d(3, 2, padding=1),
}
ONNX_DECOMPOSED = {
    "adaptive with uneven windows": apt.AdaptiveAvgPool2d((4, 5)),
    "adaptive max": apt.AdaptiveMaxPool2d(4),
    "fractional norm": apt.LPPool2d(2.5, 2),
    "counted padding with overhang": apt.AvgPool2d(3, 3, 1, ceil_mode=True),
}


def onnx_results(net, x, dynamic_shapes=None):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    program = torch.onnx.export(net, (x,), dynamo=True, verbose=False, dynamic_shapes=dynamic_shapes)
    model = program.model_proto
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(x):
        return session.run(None, {session.get_inputs()[0].name: x.numpy()})

    return [node.op_type for node in model.graph.node], run


def test_onnx_has_the_standard_nodes():
    """One export of all: every module in order, and each its own node."""
    net, x = Net(*ONNX_NODES.values()), image(2, 3, 9, 9)
    nodes, run = onnx_results(net, x)
    wanted = [name.split()[0] for name in ONNX_NODES]
    assert [node for node in nodes if node.endswith("Pool")] == wanted
    assert_same(run(x), net(x))


def test_onnx_decomposes_what_it_lacks():
    net, x = Net(*ONNX_DECOMPOSED.values()), image(2, 3, 9, 9)
    nodes, run = onnx_results(net, x)
    assert not [node for node in nodes if node.endswith("Pool")]
    assert_same(run(x), net(x))


def test_onnx_with_unknown_sizes():
    net = Net(apt.MaxPool2d(3, 2, 1), apt.AvgPool2d(3, 2, "same"), apt.LPPool2d(2, 2), apt.GlobalAvgPool2d())
    sizes = ({0: torch.export.Dim("n"), 2: torch.export.Dim("h", min=4), 3: torch.export.Dim("w", min=4)},)
    nodes, run = onnx_results(net, image(2, 3, 9, 10), sizes)
    wanted = ["MaxPool", "AveragePool", "LpPool", "GlobalAveragePool"]
    assert [node for node in nodes if node.endswith("Pool")] == wanted
    for shape in ((1, 3, 12, 7), (3, 3, 8, 8)):
        assert_same(run(image(*shape)), net(image(*shape)))


def assert_same(got, expected):
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e.numpy(), rtol=1e-5, atol=1e-6)


def leaves(result):
    return result if isinstance(result, tuple) else (result,)
