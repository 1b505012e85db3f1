"""Runs: builds one from its configuration and hands it to the training loop."""
