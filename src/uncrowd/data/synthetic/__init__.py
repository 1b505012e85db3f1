"""Draws crowded scenes with exact ground truth."""
