"""Networks with a pooling chosen for every site: of ours, made anew, or of the user's, swapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..data import Dataset
from ..networks.base import RECALIBRATED_ON, History, Network, ShouldStop, Site, spread_over
from ..poolings import ORIGINAL, candidate
from ..subjects import FINE_TUNING_RATE, LEARNING_RATE, Plan, Subject, SwappedNetwork, TrainedNetwork
from .space import Choice


def sites_of(subject: Subject, data: Dataset) -> tuple[Site, ...]:
    """Where the network pools."""
    if isinstance(subject, SwappedNetwork):
        return tuple(subject.sites)
    found: list[Site] = []

    def record(**window: Any) -> Any:
        found.append(Site(f"pooling {len(found) + 1}", "sliding", {"padding": "valid", **window}))
        return candidate("max").keras_layer("sliding", **window)

    _of_ours(subject, record, data)
    return tuple(found)


def build(subject: Subject, sites: Sequence[Site], choices: Sequence[Choice], data: Dataset, seed: int) -> Network:
    """The network with these poolings, not yet trained here.

    Raises:
        ValueError: they do not fit.
    """
    if isinstance(subject, SwappedNetwork):
        pairs = zip(sites, choices, strict=True)
        return subject.network.swapped(
            [(_resized(subject.network, *pair), pair[1].candidate) for pair in pairs if pair[1].pool != ORIGINAL]
        )
    import keras

    from ..networks.keras import KerasNetwork

    keras.utils.set_random_seed(seed)
    layers = iter([choice.candidate.keras_layer("sliding", **settings_of(choice)) for choice in choices])
    return KerasNetwork(_of_ours(subject, lambda **window: next(layers), data))


def settings_of(choice: Choice) -> dict[str, Any]:
    """The settings of a layer of Keras in a network of ours; windows that overlap or leave gaps are padded."""
    window: dict[str, Any] = {"pool_size": choice.size, "strides": choice.stride}
    return window if choice.size == choice.stride else {**window, "padding": "same"}


def _of_ours(subject: Subject, pooling: Callable[..., Any], data: Dataset) -> Any:
    from ..models import NETWORKS

    assert isinstance(subject, TrainedNetwork)
    return NETWORKS[subject.name](pooling, data.input_shape, data.classes)


def _resized(network: Network, site: Site, choice: Choice) -> Site:
    if choice.size is None or choice.stride is None:
        return site
    return network.resized(site, choice.size, choice.stride)


def learn(
    subject: Subject,
    network: Network,
    data: Dataset,
    plan: Plan,
    seed: int,
    on_epoch: Callable[[int, float], None],
    should_stop: ShouldStop,
) -> History:
    """Train it, or recalibrate and fine-tune it, as `compare` does."""
    if not subject.trained and plan.recalibrate and network.has_batch_norm:
        network.recalibrate(spread_over(data.x_train, RECALIBRATED_ON), should_stop)
    if not plan.epochs:
        return History()
    rate = LEARNING_RATE if subject.trained else FINE_TUNING_RATE
    return network.fit(data, plan.epochs, rate, seed, on_epoch, should_stop)
