"""What goes out: the profile of the output, and how it is written."""
