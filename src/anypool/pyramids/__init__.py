"""Image pyramids, each level exact, of arrays larger than memory and larger than one machine."""

from anypool.pyramids.errors import IncompletePyramid
from anypool.pyramids.interface import Pyramid, pyramid

__all__ = ["IncompletePyramid", "Pyramid", "pyramid"]
