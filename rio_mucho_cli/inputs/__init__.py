"""Input datasets: their grids, and reading windows of them."""
