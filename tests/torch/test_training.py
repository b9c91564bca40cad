"""A network with a learned GeM and blurs reaches on the digits what the same one reaches with averages."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

import anypool.torch as apt  # noqa: E402
from anypool.lab.data import load  # noqa: E402


def network(pool, last):
    """Two convolutions, each followed by a pooling at stride 2, and a pooling of everything."""
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        pool(),
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.ReLU(),
        last,
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    )


def accuracy(network, digits, epochs=12):
    """Of the test images, after training."""
    x, labels = (torch.from_numpy(np.ascontiguousarray(a)) for a in (digits.x_train, digits.y_train))
    x, labels = x.permute(0, 3, 1, 2).float(), labels.long()
    optimizer, order = torch.optim.Adam(network.parameters(), 1e-2), torch.Generator().manual_seed(2)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=order).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[batch]), labels[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        test = torch.from_numpy(digits.x_test).permute(0, 3, 1, 2).float()
        return float((network(test).argmax(1).numpy() == digits.y_test).mean())


def test_learned_means_and_blurs_reach_what_averages_reach():
    digits = load("digits")
    averages = accuracy(network(lambda: apt.AvgPool2d(2), apt.GlobalAvgPool2d(keepdim=True)), digits)
    learned = network(apt.BlurPool2d, apt.GeM())
    reached = accuracy(learned, digits)
    assert reached >= averages - 0.01, (reached, averages)
    assert averages > 0.9
    assert abs(float(learned[5].p.detach()) - 3) > 0.01
