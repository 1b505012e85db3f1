"""Detectors on the Hugging Face Hub: weights files there and back, and their model cards."""
