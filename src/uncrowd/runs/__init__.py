"""Runs: building one from its description, and handing it to the engine."""
