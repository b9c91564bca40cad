"""torch.compile, torch.export, make_fx, torch.jit.trace and torch.fx of pooling: one graph, any size, same results."""

import io

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
    from torch._dynamo.testing import CompileCounterWithBackend

    graphs = CompileCounterWithBackend("aot_eager")
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


def graphs_of(model, x, dynamic=False):
    """The operators of the programs that Inductor would get, forward and backward."""
    import torch._inductor.lowering  # which the decompositions ask
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd
    from torch._inductor.decomposition import select_decomp_table

    found = []

    def keep(graph, _):
        found.append([str(node.target) for node in graph.graph.nodes if node.op == "call_function"])
        return make_boxed_func(graph.forward)

    torch._dynamo.reset()
    backend = aot_autograd(fw_compiler=keep, bw_compiler=keep, decompositions=select_decomp_table())
    torch.compile(model, backend=backend, fullgraph=True, dynamic=dynamic)(x).sum().backward()
    return found


def test_inductor_gets_the_same_program_as_of_torchs_modules():
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)
    )
    fast, _ = apt.accelerate(model)
    assert graphs_of(fast, image(2, 3, 16, 16)) == graphs_of(model, image(2, 3, 16, 16))


def test_inductor_gets_kernels_for_windows_that_it_does_not_fuse():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), apt.MaxPool2d(9, 1, 4))
    forward, backward = graphs_of(model, image(2, 3, 16, 16))
    assert "anypool.select.default" in forward
    assert "anypool.gradient.default" in backward
    assert torch.Tag.flexible_layout in torch.ops.anypool.select.default.tags


def test_ceil_mode_asks_nothing_of_unknown_lengths():
    """Else the guards of a network multiply, and compiling it takes minutes."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    lengths = ShapeEnv()
    x = FakeTensorMode(shape_env=lengths).from_tensor(image(1, 2, 33, 35))
    pooled = ap.max_pool(ap.max_pool(x, 3, 2, ceil_mode=True), 3, 2, ceil_mode=True)
    assert "//" in str(pooled.shape[2])
    # That an output is not empty, torch itself asks of every new tensor.
    assert not [guard for guard in lengths.guards if not str(guard.expr).endswith(", 0)")]


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


def test_jit_trace_records_torchs_operators_and_no_sizes():
    traced = torch.jit.trace(lambda x: ap.max_pool(x, 3, 2, 1, ceil_mode=True), image(1, 2, 4, 4))
    assert [node.kind() for node in traced.graph.nodes() if "pool" in node.kind()] == ["aten::max_pool2d"]
    for shape in ((1, 2, 4, 4), (2, 3, 9, 6)):
        torch.testing.assert_close(traced(image(*shape)), ap.max_pool(image(*shape), 3, 2, 1, ceil_mode=True))


def test_no_trace_gets_what_another_one_decided():
    for shape in ((1, 2, 4, 4), (1, 2, 6, 6)):
        traced = torch.jit.trace(lambda x: ap.avg_pool(x, 3, 2, "same"), image(*shape))
        torch.testing.assert_close(traced(image(1, 2, 7, 5)), ap.avg_pool(image(1, 2, 7, 5), 3, 2, "same"))


class Branches(torch.nn.Module):
    """A model with pooling in modules and functions, whose values and indices are unpacked."""

    def __init__(self):
        super().__init__()
        self.pool = apt.MaxPool2d(2, return_indices=True)
        self.gem = apt.Pool2d("gem", 2)

    def forward(self, x):
        values, indices = self.pool(x)
        return ap.avg_pool(self.gem(x.relu()) + values, 2, padding="same"), indices


def test_torch_fx_records_calls_that_are_copied_saved_and_retraced():
    import copy

    model, x = Branches(), image(2, 3, 8, 8)
    traced = torch.fx.symbolic_trace(model)
    again = torch.fx.symbolic_trace(copy.deepcopy(traced))
    file = io.BytesIO()
    torch.save(traced, file)
    file.seek(0)
    for each in (traced, again, torch.load(file, weights_only=False)):
        for got, expected in zip(each(x), model(x), strict=True):
            torch.testing.assert_close(got, expected)


def test_torch_fx_records_sizes_that_are_computed():
    def pool(x):
        return ap.max_pool(x, x.shape[-1] // 2)

    for shape in ((1, 2, 4, 4), (1, 2, 6, 8)):
        x = image(*shape)
        torch.testing.assert_close(torch.fx.symbolic_trace(pool)(x), pool(x))


def test_selective_checkpointing():
    from functools import partial

    from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

    def policy(context, operator, *args, **kwargs):
        return CheckpointPolicy.MUST_SAVE if "anypool" in str(operator) else CheckpointPolicy.PREFER_RECOMPUTE

    def block(x):
        return ap.min_pool(ap.max_pool(x.sin(), 3, 2, 1).cos(), 2) + ap.avg_pool(x, 4)

    x = image(2, 3, 8, 8).requires_grad_()
    contexts = partial(create_selective_checkpoint_contexts, policy)
    (got,) = torch.autograd.grad(checkpoint(block, x, use_reentrant=False, context_fn=contexts).sum(), x)
    (expected,) = torch.autograd.grad(block(x).sum(), x)
    torch.testing.assert_close(got, expected)


def test_tensors_split_over_devices():
    """DTensor: batch and channels stay split, pooled axes are gathered. In a process of its own, as the group is."""
    from processes import run_python

    done = run_python("-c", SHARDED)
    assert done.stdout.strip() == "same", done.stderr


SHARDED = """
import torch, anypool as ap
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.distributed.tensor import DTensor, Replicate, Shard, init_device_mesh

torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
mesh = init_device_mesh("cpu", (2,))
for operator in ("max", "min", "sum", "average"):
    for axis in (0, 1, 2):
        part = torch.randn(4, 6, 8, 10).chunk(2, axis)[0].clone().requires_grad_()
        split = DTensor.from_local(part, mesh, [Shard(axis)])
        pooled = ap.pool(split, operator, ap.Sliding(3, 2, 1))
        assert pooled.shape == (4, 6, 4, 5), pooled.shape
        assert pooled.placements == ((Shard(axis),) if axis < 2 else (Replicate(),)), pooled.placements
        if axis < 2:
            expected = ap.pool(part, operator, ap.Sliding(3, 2, 1))
            torch.testing.assert_close(pooled.to_local(), expected)
            gradients = [torch.autograd.grad(each.sum(), part)[0] for each in (pooled.to_local(), expected)]
            torch.testing.assert_close(*gradients)
print("same")
"""


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
    assert "anypool.pooling" in str(program.graph)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for size in (8, 14):
        x = image(2, 3, size, 8)
        for got, expected in zip(loaded(x), net(x), strict=True):
            torch.testing.assert_close(got, expected)


def test_decomposed_programs_are_torchs_alone():
    x = image(2, 3, 8, 8)
    net = Net(*NETWORK, apt.MaxPool2d(2, return_indices=True), apt.AvgPool2d(7, 1, 3), apt.Pool2d("median", 3)).eval()
    program = torch.export.export(net, (x,), dynamic_shapes=({2: torch.export.Dim("height", min=8)},))
    decomposed = program.run_decompositions()
    targets = {str(node.target) for node in decomposed.graph.nodes}
    assert "aten.max_pool2d_with_indices.default" in targets
    assert not any("anypool" in each for each in targets)
    for x in (image(2, 3, 8, 8), image(2, 3, 13, 8)):
        for got, expected in zip(decomposed.module()(x), net(x), strict=True):
            torch.testing.assert_close(got, expected)


def test_exported_programs_differentiate_and_compile():
    x = image(2, 3, 8, 8).requires_grad_()
    net = Net(apt.MaxPool2d(3, 2, 1), apt.AvgPool2d(2))
    program = torch.export.export(net, (x,)).module()
    for run in (program, torch.compile(program, backend="aot_eager")):
        (got,) = torch.autograd.grad(sum(leaf.sum() for leaf in run(x)), x)
        (expected,) = torch.autograd.grad(sum(leaf.sum() for leaf in net(x)), x)
        torch.testing.assert_close(got, expected)


def test_openvino_converts_exported_programs():
    openvino = pytest.importorskip("openvino")
    net, x = Net(apt.MaxPool2d(3, 2, 1), apt.AvgPool2d(2), apt.MinPool2d(3, ceil_mode=True)), image(2, 3, 8, 8)
    model = openvino.compile_model(openvino.convert_model(torch.export.export(net, (x,)).run_decompositions()), "CPU")
    for got, expected in zip(model([x.numpy()]).values(), net(x), strict=True):
        torch.testing.assert_close(torch.from_numpy(got), expected)


def leaves(result):
    return result if isinstance(result, tuple) else (result,)
