"""Decides which codec takes which tensor, with which step, and runs the encoding."""
