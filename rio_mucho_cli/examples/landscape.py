"""An invented valley: its relief, its land cover, and what a satellite sees of it.

It is the same in every run. Lengths are in km, from the north-western corner to
the east (x) and to the south (y); elevations are in metres.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

EXTENT = 45.0  # from west to east, whatever the number of pixels
SEED = 3

# Surface reflectance times 10000, red and near infrared, and the class of the land cover.
WATER = (330, 140), 1
TOWN = (1450, 2050), 2
ROCK = (1700, 2150), 2
BROADLEAF = (300, 3250), 3
CONIFER = (270, 2250), 3
MEADOW = (650, 3300), 4
CROP = 5
CROPS = {  # and their shares
    "winter wheat": ((420, 4500), 0.21),
    "sugar beet": ((520, 4000), 0.12),
    "rapeseed": ((900, 4700), 0.1),
    "hay": ((700, 3500), 0.26),
    "maize": ((1050, 2900), 0.13),
    "stubble": ((1600, 2700), 0.1),
    "fallow": ((1750, 2350), 0.08),
}
TOWNS = [(8.5, 0.4, 1.0), (18.5, 0.6, 0.8), (25.2, 0.2, 0.9), (40, 0.5, 0.7), (3.5, 0.8, 0.5)]
DAM = 27.0

# Fields lie side by side on a square plan, which is turned and bent a little.
PLAN = 1024
PER_KM = 16
COS, SIN = np.cos(np.radians(20)), np.sin(np.radians(20))


class Noise:
    """Noise that looks alike at every scale, on a grid of pixels."""

    def __init__(self, shape: tuple[int, int], pixel: float) -> None:
        self._shape = shape
        rows, cols = np.fft.fftfreq(shape[0], pixel), np.fft.rfftfreq(shape[1], pixel)
        self._frequency = np.hypot(rows[:, None], cols)
        self._random = np.random.default_rng(SEED)

    def __call__(self, exponent: float, longest: float) -> Array:
        """Return 1/f noise with mean 0 and standard deviation 1.

        The amplitude at frequency f is ``f**-exponent``: 2 looks like hills, 1
        like clouds. No wave is longer than `longest`, roughly.
        """
        waves = self._frequency * longest
        amplitude = (1 + waves**4) ** (-exponent / 4)
        amplitude[waves < 0.4] = 0
        spectrum = np.fft.rfft2(self._random.standard_normal(self._shape))
        noise = np.fft.irfft2(spectrum * amplitude, s=self._shape)
        return np.asarray(noise / noise.std())


def smoothstep(low: float, high: float, x: Array) -> Array:
    """Go from 0, below `low`, to 1, above `high`, without a corner."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def crease(noise: Array) -> Array:
    """Return ``|noise|``, with a narrow floor where that is 0: side valleys."""
    return np.sqrt(noise**2 + 0.01) - 0.1


class Valley:
    """A valley with a river, a reservoir, towns, fields and forests.

    Attributes
    ----------
    pixel : float
        Side of a pixel, in km.
    noise : Noise
        More noise on the same grid.
    elevation : ndarray
        Metres, float64 (rows, cols).
    classes : ndarray
        Land cover, uint8 (rows, cols): 1 to 5.
    bands : ndarray
        Red and near infrared, float64 (2, rows, cols).
    in_swath : ndarray
        False where the satellite has seen nothing.
    """

    def __init__(self, cols: int = 1500, rows: int = 1200) -> None:
        self.pixel = pixel = EXTENT / cols
        self._x = x = (np.arange(cols) + 0.5) * pixel
        self._y = y = (np.arange(rows)[:, None] + 0.5) * pixel
        self.noise, self._random = Noise((rows, cols), pixel), np.random.default_rng(SEED)
        # The western edge leans to the west, as that of a descending orbit does.
        self.in_swath = x >= 4.5 - 0.17 * y
        self._make_relief(x, y)
        grain = 1 + 0.05 * self.noise(0.9, 10) + 0.02 * self._random.standard_normal((rows, cols))
        self._make_land_cover(x, y)
        self._light_up(grain)

    def _make_relief(self, x: Array, y: Array) -> None:
        noise = self.noise
        middle = y[-1, 0] * (0.56 - 0.22 * (x / EXTENT - 0.5)) + 2.0 * np.sin(x / 6.5 + 0.6)
        meanders = middle + 0.5 * np.sin(x / 0.8 + np.sin(x / 2.3)) + 0.2 * np.sin(x / 0.33)

        def distance(line: Array) -> Array:  # to first order
            return np.asarray(np.abs(y - line) / np.hypot(1, np.gradient(line, x)))

        from_middle = distance(middle) + 0.5 * noise(2.0, 8)
        self._from_river = distance(meanders)
        hills = 340 * crease(noise(2.4, 13))
        for amplitude, longest in [(190, 5), (75, 2), (20, 0.8)]:
            hills += amplitude * crease(noise(2.4, longest)) * np.clip(hills / 330, 0.25, 1.2)
        hills = smoothstep(1.3, 5, from_middle) * hills + 480 * smoothstep(1.5, 11, from_middle)
        self._height = hills + 1.5 * noise(1.3, 1)
        floor = 380 + 5 * x
        land = floor + self._height

        # Under water from the dam up to where the floor rises above the water level.
        level = 380 + 5 * DAM + 36
        lake = (land < level) & (x > DAM + 0.1 * (y - middle) ** 2) & (from_middle < 6)
        river = self._from_river < 0.07 + 0.02 * np.sin(x / 2)
        self._is_water = lake | river
        self.elevation = np.where(lake, level, np.where(river, floor - 6, land))
        self._rise_south, self._rise_east = np.gradient(self.elevation, 1000 * self.pixel)

    def _make_land_cover(self, x: Array, y: Array) -> None:
        random = self._random
        slope = np.hypot(self._rise_east, self._rise_south)
        patches = self.noise(1.3, 4)
        is_field = (self._height + 25 * patches < 110) & (slope < 0.2)
        is_forest = ~is_field & (patches + 4 * slope > 0.6)

        plan, self._rectangles = plan_of_fields(random)
        numbers = plan[tuple((axis * PER_KM).astype(int) % PLAN for axis in to_plan(x, y))]
        colours, shares = zip(*CROPS.values(), strict=True)
        self._crops = random.choice(len(CROPS), size=len(self._rectangles) + 1, p=shares)
        shades = random.normal(1, 0.06, size=len(self._crops))
        self.bands = (np.array(colours)[self._crops] * shades[:, None]).T[:, numbers]
        self.classes = np.full(numbers.shape, CROP, "uint8")

        def put(where: Array, cover: tuple[tuple[int, int], int]) -> None:
            self.bands[:, where], self.classes[where] = np.array(cover[0])[:, None], cover[1]

        put(~is_field, MEADOW)
        put(is_forest, BROADLEAF)
        put(is_forest & (self.elevation + 120 * patches > 950), CONIFER)
        put(self.elevation + 40 * patches + 150 * slope > 1620, ROCK)
        put(self._from_river < 0.16 + 0.06 * patches, BROADLEAF)
        streets = random.uniform(0.75, 1.25, size=patches.shape)
        for east, from_river, radius in TOWNS:
            near = np.hypot(x - east, self._from_river - from_river)
            is_town = (near < radius * (1 + 0.35 * patches)) & is_field
            put(is_town, TOWN)
            self.bands[:, is_town] *= streets[is_town]
        put(self._is_water, WATER)

    def _light_up(self, grain: Array) -> None:
        """Add sunlight from the southeast, grain, and the blur of a sensor's optics."""
        east, south, up = 0.5, 0.45, 0.74
        facing = up - east * self._rise_east - south * self._rise_south
        light = facing / np.sqrt(1 + self._rise_east**2 + self._rise_south**2) / up
        # Part of the light comes from the sky; water has no slope, only a surface.
        self.bands *= np.where(self._is_water, 1, 0.45 + 0.55 * np.clip(light, 0.2, 1.6)) * grain
        for axis in (1, 2):
            before, after = np.roll(self.bands, 1, axis), np.roll(self.bands, -1, axis)
            self.bands = (before + 4 * self.bands + after) / 6

    def fields(self) -> list[tuple[str, Array]]:
        """Return the crop and the corners (5, 2), x and y, of each field, from west to east."""
        rows, cols, heights, widths = np.array(self._rectangles).T[:, :, np.newaxis]
        across, along = rows + heights * [0, 1, 1, 0, 0], cols + widths * [0, 0, 1, 1, 0]
        x, y = from_plan(across / PER_KM, along / PER_KM)
        places = np.stack([y, x]) / self.pixel  # between rows, and between columns
        inner = ((places + places[..., :4].mean(axis=-1, keepdims=True)) / 2).astype(int)
        shape = np.reshape(self.classes.shape, (2, 1, 1))
        inside = np.flatnonzero(((inner >= 0) & (inner < shape)).all(axis=(0, 2)))
        is_field = ((self.classes == CROP) & self.in_swath)[*inner[:, inside]].all(axis=1)
        numbers = inside[is_field]
        names = list(CROPS)
        return [
            (names[self._crops[number + 1]], np.stack([x[number], y[number]], axis=1))
            for number in numbers[np.argsort(x[numbers, 0])]
        ]


def plan_of_fields(random: np.random.Generator) -> tuple[Array, list[tuple[int, int, int, int]]]:
    """Return the number of the field of each cell, and the fields: row, col, height, width.

    Fields are what is left when rectangles are cut in two until they are small.
    """
    plan = np.zeros((PLAN, PLAN), dtype=np.intp)
    waiting, rectangles = [(0, 0, PLAN, PLAN)], []
    while waiting:
        row, col, height, width = waiting.pop()
        if max(height, width) <= random.integers(7, 17):
            rectangles.append((row, col, height, width))
            plan[row : row + height, col : col + width] = len(rectangles)
        elif height > width:
            cut = int(height * random.uniform(0.35, 0.65))
            waiting += [(row, col, cut, width), (row + cut, col, height - cut, width)]
        else:
            cut = int(width * random.uniform(0.35, 0.65))
            waiting += [(row, col, height, cut), (row, col + cut, height, width - cut)]
    return plan, rectangles


def to_plan(x: Array, y: Array) -> tuple[Array, Array]:
    """Return where a place lies on the plan of fields, across and along it."""
    along = x * COS + y * SIN + 0.4 * np.sin(y / 2.3)
    across = y * COS - x * SIN + 0.4 * np.sin(x / 3.1)
    return across, along


def from_plan(across: Array, along: Array) -> tuple[Array, Array]:
    """Return x and y of places on the plan, by iteration."""
    is_before = across.max(axis=-1, keepdims=True) > 40  # the plan repeats itself
    across = across - is_before * (PLAN / PER_KM)
    x, y = along, across
    for _ in range(20):
        left_along, left_across = along - 0.4 * np.sin(y / 2.3), across - 0.4 * np.sin(x / 3.1)
        x, y = left_along * COS - left_across * SIN, left_along * SIN + left_across * COS
    return x, y
