"""Modules for any operator as they are by default: every name is made, called, trained a step, saved and loaded."""

import pytest

torch = pytest.importorskip("torch")

import anypool as ap  # noqa: E402
import anypool.torch as apt  # noqa: E402

PER_ELEMENT = tuple(
    name for name, kind in ap.OPERATORS.items() if any(each.per_element for each in kind().parameters())
)


def image(rank, channels=3):
    return torch.rand(2, channels, *(8,) * rank, generator=torch.Generator().manual_seed(rank))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize("name", ap.OPERATORS)
def test_learns_and_comes_back_from_a_file(name, channels, rank, tmp_path):
    def made():
        return getattr(apt, f"Pool{rank}d")(name, 2 if name == "wavelet" else 4, channels=channels)

    pool, x = made(), image(rank)
    x = (x * 3).long() if name == "mode" else x  # labels
    before = pool(x)
    parameters = dict(pool.named_parameters())
    assert sorted(parameters) == sorted(each.name for each in pool.operator.learnable())
    if parameters:
        optimizer = torch.optim.SGD(pool.parameters(), 0.1)
        (before * torch.linspace(0, 1, before.numel()).view_as(before)).sum().backward()
        for each, weight in parameters.items():
            assert weight.grad.isfinite().all(), each
            assert (weight.grad != 0).any(), each
        optimizer.step()
    torch.save(pool.state_dict(), tmp_path / "pool.pt")
    again = made()
    again.load_state_dict(torch.load(tmp_path / "pool.pt"))
    torch.testing.assert_close(again.eval()(x), pool.eval()(x))
    assert not parameters or not torch.equal(pool(x), before)


@pytest.mark.parametrize("name", PER_ELEMENT)
def test_one_weight_for_every_element_of_the_window(name):
    """At the start what the operator gives by default; then what it gives with these numbers, and for each channel."""
    x = image(2, channels=4)
    (parameter,) = ap.OPERATORS[name]().learnable()
    pool = apt.Pool2d(name, (2, 3), 2)
    weight = getattr(pool, parameter.name)
    assert weight.shape == (6,)
    torch.testing.assert_close(pool(x), ap.pool(x, name, ap.Sliding((2, 3), 2)))
    numbers = tuple(torch.linspace(-1, 1, 6).tolist())
    given = ap.OPERATORS[name](numbers)
    torch.testing.assert_close(apt.Pool2d(given, (2, 3), 2)(x), ap.pool(x, given, ap.Sliding((2, 3), 2)))
    for window, size in (((2, 3), 6), ((2, 2), 4)):  # of as many elements as there are channels too
        of_channels = apt.Pool2d(ap.OPERATORS[name](numbers[:size]), window, channels=4)
        weights = getattr(of_channels, parameter.name)
        assert weights.shape == (4, size)
        with torch.no_grad():
            weights *= torch.arange(1.0, 5)[:, None]
        for channel, got in enumerate(of_channels(x).unbind(1)):
            own = ap.OPERATORS[name](tuple(each * (channel + 1) for each in numbers[:size]))
            torch.testing.assert_close(got, ap.pool(x[:, channel], own, ap.Sliding(window)))


@pytest.mark.parametrize("name", PER_ELEMENT)
@pytest.mark.parametrize("make", [apt.GlobalPool2d, lambda *given, **more: apt.AdaptivePool2d(*given, 2, **more)])
def test_windows_whose_size_depends_on_the_input(make, name):
    with pytest.raises(ValueError, match=f"of {name} cannot be learned for windows whose number of elements depends"):
        make(name)
    x = image(2)
    torch.testing.assert_close(make(name, learnable=False)(x).sum(), make(name, learnable=[])(x).sum())
    with pytest.raises(ValueError, match=r"must have one entry per element of the window \(4\), got 3"):
        apt.Pool2d(ap.OPERATORS[name]((0, 1, 2)), 2)
