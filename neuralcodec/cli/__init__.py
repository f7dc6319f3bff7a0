"""The command ``neuralcodec``."""

from neuralcodec.cli.app import main

__all__ = ["main"]
