"""Operations that PyTorch lacks, each with a GPU kernel beside it."""
