"""Land cover by the nearest class mean: a small model, loaded once by each worker.

rio mucho nir.tif red.tif classes.tif --func classify.py:Classifier --arg classes=classes.json
"""

import json
from pathlib import Path

import numpy as np


class Classifier:
    """Give each pixel the class whose typical near infrared and red are nearest."""

    output = {
        "descriptions": "land cover",
        "nodata": 0,
        "colormap": {
            1: (54, 99, 176),
            2: (196, 166, 128),
            3: (36, 110, 48),
            4: (138, 190, 90),
            5: (232, 214, 120),
        },
    }

    def __init__(self, classes):
        table = json.loads(Path(classes).read_text())
        self.values = np.array([entry["value"] for entry in table], "uint8")
        self.means = [(entry["nir"], entry["red"]) for entry in table]

    def __call__(self, data, window, ij, global_args):
        """Return the value of a class, and 0 outside the satellite's swath."""
        nir, red = (array[0].astype("float32") for array in data)
        distances = [(nir - a) ** 2 + (red - b) ** 2 for a, b in self.means]
        nearest = self.values[np.argmin(distances, axis=0)]
        return np.where(nir == 0, 0, nearest).astype("uint8")
