"""What a function declares replaces what the first input says of the same thing."""

import pytest
from rasterio.enums import ColorInterp

from rio_mucho_cli.errors import ResultError
from rio_mucho_cli.geotiff.described import Described, colour_options
from rio_mucho_cli.geotiff.metadata import Band, Metadata

TABLE = {0: (1, 2, 3, 255)}
OF_INPUT = Metadata(
    {"": {"SCENE": "x", "A": "old", "Band_1": "red"}, "COLOR_PROFILE": {"SOURCE": "sRGB"}},
    [Band("uint8", {"": {"B": "old"}}, "red", "W", ColorInterp.palette, 0.5, 3.0, TABLE)],
)
RED, GREEN, BLUE = ColorInterp.red, ColorInterp.green, ColorInterp.blue
ALPHA, GRAY, UNDEFINED = ColorInterp.alpha, ColorInterp.gray, ColorInterp.undefined


def test_the_rest_stays():
    described = Described("f", descriptions=("index",), tags={"": {"A": "new"}, "NS": {"C": "1"}})
    metadata = described.apply(OF_INPUT, 1, "uint8")
    (band,) = metadata.bands
    assert (band.description, band.unit, band.colormap) == ("index", "W", TABLE)
    assert metadata.tags[""] == {"SCENE": "x", "A": "new", "Band_1": "red"}
    assert metadata.tags["NS"] == {"C": "1"}
    assert "COLOR_PROFILE" in metadata.tags


def test_what_belongs_together_is_replaced_together():
    (band,) = Described("f", scales=2.0).apply(OF_INPUT, 1, "uint8").bands
    assert (band.scale, band.offset) == (2.0, 0.0)
    (band,) = Described("f", offsets=(7.0,)).apply(OF_INPUT, 1, "uint8").bands
    assert (band.scale, band.offset) == (1.0, 7.0)
    metadata = Described("f", colorinterp=GRAY).apply(OF_INPUT, 1, "uint8")
    assert (metadata.bands[0].colorinterp, metadata.bands[0].colormap) == (GRAY, None)
    assert "COLOR_PROFILE" not in metadata.tags
    (band,) = Described("f", units="").apply(OF_INPUT, 1, "uint8").bands
    assert (band.unit, band.description) == ("", "red")


def test_other_bands_or_dtypes_get_nothing_of_the_inputs():
    metadata = Described("f", units="m").apply(OF_INPUT, 2, "uint8")
    assert [(band.description, band.unit, band.colorinterp) for band in metadata.bands] == [
        (None, "m", None)
    ] * 2
    assert metadata.tags == {"": {"SCENE": "x", "A": "old"}}
    (band,) = Described("f", units="m").apply(OF_INPUT, 1, "float32").bands
    assert (band.description, band.colormap, band.scale, band.offset) == ("red", None, 1.0, 0.0)
    assert band.tags == {"": {"B": "old"}}


@pytest.mark.parametrize(
    ("described", "count", "dtype", "message"),
    [
        (
            Described("f.output", units=("m", "m")), 3, "uint8",
            r"f.output\['units'\] has 2 values, but the output has 3 bands: give one value",
        ),
        (Described("f.output", colormap=TABLE), 1, "float32", "one band of uint8 or uint16.*32"),
        (Described("f.output", colormap=TABLE), 2, "uint8", "one band of uint8.*2 bands of uint8"),
        (Described("f.output", colormap={256: TABLE[0]}), 1, "uint8", "the value 256, which uint8"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_result(described, count, dtype, message):
    with pytest.raises(ResultError, match=message):
        described.check(count, dtype)


@pytest.mark.parametrize(
    ("colours", "dtype", "options"),
    [
        ((RED, GREEN, BLUE), "uint8", {"photometric": "rgb", "alpha": "no"}),
        ((RED, GREEN, BLUE, ALPHA), "uint16", {"photometric": "rgb", "alpha": "yes"}),
        ((GRAY, ALPHA), "uint8", {"photometric": "minisblack", "alpha": "yes"}),
        ((GRAY, UNDEFINED, ALPHA), "uint8", {"photometric": "minisblack", "alpha": "no"}),
        ((GRAY,), "uint8", {"photometric": "minisblack"}),
        ((ColorInterp.palette,), "uint8", {}),
        ((RED, GREEN, BLUE), "float32", {}),
        ((), "uint8", {}),
    ],
)
def test_creation_options_of_colours(colours, dtype, options):
    assert colour_options(colours, dtype) == options
