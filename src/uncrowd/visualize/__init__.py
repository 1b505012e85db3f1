"""Draws arrays as images and curves; what to draw is decided elsewhere."""
