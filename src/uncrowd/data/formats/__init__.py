"""Annotation files: recognising their format, finding the splits in a folder, and reading them."""
