"""Says which of two detectors is better, and whether the choice of images may be the reason."""
