"""Where RoIAlign samples the pyramid: the constants that the PyTorch form and the GPU kernel share."""

FINEST_LEVEL = 2  # P2, stride 4
# A box of this side, in pixels, is pooled from this level (FPN, arXiv:1612.03144, Eq. 1).
CANONICAL_SIDE, CANONICAL_LEVEL = 224, 4
SAMPLES = 2  # samples a cell in each direction
TERMS = (2 * SAMPLES) ** 2  # pyramid cells that make up one cell of a pooled box
