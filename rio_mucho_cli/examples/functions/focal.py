"""Mean of each pixel and its eight neighbours.

rio mucho dem.tif smooth.tif --func focal.py:mean3x3 --boundary reflect
"""


def mean3x3(data, window, ij, global_args):
    """Return the mean of 3 x 3 pixels; the array has one more pixel on each side."""
    z = data[0]
    rows, cols = window.height, window.width
    return sum(z[:, i : i + rows, j : j + cols] for i in range(3) for j in range(3)) / 9


mean3x3.output = {"overlap": 1, "masked": True, "dtype": "float32"}
