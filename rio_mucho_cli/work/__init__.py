"""What happens to one window, in a worker."""
