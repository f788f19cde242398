"""Land cover classes by the nearest class mean.

A class is made once in each worker, with the global args as its arguments,
and called for every window. Its constructor loads what all windows need.

rio mucho nir.tif red.tif classes.tif --func classify.py:Classifier \
    --nodata 0 --arg classes=classes.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window


class Classifier:
    """Give each pixel the class whose mean is nearest to it.

    Parameters
    ----------
    classes : str
        Path to a JSON file: a list of objects with ``value`` (1 to 255),
        ``red`` and ``nir``. A value may occur several times.
    nodata : number
        The inputs' nodata.
    """

    def __init__(self, classes: str, nodata: float = 0) -> None:
        table = json.loads(Path(classes).read_text(encoding="utf-8"))
        self.values = np.array([entry["value"] for entry in table], dtype="uint8")
        self.means = np.array([(entry["nir"], entry["red"]) for entry in table], dtype="float32")
        self.nodata = nodata

    def __call__(
        self,
        data: list[np.ndarray],
        window: Window,
        ij: tuple[int, int],
        global_args: dict[str, Any],
    ) -> np.ndarray:
        """Classify near infrared and red, each (1, rows, cols).

        Returns
        -------
        ndarray
            uint8, (rows, cols); 0 where an input has nodata.
        """
        nir, red = (band[0].astype("float32") for band in data)
        distances = [
            (nir - mean_nir) ** 2 + (red - mean_red) ** 2 for mean_nir, mean_red in self.means
        ]
        nearest = np.argmin(distances, axis=0)
        valid = (nir != self.nodata) & (red != self.nodata)
        return np.where(valid, self.values[nearest], 0).astype("uint8")
