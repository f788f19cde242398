"""Statistics of features, merged over windows, equal numpy on masks of the whole raster."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings, strategies as st
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.windows import Window

from rio_mucho_cli.errors import ResultError, UsageError
from rio_mucho_cli.outputs.value_text import from_journal, to_journal
from rio_mucho_cli.outputs.values import plain_value
from rio_mucho_cli.reductions import Zonal, zones
from rio_mucho_cli.reductions.groups import STATISTICS

UTM = Affine(10, 0, 500000, 0, -10, 5000000)
ROTATED = Affine(8, 3, 500000, 3, -8, 5000000)
ALL = [*STATISTICS, "p90", "p2.5"]
SHAPE = (40, 50)


def coordinates_of(geometry):
    """Return all points of a geometry."""
    if geometry["type"] == "GeometryCollection":
        return [xy for member in geometry["geometries"] for xy in coordinates_of(member)]

    def flat(item):
        return (
            [item]
            if item and not np.iterable(item[0])
            else [xy for part in item for xy in flat(part)]
        )

    return [xy[:2] for xy in flat(geometry["coordinates"])]


def touches(geometry, transform, window):
    """Return whether the bounds of a part of a geometry touch those of a window."""
    if geometry["type"] == "MultiPolygon":
        parts = [{"type": "Polygon", "coordinates": part} for part in geometry["coordinates"]]
        return any(touches(part, transform, window) for part in parts)
    xy = coordinates_of(geometry)
    if not xy:
        return False
    cols, rows = np.array([~transform @ tuple(point) for point in xy]).T
    return (
        cols.min() <= window.col_off + window.width
        and cols.max() >= window.col_off
        and rows.min() <= window.row_off + window.height
        and rows.max() >= window.row_off
    )


def windows_of(shape, size):
    rows, cols = shape
    return [
        Window(col, row, min(size[1], cols - col), min(size[0], rows - row))
        for row in range(0, rows, size[0])
        for col in range(0, cols, size[1])
    ]


def copied(zonal):
    """Return a reduction as workers have it: another instance."""
    function = zonal._function
    zonal._function = None
    other = pickle.loads(pickle.dumps(zonal))
    zonal._function = other._function = function
    return other


def values_of(zonal, inputs, geometries, size, *, transform=UTM, properties=None, crs=None,
              nodata=None, overlap=0, windows=None):  # fmt: skip
    """Yield the value of each window, as the calling process gets it."""
    shape = inputs[0].shape[1:]
    sources = [
        SimpleNamespace(
            path=f"/folder/in{number or ''}.tif",
            nodata=[nodata] * len(array),
            indexes=list(range(1, len(array) + 1)),
            descriptions=[None] * len(array),
            is_vector=False,
        )
        for number, array in enumerate(inputs)
    ]
    features = [
        {
            "type": "Feature",
            "number": number,
            "properties": {} if properties is None else properties[number - 1],
            "geometry": geometry,
        }
        for number, geometry in enumerate(geometries, 1)
    ]
    zonal = copied(zonal)
    windows = windows_of(shape, size) if windows is None else windows
    for index, window in enumerate(windows):
        vector = SimpleNamespace(
            path="/folder/fields.gpkg", nodata=[None], indexes=[1], is_vector=True
        )
        info = SimpleNamespace(
            crs=crs,
            grid_transform=transform,
            shape=shape,
            window=window,
            overlap=overlap,
            index=index,
            total=len(windows),
            inputs=[*sources, vector],
            features=[each for each in features if touches(each["geometry"], transform, window)],
            features_outside=[
                each
                for each in features
                if not touches(each["geometry"], transform, Window(0, 0, *shape[::-1]))
            ],
        )
        padded = [
            np.ma.array(
                np.pad(np.ma.getdata(array), [(0, 0), (overlap,) * 2, (overlap,) * 2]),
                mask=np.pad(np.ma.getmaskarray(array), [(0, 0), (overlap,) * 2, (overlap,) * 2]),
            )
            for array in inputs
        ]
        rows, cols = window.toslices()
        slices = (
            slice(None),
            slice(rows.start, rows.stop + 2 * overlap),
            slice(cols.start, cols.stop + 2 * overlap),
        )
        data = [
            each[slices] if np.ma.isMaskedArray(array) else each.data[slices]
            for array, each in zip(inputs, padded, strict=True)
        ]
        data.append(np.zeros((1, *data[0].shape[1:]), np.uint32))
        value = zonal(data, window, (0, 0), {}, info=info)
        yield from_journal(to_journal(plain_value(value)))


def reduce(zonal, inputs, geometries, size, *, parts=1, **options):
    """Return the result over windows; with `parts`, they are merged in groups first."""
    values = list(values_of(zonal, inputs, geometries, size, **options))
    totals = []
    for part in range(parts):
        total = None
        for value in values[part * len(values) // parts : (part + 1) * len(values) // parts]:
            total = value if total is None else zonal.merge(total, value)
        totals += [] if total is None else [total]
    total = totals[0]
    for other in totals[1:]:
        total = zonal.merge(total, from_journal(to_journal(other)))
    return plain_value(zonal.finish(total))


def expected(band, geometry, transform=UTM, *, all_touched=False):
    """Return the statistics of a feature, by numpy."""
    inside = geometry_mask([geometry], band.shape, transform, all_touched, invert=True)
    values = np.ma.getdata(band)[inside & ~np.ma.getmaskarray(band)]
    if values.dtype.kind == "f":
        values = values[~np.isnan(values)]
    found = dict.fromkeys(ALL) | {"count": values.size}
    if values.size:
        wide = values.astype(np.float64) if values.dtype.kind == "f" else values
        unique, times = np.unique(values, return_counts=True)
        found |= {
            "sum": sum(values.tolist()) if values.dtype.kind != "f" else wide.sum(),
            "mean": wide.mean(),
            "min": values.min(),
            "max": values.max(),
            "std": wide.std(),
            "median": np.median(wide),
            "majority": unique[times.argmax()],
            "variety": unique.size,
            "p90": np.percentile(wide, 90),
            "p2.5": np.percentile(wide, 2.5),
        }
    return found


def check(row, wanted):
    assert row.keys() >= wanted.keys()
    for name, number in wanted.items():
        if number is None:
            assert row[name] is None, name
        elif isinstance(number, int):
            assert row[name] == number, name
        else:
            assert row[name] == pytest.approx(float(number), rel=1e-9, abs=1e-9), name


@st.composite
def rings(draw, centre, step):
    """Return a ring around a centre, in multiples of a step, or of no step at all."""
    angles = np.sort(draw(st.lists(st.floats(0, 6.28), min_size=3, max_size=7, unique=True)))
    radii = [draw(st.floats(0.2, 15)) for _ in angles]
    ring = [
        (centre[0] + r * np.cos(a), centre[1] + r * np.sin(a))
        for a, r in zip(angles, radii, strict=True)
    ]
    if step:
        ring = [(round(x / step) * step, round(y / step) * step) for x, y in ring]
    return [*ring, ring[0]]


@st.composite
def geometries(draw, transform, step):
    """Return polygons with holes, and multipolygons; coordinates are multiples of a step."""
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        centre = draw(st.tuples(st.floats(-5, 55), st.floats(-5, 45)))
        lines = [draw(rings(centre, step)) for _ in range(draw(st.integers(1, 2)))]
        parts.append([[tuple(map(float, transform @ xy)) for xy in line] for line in lines])
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def raster(dtype, seed, kind):
    """Return bands with few different values, some of them invalid."""
    random = np.random.default_rng(seed)
    band = random.integers(0, 90, (2, *SHAPE)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        band = band / 7 - 5
        if kind == "nan":
            band[random.random(band.shape) < 0.3] = np.nan
        band = band.astype(dtype)
    if kind == "masked":
        return np.ma.array(band, mask=random.random(band.shape) < 0.3)
    return band


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_equals_numpy_for_all_windows(data):
    """All statistics, to the last bit in all windows, of polygons that overlap."""
    all_touched = data.draw(st.booleans())
    transform = data.draw(st.sampled_from([UTM, ROTATED]))
    step = data.draw(st.sampled_from([0, 0.5]))
    shapes = data.draw(st.lists(geometries(transform, step), min_size=1, max_size=6))
    dtype = data.draw(st.sampled_from(["uint8", "int16", "int32", "uint64", "float32", "float64"]))
    kind = data.draw(st.sampled_from(["plain", "masked", "nan"]))
    bands = raster(dtype, data.draw(st.integers(0, 99)), kind)
    zonal = Zonal(ALL, all_touched=all_touched)
    results = [
        reduce(zonal, [bands], shapes, size, transform=transform, **options)
        for size, options in [
            (SHAPE, {}),
            ((16, 16), {"parts": 3}),
            ((7, 50), {"overlap": 2}),
            ((40, 9), {}),
        ]
    ]
    for row in results[0]:
        for number, band in enumerate(bands, 1):
            wanted = expected(band, shapes[row["feature"] - 1], transform, all_touched=all_touched)
            check(row, {f"band_{number}_{name}": item for name, item in wanted.items()})
    assert all(result == results[0] for result in results)


def square(left, top, right, bottom, transform=UTM):
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return {
        "type": "Polygon",
        "coordinates": [[list(map(float, transform @ xy)) for xy in corners]],
    }


BAND = np.arange(2000, dtype=np.uint16).reshape(1, *SHAPE)


@pytest.mark.parametrize("most_pixels", [2000, 2**22])
def test_many_overlaps(most_pixels, monkeypatch):
    """Nested squares, of which each hides others when numbers are burned."""
    monkeypatch.setattr(zones, "_MOST_PIXELS", most_pixels)
    shapes = [square(5, 5, 8 + n % 30, 8 + n) for n in range(30)]
    shapes += [square(45, 35, 47, 37)]
    shapes += [square(0, 0, 50, 40)] * 2
    for size in ((40, 50), (13, 11)):
        rows = reduce(Zonal(["count", "sum"]), [BAND], shapes, size)
        for row, shape in zip(rows, shapes, strict=True):
            wanted = expected(BAND[0], shape)
            assert (row["count"], row["sum"]) == (wanted["count"], wanted["sum"])


def test_features_without_pixels():
    """Too small, too thin, masked, outside of the raster, or without geometry."""
    band = np.ma.array(BAND, mask=BAND < 500)
    shapes = [
        square(3.6, 3.6, 4.4, 4.4),
        square(0, 20.6, 50, 21.4),
        square(0, 0, 9, 9),
        square(50, 0, 60, 9),
        square(12, 12, 16, 16),
        {"type": "Polygon", "coordinates": []},
    ]
    for size in ((40, 50), (4, 4)):
        rows = reduce(Zonal(ALL, function=np.ptp), [band], shapes, size)
        nothing = dict.fromkeys([*ALL, "ptp"]) | {"count": 0}
        assert rows[:4] == [{"feature": number} | nothing for number in (1, 2, 3, 4)]
        assert [row["count"] for row in rows[4:]] == [16, 0]


@pytest.mark.parametrize(("right", "warnings"), [(9, 0), (59, 1)])
def test_features_beside_the_raster(caplog, right, warnings):
    rows = reduce(Zonal(), [BAND], [square(50, 0, 60, 9), square(right - 9, 0, right, 9)], (40, 50))
    assert [row["count"] > 0 for row in rows] == [False, not warnings]
    assert ["no feature has a valid pixel" in record.message for record in caplog.records] == [
        True
    ] * warnings


def test_points_lines_and_collections():
    """Other geometries have the pixels that rasterio burns; a third dimension is ignored."""
    x, y = UTM @ (7.5, 8.5)
    line = {"type": "LineString", "coordinates": [UTM @ (2, 3), UTM @ (30, 21)]}
    shapes = [
        {"type": "Point", "coordinates": [x, y]},
        line,
        {"type": "GeometryCollection", "geometries": [square(1, 1, 9, 9), line]},
    ]
    wanted = [expected(BAND[0], shape)["count"] for shape in shapes]
    with_z = square(1, 1, 9, 9)
    with_z["coordinates"] = [[[*xy, 7.0] for xy in with_z["coordinates"][0]]]
    for size in ((40, 50), (16, 16)):
        rows = reduce(Zonal(["count"]), [BAND], shapes, size)
        assert [row["count"] for row in rows] == wanted
        (row,) = reduce(Zonal("count"), [BAND], [with_z], size)
        assert row == {"feature": 1, "count": 64}


def test_infinite_values_and_signed_zeros():
    band = np.zeros((1, *SHAPE), np.float32)
    band[0, ::2] = -0.0
    band[0, 0, 0], band[0, 0, 9], band[0, 20, 20], band[0, 20, 21] = np.inf, 4, np.inf, -np.inf
    shapes = [square(0, 0, 4, 4), square(0, 0, 10, 1), square(18, 18, 24, 24)]
    results = [reduce(Zonal(ALL), [band], shapes, size) for size in ((40, 50), (3, 3))]
    np.testing.assert_equal(*results)
    first, second, third = results[0]
    assert (first["sum"], first["mean"], first["max"]) == (np.inf, np.inf, np.inf)
    assert np.isnan([first["std"], third["sum"], third["mean"]]).all()
    assert (second["min"], second["majority"], second["variety"]) == (0, 0, 3)
    assert str(second["majority"]) == "0.0"


def test_nodata_of_plain_arrays():
    (row,) = reduce(Zonal(["count", "min"]), [BAND], [square(0, 0, 3, 1)], (9, 9), nodata=0)
    assert row == {"feature": 1, "count": 2, "min": 1}


def test_waiting_features_are_bounded():
    """A feature is finished when its last window has come; all that wait are in one row."""
    shapes = [square(col - 1.2, row - 1.2, col + 2, row + 2)
              for row in range(0, 38, 4) for col in range(0, 48, 4)]  # fmt: skip
    far = [square(0, 0, 10, 2)["coordinates"], square(44, 1, 50, 9)["coordinates"]]
    shapes.append({"type": "MultiPolygon", "coordinates": far})
    zonal, total, most = Zonal(["median"]), None, 0
    for value in values_of(zonal, [BAND], shapes, (8, 8)):
        total = value if total is None else zonal.merge(total, value)
        most = max(most, len(total["open"]))
    assert total["open"] == {}
    assert 0 < most < 40
    assert len(zonal.finish(total)) == len(shapes)


def test_a_window_that_is_missing():
    """Features are finished at the end; pixels of the others count."""
    windows = [window for window in windows_of(SHAPE, (8, 8)) if window.row_off]
    (row,) = reduce(Zonal(["count"]), [BAND], [square(2, 2, 20, 20)], (8, 8), windows=windows)
    assert row["count"] == 18 * 12


def test_windows_that_overlap():
    windows = [Window(0, 0, 30, 40), Window(20, 0, 30, 40)]
    for shape in (square(22, 2, 28, 9), square(15, 2, 35, 9)):
        with pytest.raises(ResultError, match="feature 1 has pixels in several windows"):
            reduce(Zonal(), [BAND], [shape], SHAPE, windows=windows)


def test_names_of_columns():
    shapes, crops = [square(0, 0, 30, 30)], [{"crop": "Rüben", "code": 7}]
    zonal = Zonal(["mean", "p90"], fields=["crop"], prefix="z_")
    (row,) = reduce(zonal, [BAND, np.concatenate([BAND] * 2)], shapes, (9, 9), properties=crops)
    assert list(row) == [
        "feature", "crop", "z_in_mean", "z_in_p90",
        "z_in1_band_1_mean", "z_in1_band_1_p90", "z_in1_band_2_mean", "z_in1_band_2_p90",
    ]  # fmt: skip
    assert row["crop"] == "Rüben"


def test_properties():
    """All by default; those that some features lack are empty; dates are text."""
    properties = [{"day": np.datetime64("2024-05-01").item(), "n": np.int16(3)}, {"name": "b"}]
    shapes = [square(0, 0, 30, 30), square(2, 2, 4, 4)]
    rows = reduce(Zonal("count"), [BAND], shapes, (9, 9), properties=properties)
    assert rows == [
        {"feature": 1, "day": "2024-05-01", "n": 3, "name": None, "count": 900},
        {"feature": 2, "day": None, "n": None, "name": "b", "count": 4},
    ]


def test_geojson_features():
    """They have geometries in longitude and latitude."""
    shapes = [square(2, 2, 20, 20)]
    crs = CRS.from_epsg(32633)
    (row,) = reduce(Zonal("count", geometry=True), [BAND], shapes, (9, 9), crs=crs,
                    properties=[{"a": 1}])  # fmt: skip
    assert (row["type"], row["id"], row["properties"]) == ("Feature", 1, {"a": 1, "count": 324})
    assert row["geometry"]["coordinates"][0][0] == pytest.approx([15.00025, 45.1533], abs=1e-3)


def spread(values):
    """Return a function's result of its own kind."""
    assert (np.diff(values.astype(float)) >= 0).all()
    return {"spread": float(values.max() - values.min()), "pixels": values.size}


@pytest.mark.parametrize("how", ["module", "file", "callable"])
def test_a_function_of_the_user_s(how, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = "{'spread': values.max() - values.min(), 'pixels': len(values)}"
    (tmp_path / "zones_of_mine.py").write_text(f"def spread(values):\n    return {result}\n")
    function = {
        "module": "zones_of_mine:spread", "file": "zones_of_mine.py:spread", "callable": spread,
    }[how]  # fmt: skip
    shapes = [square(0, 0, 30, 30), square(2, 2, 4, 4)]
    monkeypatch.syspath_prepend(tmp_path)
    rows = reduce(Zonal([], function=function), [BAND], shapes, (9, 9))
    assert [row["spread"]["spread"] for row in rows] == [29 * 51, 51]
    assert [row["spread"]["pixels"] for row in rows] == [900, 4]


def test_finish_without_windows():
    assert Zonal().finish(None) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"stats": ["meen"]}, "stats has 'meen': did you mean 'mean'? expected some of count, sum"),
        ({"stats": 5}, "stats is 5, expected some of count"),
        ({"stats": ["p101"]}, "stats has 'p101', expected some of count"),
        ({"function": "f"}, "function is 'f', expected module:name or path/to/file.py:name"),
        ({"function": "no_such.py:f"}, "function no_such.py:f: there is no file no_such.py"),
        ({"fields": 3}, "fields is 3, expected a list of properties"),
        ({"all_touched": "yes"}, "all_touched is 'yes', expected true or false"),
        ({"prefix": 3}, "prefix is 3, expected text"),
    ],
)
def test_wrong_arguments(arguments, says):
    with pytest.raises(UsageError) as info:
        Zonal(**arguments)
    assert str(info.value).startswith(says)


def test_wrong_properties():
    shapes, properties = [square(0, 0, 3, 3)], [{"count": 3, "code": 7}]
    with pytest.raises(UsageError, match="property 'count', which is also the name of"):
        reduce(Zonal(), [BAND], shapes, (9, 9), properties=properties)
    with pytest.raises(UsageError, match=r"feature 1 has no property 'cod': did you mean 'code'"):
        reduce(Zonal(fields="cod"), [BAND], shapes, (9, 9), properties=properties)


@pytest.mark.campaign
def test_many_small_features():
    shapes = [square(col, row, col + 1, row + 1) for row in range(250) for col in range(400)]
    band = np.arange(100_000, dtype=np.float32).reshape(1, 250, 400)
    rows = reduce(Zonal(["median"]), [band], shapes, (250, 400))
    assert [row["median"] for row in rows] == list(range(100_000))


@pytest.mark.parametrize("missing", ["raster", "features"])
def test_inputs_of_one_kind(missing):
    source = SimpleNamespace(path="a.tif", nodata=[None], indexes=[1])
    source.is_vector = missing == "raster"
    info = SimpleNamespace(inputs=[source], overlap=0, features=[], crs=None, index=1)
    with pytest.raises(UsageError, match=f"Zonal has no {missing}: its inputs are rasters and"):
        Zonal()([BAND], Window(0, 0, 50, 40), (0, 0), {}, info=info)


def test_functions_that_fail_say_for_which_feature():
    shapes = [square(0, 0, 3, 3), square(10, 10, 30, 30)]
    with pytest.raises(ZeroDivisionError) as info:
        reduce(Zonal(function=lambda values: 1 / (400 - values.size)), [BAND], shapes, SHAPE)
    assert info.value.__notes__ == ["This is feature 2, with 400 pixels."]
    with pytest.raises(ResultError, match=r"set returned an object of the type set, .*feature 1"):
        reduce(Zonal(function=set), [BAND], shapes, SHAPE)
