"""Modules of regions and descriptors: values, learning, saving, and the ways out of Python."""

import numpy as np
import pytest

import anypool as ap

torch = pytest.importorskip("torch")
apt = pytest.importorskip("anypool.torch")

pytestmark = pytest.mark.filterwarnings("ignore")  # of exporters, about themselves

BOXES = torch.tensor([[0, 1.2, 2.7, 8.1, 9.3], [1, -3.0, -2.0, 5.0, 4.5], [0, 20.0, 20.0, 30.0, 30.0]])
SHAPES = ((2, 8, 9, 12), (3, 8, 9, 12))


class With(torch.nn.Module):
    """A module called with what follows its input: boxes, or a mask of the elements not far below 0."""

    def __init__(self, module, boxes=None):
        super().__init__()
        self.module, self.boxes = module, boxes

    def forward(self, x):
        return self.module(x, x[:, :1] > -0.5 if self.boxes is None else self.boxes)


def modules():
    torch.manual_seed(0)
    return {
        "spatial pyramid": apt.SpatialPyramid(),
        "pyramid pooling": apt.PyramidPooling(),
        "regional maxima": apt.RMAC(),
        "region pool": With(apt.RegionPool(3, 0.5), BOXES),
        "region align": With(apt.RegionAlign(2, 0.5, 2, True), BOXES),
        "attention": With(apt.AttentionPool(8, 2, 1)),
        "gated attention": With(apt.GatedAttentionPool(8, 5, 1)),
        "covariances": With(apt.CovariancePool()),
        "residuals": With(apt.NetVLAD(8, 4, 2.0)),
    }


def image(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def compiled(module, x):
    torch._dynamo.reset()
    return torch.compile(module, backend="aot_eager", fullgraph=True)


def exported(module, x):
    return torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))


def onnx(module, x):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    program = torch.onnx.export(module, (x,), dynamo=True, verbose=False).model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(program, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


WAYS = {
    "compile": compiled,
    "export": lambda module, x: exported(module, x).module(),
    "export, decomposed": lambda module, x: exported(module, x).run_decompositions().module(),
    "jit.trace": torch.jit.trace,
    "fx": lambda module, x: torch.fx.symbolic_trace(module),
    "ONNX": onnx,
}
SAMPLE = [("compile", "residuals"), ("export", "region align"), ("jit.trace", "pyramid pooling"), ("fx", "attention")]


def check(way, name):
    module = modules()[name].eval()
    with torch.no_grad():
        run = WAYS[way](module, image(SHAPES[0]))
        for shape in SHAPES[: 1 if way == "ONNX" else 2]:
            x = image(shape, 1)
            torch.testing.assert_close(run(x), module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("way", "name"), SAMPLE)
def test_a_sample(way, name):
    check(way, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", modules())
@pytest.mark.parametrize("way", WAYS)
def test_all(way, name):
    if (way, name) == ("jit.trace", "regional maxima"):
        with pytest.raises(ValueError, match="rmac needs known lengths"):
            check(way, name)
    else:
        check(way, name)


@pytest.mark.parametrize("name", modules())
def test_modules_train_and_are_saved(name, tmp_path):
    module = modules()[name]
    x = image(SHAPES[0]).requires_grad_(True)
    (module(x) ** 2 * image(module(x).shape, 3)).sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.any()
    assert all(weight.grad is not None and weight.grad.any() for weight in module.parameters())
    torch.save(module, tmp_path / "module.pt")
    again = torch.load(tmp_path / "module.pt", weights_only=False)
    torch.testing.assert_close(again(x), module(x))
    assert "(" in repr(module)


def test_values_are_those_of_the_functions():
    x = image(SHAPES[0])
    torch.testing.assert_close(apt.AttentionPool(8, channel_dim=1)(x), x.mean((2, 3)))  # a query of zeros
    tokens = x.flatten(2).transpose(1, 2)
    mask = torch.arange(108)[None, :, None] < torch.tensor([[50], [108]])[..., None]
    pool = apt.GatedAttentionPool(8)
    torch.testing.assert_close(pool(tokens, mask)[0], pool(tokens[:1, :50])[0])
    centers = np.eye(4, 8, dtype=np.float32)
    vlad = apt.NetVLAD(8, 4, 10.0, centers)
    expected = ap.net_vlad(x, centers, 20 * centers.T, np.full(4, -10, np.float32))
    torch.testing.assert_close(vlad(x), expected)


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("num_features must be a multiple of num_heads", lambda: apt.AttentionPool(8, 3)),
        ("centers must have shape", lambda: apt.NetVLAD(8, 4, centers=np.ones((3, 8)))),
        ("input must have a batch, elements and channels", lambda: apt.CovariancePool()(torch.ones(3, 4))),
        ("input must have a batch", lambda: apt.CovariancePool(channel_dim=0)(torch.ones(2, 3, 4))),
        ("input must be a Tensor", lambda: apt.AttentionPool(4)(np.ones((1, 2, 4), "f4"))),
        ("channel_dim must be an integer", lambda: apt.CovariancePool(channel_dim="last")),
        ("query must have shape", lambda: apt.AttentionPool(8)(torch.ones(1, 2, 4))),
        ("levels must be between 1", lambda: apt.SpatialPyramid(levels=(0, 2))),
        ("output_size must be an integer or a pair", lambda: apt.RegionPool((1, 2, 3))),
    ],
)
def test_wrong_arguments_are_refused(words, make):
    with pytest.raises((TypeError, ValueError), match=words):
        make()
