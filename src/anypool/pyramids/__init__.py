"""Image pyramids, each level exact, of arrays larger than memory and larger than one machine."""

from anypool.pyramids.interface import Pyramid, pyramid

__all__ = ["Pyramid", "pyramid"]
