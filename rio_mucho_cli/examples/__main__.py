"""Write the example data into a folder: python -m rio_mucho_cli.examples DIR."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rio_mucho_cli.examples.landscape import Valley
from rio_mucho_cli.examples.scene import write_fields, write_parts, write_scene
from rio_mucho_cli.examples.series import write_series

FOLDER = Path(__file__).with_name("functions")
FUNCTIONS = sorted(path for path in FOLDER.iterdir() if path.is_file())
CONTENTS = {
    ("red.tif", "nir.tif"): "a satellite scene of a valley, 1500 x 1200 pixels of 30 m",
    ("dem.tif",): "elevation on the same grid, in metres",
    ("landcover.tif",): "five classes on the same grid, with colours",
    ("scene.tif",): "five bands of the middle of the valley, 600 x 600 pixels",
    ("west.tif", "east.tif"): "red of both sides of scene.tif, which overlap",
    ("east_utm33.tif",): "east.tif in the next UTM zone",
    ("dem_degrees.tif",): "elevation of scene.tif in longitude and latitude",
    ("s2_10m.tif", "s2_20m.tif"): "green and short-wave infrared at 10 and 20 m",
    ("fields.geojson",): "fields as polygons, with their crops",
    ("scenes", "items.json", "scenes.txt"): "20 scenes with clouds: files, STAC items, paths",
}


def main(arguments: list[str] | None = None) -> None:
    """Write all files, or none if one of them exists.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the command line if not given.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rio_mucho_cli.examples",
        description="Make the files that the documentation of rio mucho works on: rasters of an "
        "invented valley, polygons, a series of scenes, and functions. They take a few seconds "
        "and about 13 MB, and are the same every time.",
    )
    parser.add_argument(
        "folder", metavar="DIR", type=Path, help="made if need be; no file in it is replaced"
    )
    folder: Path = parser.parse_args(arguments).folder
    functions = tuple(path.name for path in FUNCTIONS)
    contents = {**CONTENTS, functions: "functions for rio mucho --func"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        existing = [name for names in contents for name in names if (folder / name).exists()]
        if existing:
            sys.exit(f"Error: {folder / existing[0]} exists: remove it, or name another folder")
        valley = Valley()
        for write in (write_scene, write_parts, write_fields, write_series):
            write(valley, folder)
        for path in FUNCTIONS:
            (folder / path.name).write_bytes(path.read_bytes())
    except OSError as error:
        sys.exit(f"Error: cannot write into {folder}: {error.strerror or error}")
    for names, meaning in contents.items():
        print(f"{', '.join(names)}: {meaning}")


if __name__ == "__main__":
    main()
