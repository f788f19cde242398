"""What comes in: grids, windows, and the datasets that are read."""
