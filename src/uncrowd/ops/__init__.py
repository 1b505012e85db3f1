"""Operations that PyTorch does not have, each with its kernel for a GPU beside it."""
