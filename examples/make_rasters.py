"""Make red.tif, nir.tif, dem.tif and landcover.tif of an invented valley.

    python make_rasters.py [FOLDER] [--size WIDTHxHEIGHT]

They are four of the files of `python -m rio_mucho_cli.examples`, here in any
size, and by default in the folder `data` beside this script.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rio_mucho_cli.examples.landscape import Valley
from rio_mucho_cli.examples.scene import write_scene


def main() -> None:
    parser = argparse.ArgumentParser(description="Make red.tif, nir.tif and dem.tif.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(__file__).resolve().parent / "data"
    )
    parser.add_argument("--size", default="1500x1200", metavar="WIDTHxHEIGHT", help="in pixels")
    args = parser.parse_args()
    cols, rows = (int(side) for side in args.size.split("x"))
    args.folder.mkdir(parents=True, exist_ok=True)
    write_scene(Valley(cols, rows), args.folder)


if __name__ == "__main__":
    main()
