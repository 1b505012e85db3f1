"""Makes models fast: weights fused and cast for inference, and compilation for training and for inference."""
