"""Executors, and the processing of a window in a worker."""
