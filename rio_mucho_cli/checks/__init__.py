"""What `testing.check` is made of: runs of a function, what differs, and why."""
