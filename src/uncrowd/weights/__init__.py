"""Weights on disk: reading and writing them, changing their classes, adding DCW, importing published checkpoints."""
