"""What makes a trained model fast to run: weights fused and cast for inference, and compilation."""
