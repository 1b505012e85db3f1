"""What is wrong with a dataset, in words."""
