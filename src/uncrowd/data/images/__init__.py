"""Image files: which file a record means, what may be opened, and its pixels."""
