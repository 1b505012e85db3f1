"""RoIAlign, and bias with ReLU, with their GPU kernels; and what mixed precision must not round."""
