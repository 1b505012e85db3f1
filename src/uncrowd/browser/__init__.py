"""A detector as a page that a browser opens from the disk."""
