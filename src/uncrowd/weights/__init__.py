"""Weights on disk: the file one deploys, other classes, upgraded models, and other people's checkpoints."""
