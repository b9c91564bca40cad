"""What one trial does: build a network, train it as long as it is worth it, and measure what is searched for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from ..data import Dataset
from ..measures.network import measure_network
from ..measures.training import STEP, measure_training
from ..networks.base import History, Network, ShouldStop
from ..subjects import Plan, Subject
from . import candidates
from .space import Choice, Space

FEWEST_FINISHED = 5
"""Trials are stopped early where as many have finished."""


@dataclass(frozen=True)
class Task:
    """All that decides what a trial measures but what it chooses; processes send it to each other."""

    subject: Subject
    data: Dataset
    """To choose by."""
    plan: Plan
    space: Space
    aims: tuple[str, ...]
    seed: int

    def build(self, choices: Sequence[Choice], data: Dataset | None = None) -> Network:
        """The network with these poolings, for these images."""
        return candidates.build(self.subject, self.space.sites, choices, data or self.data, self.seed)

    def learn(
        self, network: Network, data: Dataset, on_epoch: Callable[[int, float], None], should_stop: ShouldStop
    ) -> History:
        """Train the network on these images."""
        return candidates.learn(self.subject, network, data, self.plan, self.seed, on_epoch, should_stop)

    def measure(
        self, network: Network, data: Dataset, only: Sequence[str] | None, should_stop: ShouldStop
    ) -> dict[str, float]:
        """These measures of a network, or all."""
        plan = self.plan
        found = measure_network(network, data, plan.max_shift, plan.draws, plan.moved_images, should_stop, only)
        if only is not None and not set(only) & set(STEP):
            return found
        step = measure_training(network, data.x_train)
        return found | {name: value for name, value in step.items() if only is None or name in only}


@dataclass(frozen=True)
class Finished:
    """What an earlier trial tells a later one."""

    curve: tuple[float, ...]
    multiply_adds: float | None


def is_hopeless(
    curve: Sequence[float], multiply_adds: float | None, finished: Sequence[Finished], epochs: int, cheap: bool
) -> bool:
    """Whether a trial that has learned so far is not worth its end.

    It is where the best accuracy of its epochs is below the median of what finished trials had reached by then, at
    least five of them, and a fifth of the epochs is over: the rule of Golovin et al. 2017, Google Vizier, section 3.2.
    Where a cost is among the aims (`cheap`) only trials that do no more multiply-adds count: one that is cheaper than
    all others may be worse.

    >>> past = [Finished((0.5, 0.8, 0.9), 100.0)] * 5
    >>> is_hopeless([0.4, 0.7], 100.0, past, 3, cheap=False), is_hopeless([0.4, 0.7], 50.0, past, 3, cheap=True)
    (True, False)
    """
    done = len(curve)
    if done <= epochs / 5 or done >= epochs:
        return False
    if cheap:
        if multiply_adds is None:
            return False
        finished = [one for one in finished if one.multiply_adds is not None and one.multiply_adds <= multiply_adds]
    reached = [max(one.curve[:done]) for one in finished if one.curve]
    return len(reached) >= FEWEST_FINISHED and max(curve) < median(reached)
