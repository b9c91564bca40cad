"""Every way in which a torch program leaves Python gives what the eager one gives, at the size it saw and at others."""

import pytest

torch = pytest.importorskip("torch")
ways_out = pytest.importorskip("torch_ways_out")

from torch_ways_out import FORMS, SIZES, WAYS, Case, cases, failures  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of exporters, about themselves

SAMPLE = [
    Case("max", "padded, ceil mode", 2, "function"),
    Case("max with indices", "padded", 2, "layer"),
    Case("min", "same, kernel < stride", 2, "layer"),
    Case("sum", "asymmetric, ceil mode", 2, "function"),
    Case("average", "same", 2, "layer"),
    Case("average with padding", "ceil mode", 2, "layer"),
    Case("average by divisor", "padded, ceil mode", 2, "function"),
    Case("average", "adaptive", 2, "layer"),
    Case("lp", "same, dilated", 2, "layer"),
    Case("gem", "padding ≥ kernel", 2, "layer"),
    Case("median", "dilated", 2, "function"),
    Case("variance", "global", 2, "layer"),
    Case("max", "padded", 2, "masked layer"),
    Case("average", "adaptive", 2, "masked layer"),
    Case("gem", "global", 2, "masked layer"),
    Case("median", "same", 2, "masked layer"),
    Case("max", "reflect, ceil mode", 2, "layer"),
    Case("median", "circular, same", 2, "function"),
    Case("average with padding", "zeros", 2, "function"),
    Case("average", "zeros, same", 2, "layer"),
    Case("max", "reflect, same lower", 2, "layer"),
]


SLOW = {
    "ONNX, dynamic": SAMPLE[::2],
    "compile": SAMPLE[::3],
    "compile, dynamic": SAMPLE[1::3],
    "export, decomposed": SAMPLE[2::3],
}
"""Of ways that take seconds for each."""


def wrong(way, chosen):
    if way.startswith("ONNX"):
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    return [f"{case}: {why}" for case, why in failures(way, chosen)]


@pytest.mark.parametrize("way", WAYS)
def test_a_sample(way):
    assert not wrong(way, SLOW.get(way, SAMPLE))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rank", SIZES)
@pytest.mark.parametrize("window", ways_out.WINDOWS)
@pytest.mark.parametrize("way", WAYS)
def test_all(way, window, rank, form, record_property):
    chosen = cases(rank, form, [window])
    failed = wrong(way, chosen)
    for case in chosen:
        record_property(case.operator, next((each for each in failed if each.startswith(f"{case}: ")), "right"))
    assert not failed


@pytest.mark.slow
def test_compiled_ahead_of_time(tmp_path):
    """By AOTInductor, which knows torch's operators only: a minute of C++."""
    shape, other = SIZES[2]
    net, x = ways_out.Net(*SAMPLE).eval(), ways_out.image(shape)
    dynamic = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    with torch.no_grad():
        program = torch.export.export(net, (x,), dynamic_shapes=(dynamic,)).run_decompositions()
        package = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
        run = torch._inductor.aoti_load_package(package)
    for size in (shape, (other[0], shape[1], *other[2:])):
        x = ways_out.image(size, seed=4)
        for got, (case, right) in zip(ways_out.leaves(run(x)), net.named_results(x), strict=True):
            assert not ways_out.difference(got.detach(), right.detach(), 1e-5), f"{case} at {size}"


def test_a_wrong_program_is_found(monkeypatch):
    way = ways_out.Way(lambda net, x: lambda x: [each + 1 for each in net(x)])
    monkeypatch.setitem(WAYS, "wrong", way)
    assert {case for case, _ in failures("wrong", SAMPLE[:2])} == set(SAMPLE[:2])
