"""The backends, one process each."""
