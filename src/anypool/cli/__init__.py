"""The command line."""

from anypool.cli.app import main

__all__ = ["main"]
