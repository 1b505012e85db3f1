"""Drawn crowds with exact ground truth."""
