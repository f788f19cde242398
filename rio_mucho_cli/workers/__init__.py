"""Where windows are computed: executors, and what happens to a window in a worker."""
