"""On which array: one adapter per framework."""

from anypool.adapters.base import IMPLEMENTATIONS, Adapter
from anypool.adapters.registry import adapter_for

__all__ = ["IMPLEMENTATIONS", "Adapter", "adapter_for"]
