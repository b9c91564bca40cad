"""accelerate and accelerated: what is replaced, what is kept and why, and equal outputs."""

import copy
import threading
import warnings

import pytest

torch = pytest.importorskip("torch")
apt = pytest.importorskip("anypool.torch")
pooling = pytest.importorskip("anypool.torch.pooling")
nn, F = torch.nn, torch.nn.functional


def network():
    torch.manual_seed(1)
    shared = nn.MaxPool2d(2)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        shared,
        nn.Sequential(nn.AvgPool2d(3, 1, 1, ceil_mode=True), shared),
        nn.LPPool2d(2, 2),
        nn.AdaptiveMaxPool2d(3),
        nn.AdaptiveAvgPool2d(2),
    )


def image():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))


class Mine(nn.MaxPool2d):
    def forward(self, x):
        return super().forward(x) + 1


class Noted(nn.Module):
    """Holds what a model may hold: an attribute that is another's module, a plain tensor."""

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.alias = [self.pool]
        self.offset = torch.ones(1, requires_grad=True) * 2

    def forward(self, x):
        return self.alias[0](x) + self.offset


def test_a_copy_that_shares_parameters():
    model, x = network().eval(), image()
    calls = []
    model[3].register_forward_hook(lambda *_: calls.append("hook"))
    faster, report = apt.accelerate(model)
    assert report.replaced == ("3", "4.0", "5", "6", "7")
    assert report.kept == ()
    torch.testing.assert_close(faster(x), model(x))
    assert calls == ["hook"] * 4
    assert type(model[3]) is nn.MaxPool2d
    assert type(faster[3]) is apt.MaxPool2d
    assert faster[3] is faster[4][1]
    assert not faster.training
    assert faster[5].signed
    for ours, theirs in zip(faster.parameters(), model.parameters(), strict=True):
        assert ours is theirs
    for ours, theirs in zip(faster.buffers(), model.buffers(), strict=True):
        assert ours is theirs
    assert list(faster.state_dict()) == list(model.state_dict())


def test_training_steps_are_the_same():
    x, losses = image(), []
    for change in (lambda model: model, lambda model: apt.accelerate(model, inplace=True)[0]):
        model = change(network())
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(3):
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_in_place_the_modules_stay_the_objects_they_are():
    model = network()
    before = list(model.modules())
    same, report = apt.accelerate(model, inplace=True)
    assert same is model
    assert list(model.modules()) == before
    assert isinstance(model[3], apt.MaxPool2d)
    assert len(report.replaced) == 5
    again, report = apt.accelerate(model)
    assert report.replaced == report.kept == ()
    torch.testing.assert_close(again(image()), model(image()))


def test_a_model_may_be_a_pooling_itself():
    faster, report = apt.accelerate(nn.MaxPool2d(2))
    assert type(faster) is apt.MaxPool2d
    assert report.replaced == ("(the model itself)",)


def test_attributes_beside_the_modules_are_kept():
    model, x = Noted(), image()
    faster, report = apt.accelerate(model)
    assert report.replaced == ("pool",)
    assert faster.alias[0] is faster.pool
    torch.testing.assert_close(faster(x), model(x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_kept_and_why():
    patched, broken = nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(0)
    patched.forward = lambda x: x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.MaxPool2d(2))
    modules = {
        "subclass": Mine(2),
        "patched": patched,
        "broken": broken,
        "scripted": scripted,
        "fractional": nn.FractionalMaxPool2d(2, output_size=2),
        "unpooling": nn.MaxUnpool2d(2),
        "served": nn.MaxPool3d(2),
    }
    _, report = apt.accelerate(nn.ModuleDict(modules))
    assert report.replaced == ("served",)
    reasons = dict(report.kept)
    assert set(reasons) == set(modules) - {"served"}
    for name, words in {
        "subclass": "subclass",
        "patched": "forward was replaced",
        "broken": "output_size must be between 1",
        "scripted": "scripted",
        "fractional": "fractional",
        "unpooling": "unpooling",
    }.items():
        assert words in reasons[name]
        assert name in str(report)


POOLS = {
    "MaxPool1d": nn.MaxPool1d(2),
    "MaxPool2d": nn.MaxPool2d(3, 2, 1),
    "AvgPool2d": nn.AvgPool2d(2),
    "AvgPool3d": nn.AvgPool3d(2),
    "AdaptiveAvgPool2d": nn.AdaptiveAvgPool2d((2, None)),
    "AdaptiveAvgPool3d": nn.AdaptiveAvgPool3d(2),
    "AdaptiveMaxPool2d": nn.AdaptiveMaxPool2d(2),
    "LPPool2d": nn.LPPool2d(2, 2),
}


def outcome(call, x):
    try:
        return call(x)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_what_only_torch_pools_goes_to_torch(name):
    """Quantized, mkldnn and complex tensors: the same results, and the same refusals."""
    pool, x = POOLS[name], torch.rand(2, 3, *(8,) * int(name[-2]))
    inputs = {
        "quint8": torch.quantize_per_tensor(x, 0.1, 3, torch.quint8),
        "qint8": torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
        "mkldnn": x.to_mkldnn(),
        "complex": x.to(torch.complex64),
    }
    faster, report = apt.accelerate(pool)
    assert report.replaced
    for kind, given in inputs.items():
        expected, got = outcome(pool, given), outcome(faster, given)
        assert isinstance(got, type) == isinstance(expected, type), kind
        if not isinstance(expected, type):
            assert (got.dtype, got.layout) == (expected.dtype, expected.layout), kind
            dense = [y.dequantize() if y.is_quantized else y.to_dense() if y.is_mkldnn else y for y in (got, expected)]
            torch.testing.assert_close(*dense)


class Quantizable(nn.Module):
    def __init__(self):
        super().__init__()
        self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.conv, self.relu, self.pool = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2)
        self.average, self.last = nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(8, 4)

    def forward(self, x):
        x = self.pool(self.relu(self.conv(self.quant(x))))
        return self.dequant(self.linear(self.last(self.average(x)).flatten(1)))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("when", ["before prepare", "before convert", "after convert"])
def test_quantized_models(when):
    model, x = Quantizable().eval(), image()
    model.qconfig = torch.ao.quantization.get_default_qconfig("onednn")
    outputs = []
    for change in (False, True):
        steps = apt.accelerate(model, share_parameters=False)[0] if change and when == "before prepare" else model
        steps = torch.ao.quantization.prepare(steps)
        steps(x)
        steps = apt.accelerate(steps, share_parameters=False)[0] if change and when == "before convert" else steps
        steps = torch.ao.quantization.convert(steps)
        steps = apt.accelerate(steps, share_parameters=False)[0] if change and when == "after convert" else steps
        assert isinstance(steps.pool, apt.MaxPool2d) == change
        outputs.append(steps(x))
    torch.testing.assert_close(*outputs)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_models_quantized_by_fx():
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    model, x = network().eval(), image()
    kinds = torch.ao.quantization.get_default_qconfig_mapping("onednn")
    outputs = []
    for each in (model, apt.accelerate(model)[0]):
        prepared = prepare_fx(copy.deepcopy(each), kinds, (x,))
        prepared(x)
        outputs.append(convert_fx(prepared)(x))
    torch.testing.assert_close(*outputs, rtol=0.02, atol=0.02)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_dynamically_quantized_models_are_replaced_in():
    model = torch.ao.quantization.quantize_dynamic(
        nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3 * 16 * 16, 4)), {nn.Linear}
    )
    faster, report = apt.accelerate(model)
    assert report.replaced == ("0",)
    torch.testing.assert_close(faster(image()), model(image()))


def test_a_copy_without_the_models_parameters():
    model, x = network().eval(), image()
    shared, apart = apt.accelerate(model)[0], apt.accelerate(model, share_parameters=False)[0]
    expected = model(x)
    apart.to(torch.float64)
    torch.testing.assert_close(model(x), expected)
    torch.testing.assert_close(apart(x.double()).float(), expected)
    assert shared[0].weight is model[0].weight
    assert apart[0].weight is not model[0].weight
    with pytest.raises(ValueError, match="share_parameters=False is for copies"):
        apt.accelerate(model, inplace=True, share_parameters=False)
    with pytest.raises(TypeError, match="share_parameters must be True or False"):
        apt.accelerate(model, share_parameters=0)


def test_a_patched_class_is_noticed(monkeypatch):
    plain = nn.MaxPool2d.forward
    monkeypatch.setattr(nn.MaxPool2d, "forward", lambda self, x: plain(self, x) + 1)
    _, report = apt.accelerate(nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2)))
    assert report.replaced == ("1",)
    assert "forward was replaced" in dict(report.kept)["0"]


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.MaxPool2d(2, return_indices=1), "return_indices must be True or False"),
        (nn.MaxPool2d(2, ceil_mode=1), "ceil_mode must be True or False"),
        (nn.AvgPool2d(2, count_include_pad=1), "count_include_pad must be True or False"),
        (nn.AvgPool2d(2, divisor_override=2.0), "divisor_override must be an integer"),
        (nn.MaxPool2d(2, padding=5), "at most half"),
        (nn.AvgPool3d(2, padding=5), "at most half"),
        (nn.MaxPool2d(2, stride=0), "stride must be between 1"),
        (nn.MaxPool2d(2, stride=(None, 2)), "stride must be an integer"),
        (nn.LPPool2d(2, (2,)), "not enough values to unpack"),
        (nn.AdaptiveAvgPool2d((2,)), "pools 2 axes"),
    ],
    ids=repr,
)
def test_what_is_replaced_was_tried(module, words):
    model = nn.Sequential(module)
    faster, report = apt.accelerate(model)
    assert report.replaced == ()
    assert words in dict(report.kept)["0"]
    assert type(faster[0]) is type(module)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_compiled_programs_choose_torchs_operators_alike():
    x = torch.arange(64).reshape(1, 1, 8, 8)
    module = apt.AvgPool2d(2)
    assert torch.equal(torch.compile(module, backend="aot_eager", fullgraph=True)(x), nn.AvgPool2d(2)(x))
    with apt.accelerated():
        compiled = torch.compile(lambda x: F.max_pool2d(x, 3, 2, 1), backend="aot_eager", fullgraph=True)
        assert torch.equal(compiled(x.float()), F.max_pool2d(x.float(), 3, 2, 1))


def test_integers_average_as_before():
    x = torch.arange(-30, 42).reshape(1, 2, 6, 6)
    for module in (nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2, divisor_override=3)):
        for given in (x, x[0]):
            assert torch.equal(apt.accelerate(module)[0](given), module(given))
    assert apt.AvgPool2d(2)(x.to(torch.int32)).dtype is torch.float32  # which torch refuses


def test_a_model_that_cannot_be_copied():
    model = nn.Sequential(nn.MaxPool2d(2))
    model.lock = threading.Lock()
    with pytest.raises(TypeError, match="inplace=True"):
        apt.accelerate(model)
    assert apt.accelerate(model, inplace=True)[1].replaced == ("0",)


@pytest.mark.parametrize("argument", [None, 3, torch.ones(2)])
def test_bad_models_are_refused(argument):
    with pytest.raises(TypeError, match="model must be"):
        apt.accelerate(argument)


# ---------------------------------------------------------------------------------------------------------------------
# accelerated

CALLS = {
    "F.max_pool1d": lambda x: F.max_pool1d(x[0], 2),
    "F.max_pool2d": lambda x: F.max_pool2d(x, 3, 2, 1),
    "F.max_pool2d by names": lambda x: F.max_pool2d(input=x, kernel_size=2, ceil_mode=True),
    "F.max_pool2d with indices": lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True),
    "F.max_pool3d": lambda x: F.max_pool3d(x, (1, 2, 2)),
    "torch.max_pool1d": lambda x: torch.max_pool1d(x[0], 2),
    "torch.max_pool1d_with_indices": lambda x: torch.max_pool1d_with_indices(x[0], 2),
    "torch.max_pool2d": lambda x: torch.max_pool2d(x, 2),
    "F.avg_pool1d": lambda x: F.avg_pool1d(x[0], 2),
    "F.avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1, False, False),
    "F.avg_pool3d": lambda x: F.avg_pool3d(x, 2, divisor_override=3),
    "F.lp_pool1d": lambda x: F.lp_pool1d(x[0], 2, 2),
    "F.lp_pool2d": lambda x: F.lp_pool2d(x, 2, 2),
    "F.adaptive_max_pool1d": lambda x: F.adaptive_max_pool1d(x[0], 3),
    "F.adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, (5, None)),
    "F.adaptive_max_pool2d with indices": lambda x: F.adaptive_max_pool2d(x, 5, return_indices=True),
    "torch.adaptive_max_pool1d": lambda x: torch.adaptive_max_pool1d(x[0], 3),
    "F.adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x[0], 3),
    "F.adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 5),
    "F.adaptive_avg_pool3d": lambda x: F.adaptive_avg_pool3d(x, 2),
    "nn.MaxPool2d": lambda x: nn.MaxPool2d(2)(x),
}


@pytest.fixture
def counted(monkeypatch):
    calls, pool = [], pooling.pool
    monkeypatch.setattr(pooling, "pool", lambda *arguments: calls.append(1) or pool(*arguments))
    return calls


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_calls_of_torchs_functions_are_caught(call, counted):
    x = image().requires_grad_()
    expected = call(x)
    assert not counted
    with apt.accelerated():
        got = call(x)
    assert counted == [1]
    torch.testing.assert_close(got, expected)
    values = [result[0] if isinstance(result, tuple) else result for result in (got, expected)]
    torch.testing.assert_close(*(torch.autograd.grad(value.sum(), x)[0] for value in values))


def test_nested_after_errors_and_in_other_threads(counted):
    x = image()
    with apt.accelerated(), apt.accelerated():
        F.max_pool2d(x, 2)
        thread = threading.Thread(target=lambda: F.max_pool2d(x, 2))
        thread.start()
        thread.join()
    assert counted == [1]
    with pytest.raises(RuntimeError), apt.accelerated():
        F.max_pool2d(x, 99)
    counted.clear()
    F.max_pool2d(x, 2)
    assert counted == []


def test_what_anypool_does_not_pool_goes_to_torch(counted):
    with apt.accelerated():
        assert F.max_pool2d(torch.arange(16).reshape(1, 4, 4), 2).tolist() == [[[5, 7], [13, 15]]]
        assert F.max_pool2d(torch.ones(1, 4, 4, device="meta"), 2).is_meta
        assert F.relu(torch.tensor([-1.0])).item() == 0
    assert counted == []
    with apt.accelerated():
        assert F.adaptive_avg_pool2d(torch.ones(1, 4, 4), 0).shape == (1, 0, 0)
