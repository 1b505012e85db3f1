"""Detections and samples to numbers."""
