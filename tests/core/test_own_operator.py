"""A user's own operator, as ARCHITECTURE's recipe writes it: it works wherever anypool's own do."""

import pickle

import numpy as np
import pytest
from adapters import DIFFERENTIABLE, EVERY_ADAPTER
from own_operator import Contrast, FarthestFromZero

import anypool as ap
from anypool.saving import from_config, to_config

X = np.random.default_rng(0).permutation(2 * 3 * 6 * 7).reshape(2, 3, 6, 7).astype(np.float32)
GAIN = np.array([0.5, 1.0, 2.0], np.float32).reshape(3, 1, 1)
WINDOWS = [
    ap.Sliding(2),
    ap.Sliding(3, 2, 1, ceil_mode=True),
    ap.Sliding(2, padding="same"),
    ap.Adaptive((4, 3)),
    ap.Global(),
]


def expected(window, gain=1.0):
    return gain * (ap.pool(X, "max", window, (2, 3)) - ap.pool(X, "min", window, (2, 3)))


def expected_gradient(window, adapter):
    """Of x, for an upstream of ones and one gain per channel."""
    found = []
    for name, sign in (("max", 1), ("min", -1)):
        y, indices = ap.pool(X, name, window, (2, 3), return_indices=True)
        grad = np.zeros((2, 3, 42))
        for place in np.ndindex(y.shape):
            grad[place[0], place[1], indices[place]] += sign * GAIN[place[1], 0, 0]
        found.append(grad.reshape(X.shape))
    return sum(found)


@EVERY_ADAPTER
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_on_every_array_by_every_implementation(adapter, window):
    x, gain = adapter.make(X), adapter.make(GAIN)
    for impl in ("auto", "definition"):
        for operator, wanted in ((Contrast(), expected(window)), (Contrast(gain), expected(window, GAIN))):
            got = ap.pool(x, operator, window, (2, 3), impl=impl)
            np.testing.assert_allclose(adapter.numpy(got), wanted, rtol=1e-6)


@EVERY_ADAPTER
def test_a_subclass_is_not_taken_for_its_base(adapter):
    """Nothing made for a maximum runs what inherits from it and reduces otherwise, with a mask or without."""
    x, where = -np.abs(X), X > 0
    for window in (ap.Sliding(3, 2, 1), ap.Global()):
        got = ap.pool(adapter.make(x), FarthestFromZero(), window, (2, 3))
        np.testing.assert_array_equal(adapter.numpy(got), ap.pool(np.abs(x), "max", window, (2, 3)))
        got = ap.pool(adapter.make(x), FarthestFromZero(), window, (2, 3), where=adapter.make(where), fill_value=-1)
        np.testing.assert_array_equal(
            adapter.numpy(got), ap.pool(np.abs(x), "max", window, (2, 3), where=where, fill_value=-1)
        )


@DIFFERENTIABLE
def test_gradients_of_x(adapter):
    for window in WINDOWS:
        gain = adapter.make(GAIN)
        upstream = np.ones(expected(window).shape, np.float32)
        got = adapter.gradient(lambda x, w=window, g=gain: ap.pool(x, Contrast(g), w, (2, 3)), X, upstream)
        np.testing.assert_allclose(got, expected_gradient(window, adapter), rtol=1e-6)


@DIFFERENTIABLE
def test_gradients_of_the_parameter(adapter):
    x, window = adapter.make(X), ap.Sliding(2)
    upstream = np.ones(expected(window).shape, np.float32)
    got = adapter.gradient(lambda gain: ap.pool(x, Contrast(gain), window), GAIN, upstream)
    np.testing.assert_allclose(got, expected(window).sum((0, 2, 3)).reshape(3, 1, 1), rtol=1e-5)


def test_per_channel_parameters_broadcast_against_any_axes():
    last = np.ascontiguousarray(np.moveaxis(X, 1, -1))
    for impl in ("auto", "definition"):
        got = ap.pool(last, Contrast(GAIN.ravel()), ap.Sliding(2), (1, 2), impl=impl)
        np.testing.assert_allclose(np.moveaxis(got, -1, 1), expected(ap.Sliding(2), GAIN), rtol=1e-6)


@pytest.mark.parametrize("shape", [(2,), (3, 6, 1), (1, 1, 2, 3, 1, 1)])
def test_parameters_that_do_not_broadcast_are_refused(shape):
    with pytest.raises(ValueError, match="a parameter of Contrast must broadcast against x"):
        ap.pool(X, Contrast(np.ones(shape, np.float32)), ap.Sliding(2))


@pytest.mark.parametrize(("gain", "error"), [(-1, ValueError), (11, ValueError), ("2", TypeError), (True, TypeError)])
def test_parameters_out_of_bounds_are_refused(gain, error):
    with pytest.raises(error, match="gain must be"):
        Contrast(gain)


def test_no_cache_keeps_an_array_alive():
    torch = pytest.importorskip("torch")
    import gc
    import weakref

    gain = torch.ones(3, 1, 1, requires_grad=True)
    alive = weakref.ref(gain)
    ap.pool(torch.from_numpy(X), Contrast(gain), ap.Sliding(2))
    del gain
    gc.collect()
    assert alive() is None


def test_a_name_and_text():
    with pytest.raises(ValueError, match="operator must be a name"):
        ap.operator_for("contrast")
    try:
        assert ap.register_operator(Contrast) is Contrast
        assert ap.operator_for("contrast:gain=2") == Contrast(2)
        np.testing.assert_allclose(ap.pool(X, "contrast:gain=2", ap.Sliding(2)), expected(ap.Sliding(2), 2))
        assert to_config(Contrast(3)) == {"operator": "contrast", "gain": 3}
    finally:
        del ap.OPERATORS["contrast"]


def test_pickles_and_configurations():
    assert pickle.loads(pickle.dumps(Contrast(2))) == Contrast(2)
    config = to_config(Contrast(2))
    assert config == {"operator": "own_operator:Contrast", "gain": 2}
    assert from_config(config) == Contrast(2)


# ---------------------------------------------------------------------------------------------------------------------
# In torch


@pytest.fixture
def modules():
    """A module with a gain per channel, and its input."""
    torch = pytest.importorskip("torch")
    apt = pytest.importorskip("anypool.torch")
    module = apt.Pool2d(Contrast(1.0), 3, stride=2, padding=1, channels=3)
    with torch.no_grad():
        module.gain.copy_(torch.from_numpy(GAIN.ravel()))
    return torch, module, torch.from_numpy(X)


WINDOW = ap.Sliding(3, 2, 1)


def test_a_torch_module_learns(modules):
    torch, module, x = modules
    y = module(x)
    np.testing.assert_allclose(y.detach(), expected(WINDOW, GAIN), rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(module.gain.grad, expected(WINDOW).sum((0, 2, 3)), rtol=1e-5)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-4)
    optimizer.step()
    assert module(x).sum() < y.sum()


def test_a_torch_module_keeps_its_bounds(modules):
    torch, module, x = modules
    with torch.no_grad():
        module.gain.fill_(-3)
    y = module(x)
    assert (y == 0).all()
    y.sum().backward()
    assert (module.gain.grad > 0).all()  # not stuck: the gradient goes on


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_torch_module_compiles_and_exports_at_any_size(modules, tmp_path):
    torch, module, x = modules
    module.eval()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True, dynamic=True)
    program = torch.export.export(
        module, (x,), dynamic_shapes=({2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},)
    )
    torch.export.save(program, tmp_path / "program.pt2")
    loaded = torch.export.load(tmp_path / "program.pt2").module()
    for image in (x, torch.cat([x, x.flip(0)], 2)[..., 1:]):
        for other in (compiled, program.module(), loaded):
            torch.testing.assert_close(other(image), module(image))
    compiled(x).sum().backward()
    np.testing.assert_allclose(module.gain.grad, expected(WINDOW).sum((0, 2, 3)), rtol=1e-5)


def test_a_torch_module_is_saved_and_loaded(modules, tmp_path):
    torch, module, x = modules
    again = pickle.loads(pickle.dumps(module))
    torch.testing.assert_close(again(x), module(x))
    torch.save(module.state_dict(), tmp_path / "state.pt")
    fresh = type(module)(Contrast(1.0), 3, stride=2, padding=1, channels=3)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    torch.testing.assert_close(fresh(x), module(x))


@pytest.mark.filterwarnings(
    "ignore:.torch.jit.script. is deprecated:DeprecationWarning"
)  # torch's own, in forward mode
def test_transforms_of_torch(modules):
    torch, module, x = modules
    gain = module.gain.detach().view(3, 1, 1)
    tangent = torch.func.jvp(lambda g: ap.pool(x, Contrast(g), WINDOW), (gain,), (torch.ones_like(gain),))[1]
    np.testing.assert_allclose(tangent, expected(WINDOW), rtol=1e-6)
    each = torch.func.vmap(lambda image: ap.pool(image, Contrast(gain), WINDOW))(x)
    np.testing.assert_allclose(each, expected(WINDOW, GAIN), rtol=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# In JAX and TensorFlow


def test_in_programs_of_jax():
    jax = pytest.importorskip("jax")

    def loss(gain, x):
        return ap.pool(x, Contrast(gain), WINDOW).sum()

    value, gradient = jax.jit(jax.value_and_grad(loss))(GAIN, X)
    np.testing.assert_allclose(value, expected(WINDOW, GAIN).sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient, expected(WINDOW).sum((0, 2, 3)).reshape(3, 1, 1), rtol=1e-5)
    each = jax.vmap(lambda image: ap.pool(image, Contrast(GAIN), WINDOW))(X)
    np.testing.assert_allclose(each, expected(WINDOW, GAIN), rtol=1e-6)


def test_in_graphs_of_tensorflow_with_unknown_lengths():
    tf = pytest.importorskip("tensorflow")

    @tf.function(input_signature=[tf.TensorSpec((None, 3, None, None)), tf.TensorSpec((3, 1, 1))])
    def pooled(x, gain):
        return ap.pool(x, Contrast(gain), WINDOW)

    np.testing.assert_allclose(pooled(X, GAIN), expected(WINDOW, GAIN), rtol=1e-6)
