"""An input for tests of overviews."""

import pytest
from overview_files import content, holed


@pytest.fixture
def source(make_raster):
    """Return a function that writes an input of a shape (width, height), maybe with holes."""

    def make(shape=(512, 384), count=1, dtype="uint8", fill=None, **profile):
        width, height = shape
        array = content(count, height, width, dtype).astype(dtype)
        if fill is not None:
            array = holed(array, fill)
        return make_raster("in.tif", array, **profile)

    return make
