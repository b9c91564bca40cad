"""accelerate and accelerated: what is replaced, what is kept and why, and equal outputs."""

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


def test_quantized_models_keep_theirs():
    quantized = torch.ao.nn.quantized.Quantize(0.1, 0, torch.quint8)
    _, report = apt.accelerate(nn.Sequential(quantized, nn.MaxPool2d(2)))
    assert report.replaced == ()
    assert "quantized" in dict(report.kept)["1"]


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
