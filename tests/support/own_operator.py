"""An operator that a user might write, in ten lines: nothing else in the package or its tests knows it."""

from dataclasses import dataclass

import anypool as ap


@dataclass(frozen=True)
class FarthestFromZero(ap.Max):
    """Another reduction under the name that it inherits: y = max |x|."""

    def reduce(self, windows, valid, xp):
        return xp.max(xp.where(valid, xp.abs(windows), 0), axis=-1)


@dataclass(frozen=True)
class Contrast(ap.Operator):
    """y = gain·(max x − min x), with a gain that can be learned, one for all or one per channel."""

    gain: float = ap.parameter(1.0, at_least=0.0, at_most=10.0)

    info = ap.Info("contrast", "gain·(max x − min x)")
    reductions = ("max", "min")

    def lift(self, x, gain, xp):
        return x, x

    def finish(self, reduced, count, gain, xp):
        greatest, least = reduced
        return gain * (greatest - least)
