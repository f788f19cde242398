#!/usr/bin/env bash
# The vegetation index of one place only: rio blocks lists the blocks of a
# raster, a filter keeps those that touch a box, rio mucho works on them. The
# rest of the output is nodata.
#
#   ./pipeline.sh [WEST SOUTH EAST NORTH]     in degrees; the lake if not given
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- 10.10 47.58 10.19 47.62

[ -e data/nir.tif ] || python make_rasters.py
mkdir -p out

touches_box='
import json, sys

west, south, east, north = map(float, sys.argv[1:])

def touches(feature):
    lons, lats = zip(*feature["geometry"]["coordinates"][0])
    return max(lons) > west and min(lons) < east and max(lats) > south and min(lats) < north

blocks = json.load(sys.stdin)
blocks["features"] = [feature for feature in blocks["features"] if touches(feature)]
json.dump(blocks, sys.stdout)
'

rio blocks data/nir.tif |
    python -c "$touches_box" "$@" |
    rio mucho data/nir.tif data/red.tif out/ndvi_box.tif \
        --func ndvi.py:ndvi --windows - --overwrite

# Minimum, maximum and mean of the index in these blocks.
rio info --stats out/ndvi_box.tif
