"""Complete runs as functions that return one `Experiment`."""
