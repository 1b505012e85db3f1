"""Reads and writes videos with PyAV, frame by frame."""
