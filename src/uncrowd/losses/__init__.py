"""Stage outputs and targets to a loss."""
