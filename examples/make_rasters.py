"""Make three rasters of an invented valley: red, near infrared, and elevation.

    python make_rasters.py [FOLDER] [--size WIDTHxHEIGHT]

Writes red.tif, nir.tif and dem.tif into FOLDER (by default the folder `data`
beside this script). They lie on one grid in UTM, and every run makes the same
pixels. The bands look like surface reflectance times 10000, with 0 outside of
the satellite's swath; the elevations are in metres, with -9999 there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

EXTENT = 45.0  # km from west to east, whatever the number of pixels
SEED = 3

# Surface reflectance times 10000: (red, near infrared).
WATER = (330, 140)
TOWN = (1450, 2050)
ROCK = (1700, 2150)
MEADOW = (650, 3300)
BROADLEAF = (300, 3250)
CONIFER = (270, 2250)
CROPS = np.array(
    [
        (420, 4500),  # winter wheat
        (520, 4000),  # sugar beet
        (900, 4700),  # rapeseed
        (700, 3500),  # grassland
        (1050, 2900),  # young maize
        (1600, 2700),  # stubble
        (1750, 2350),  # ploughed
    ]
)
CROP_SHARES = [0.21, 0.12, 0.1, 0.26, 0.13, 0.1, 0.08]
# km from west, km from the river, radius in km.
TOWNS = [(8.5, 0.4, 1.0), (18.5, 0.6, 0.8), (25.2, 0.2, 0.9), (40, 0.5, 0.7), (3.5, 0.8, 0.5)]


class Fractal:
    """Noise that looks alike at every scale, on a grid of pixels.

    Parameters
    ----------
    shape : tuple
        (rows, cols).
    pixel : float
        km.
    """

    def __init__(self, shape: tuple[int, int], pixel: float) -> None:
        self._shape = shape
        rows, cols = np.fft.fftfreq(shape[0], pixel), np.fft.rfftfreq(shape[1], pixel)
        self._frequency = np.hypot(rows[:, None], cols)
        self._random = np.random.default_rng(SEED)

    def __call__(self, exponent: float, longest: float) -> np.ndarray:
        """Return 1/f noise with mean 0 and standard deviation 1.

        Parameters
        ----------
        exponent : float
            The amplitude at frequency f is f**-exponent: 2 looks like hills,
            1 like clouds, 0 is white noise.
        longest : float
            The longest waves, in km.
        """
        waves = self._frequency * longest
        amplitude = (1 + waves**4) ** (-exponent / 4)
        amplitude[waves < 0.4] = 0
        spectrum = np.fft.rfft2(self._random.standard_normal(self._shape))
        noise = np.fft.irfft2(spectrum * amplitude, s=self._shape)
        return noise / noise.std()


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """Go from 0, below `low`, to 1, above `high`, without a corner."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def distance_to(y_line: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance (km) to a line that has one y for each x, to first order."""
    return np.abs(y - y_line) / np.hypot(1, np.gradient(y_line, x))


class Landscape:
    """Relief and water of the valley.

    Attributes
    ----------
    x, y : ndarray
        km from the western and the northern edge.
    elevation : ndarray
        Metres; water is flat.
    from_river : ndarray
        km.
    height : ndarray
        Metres above the floor of the valley.
    slope_x, slope_y : ndarray
        Rise to the east and to the south, without units.
    water : ndarray of bool
    """

    def __init__(self, noise: Fractal, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y
        middle = y[-1, 0] * (0.56 - 0.22 * (x / EXTENT - 0.5)) + 2.0 * np.sin(x / 6.5 + 0.6)
        meanders = middle + 0.5 * np.sin(x / 0.8 + np.sin(x / 2.3)) + 0.2 * np.sin(x / 0.33)
        from_middle = distance_to(middle, x, y) + 0.5 * noise(2.0, 8)
        self.from_river = distance_to(meanders, x, y)
        floor = 380 + 5 * x

        # |noise| has a crease wherever noise is 0: these are the side valleys.
        hills = 340 * crease(noise(2.4, 13))
        for amplitude, longest in [(190, 5), (75, 2), (20, 0.8)]:
            hills += amplitude * crease(noise(2.4, longest)) * np.clip(hills / 330, 0.25, 1.2)
        hills = smoothstep(1.3, 5, from_middle) * hills + 480 * smoothstep(1.5, 11, from_middle)
        self.height = hills + 1.5 * noise(1.3, 1)
        land = floor + self.height

        # A reservoir: the valley is under water from the dam up to where its
        # floor rises above the water level.
        dam = 27.0
        level = 380 + 5 * dam + 36
        lake = (land < level) & (x > dam + 0.1 * (y - middle) ** 2) & (from_middle < 6)
        river = self.from_river < 0.07 + 0.02 * np.sin(x / 2)
        self.water = lake | river
        self.elevation = np.where(river, floor - 6, land)
        self.elevation[lake] = level
        self.slope_y, self.slope_x = np.gradient(self.elevation, 1000 * (x[1] - x[0]))


def crease(noise: np.ndarray) -> np.ndarray:
    """Return |noise|, with a narrow floor where that is 0."""
    return np.sqrt(noise**2 + 0.01) - 0.1


def fields(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the number of the field of each pixel.

    Fields are what is left when rectangles are cut in two until they are small.
    """
    side = 1024
    labels = np.zeros((side, side), dtype=np.intp)
    rectangles = [(0, 0, side, side)]
    number = 0
    while rectangles:
        row, col, height, width = rectangles.pop()
        if max(height, width) <= rng.integers(7, 17):
            labels[row : row + height, col : col + width] = number = number + 1
        elif height > width:
            cut = int(height * rng.uniform(0.35, 0.65))
            rectangles += [(row, col, cut, width), (row + cut, col, height - cut, width)]
        else:
            cut = int(width * rng.uniform(0.35, 0.65))
            rectangles += [(row, col, height, cut), (row, col + cut, height, width - cut)]
    # Turned by 20 degrees, and bent a little, as the lanes between fields are.
    angle = np.radians(20)
    along = x * np.cos(angle) + y * np.sin(angle) + 0.4 * np.sin(y / 2.3)
    across = y * np.cos(angle) - x * np.sin(angle) + 0.4 * np.sin(x / 3.1)
    per_km = 16
    return labels[(across * per_km).astype(int) % side, (along * per_km).astype(int) % side]


def land_cover(rng: np.random.Generator, noise: Fractal, land: Landscape) -> np.ndarray:
    """Return (red, near infrared) of what grows or lies on each pixel."""
    slope = np.hypot(land.slope_x, land.slope_y)
    patches = noise(1.3, 4)
    is_field = (land.height + 25 * patches < 110) & (slope < 0.2)
    is_forest = ~is_field & (patches + 4 * slope > 0.6)
    is_conifer = is_forest & (land.elevation + 120 * patches > 950)
    is_rock = land.elevation + 40 * patches + 150 * slope > 1620

    numbers = fields(rng, land.x, land.y)
    crops = rng.choice(len(CROPS), size=numbers.max() + 1, p=CROP_SHARES)
    shades = rng.normal(1, 0.06, size=numbers.max() + 1)
    cover = (CROPS[crops] * shades[:, None]).T[:, numbers]

    def put(where: np.ndarray, reflectance: tuple[int, int]) -> None:
        cover[:, where] = np.array(reflectance)[:, None]

    put(~is_field, MEADOW)
    put(is_forest, BROADLEAF)
    put(is_conifer, CONIFER)
    put(is_rock, ROCK)
    put(land.from_river < 0.16 + 0.06 * patches, BROADLEAF)
    streets = rng.uniform(0.75, 1.25, size=patches.shape)
    for x, distance_from_river, radius in TOWNS:
        near = np.hypot(land.x - x, land.from_river - distance_from_river)
        is_town = (near < radius * (1 + 0.35 * patches)) & is_field
        cover[:, is_town] = np.array(TOWN)[:, None] * streets[is_town]
    put(land.water, WATER)
    return cover


def soften(bands: np.ndarray) -> np.ndarray:
    """Blur (count, rows, cols) a little, as the optics of a sensor do."""
    for axis in (1, 2):
        bands = (np.roll(bands, 1, axis) + 4 * bands + np.roll(bands, -1, axis)) / 6
    return bands


def photograph(rng: np.random.Generator, noise: Fractal, land: Landscape) -> np.ndarray:
    """Return the bands red and nir (2, rows, cols), with sunlight from the southeast."""
    sun = np.array([0.5, 0.45, 0.74])  # to the east, to the south, up
    facing = sun[2] - sun[0] * land.slope_x - sun[1] * land.slope_y
    light = facing / np.sqrt(1 + land.slope_x**2 + land.slope_y**2) / sun[2]
    # Part of the light comes from the sky; water has no slope, only a surface.
    light = np.where(land.water, 1, 0.45 + 0.55 * np.clip(light, 0.2, 1.6))
    grain = 1 + 0.05 * noise(0.9, 10) + 0.02 * rng.standard_normal(light.shape)
    return soften(land_cover(rng, noise, land) * light * grain)


def write(path: Path, band: np.ndarray, nodata: float) -> None:
    """Write one band as a tiled GeoTIFF."""
    rows, cols = band.shape
    pixel = 1000 * EXTENT / cols
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=cols,
        height=rows,
        count=1,
        dtype=band.dtype,
        crs="EPSG:32632",
        transform=from_origin(555_000, 5_290_000, pixel, pixel),
        nodata=nodata,
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
        predictor=3 if band.dtype.kind == "f" else 2,
    ) as dst:
        dst.write(band, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make red.tif, nir.tif and dem.tif.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(__file__).resolve().parent / "data"
    )
    parser.add_argument("--size", default="1500x1200", metavar="WIDTHxHEIGHT", help="in pixels")
    args = parser.parse_args()
    cols, rows = (int(side) for side in args.size.split("x"))

    pixel = EXTENT / cols
    x, y = (np.arange(cols) + 0.5) * pixel, (np.arange(rows)[:, None] + 0.5) * pixel
    rng, noise = np.random.default_rng(SEED), Fractal((rows, cols), pixel)
    land = Landscape(noise, x, y)
    red, nir = np.clip(np.rint(photograph(rng, noise, land)), 1, 10_000).astype("uint16")
    elevation = land.elevation.astype("float32")
    # The swath's western edge leans to the west, as that of a descending orbit does.
    outside = x < 4.5 - 0.17 * y
    red[outside] = nir[outside] = 0
    elevation[outside] = -9999

    args.folder.mkdir(parents=True, exist_ok=True)
    write(args.folder / "red.tif", red, nodata=0)
    write(args.folder / "nir.tif", nir, nodata=0)
    write(args.folder / "dem.tif", elevation, nodata=-9999)


if __name__ == "__main__":
    main()
