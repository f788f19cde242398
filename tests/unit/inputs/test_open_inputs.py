"""Inputs that are open in one worker, when open files are short."""

import numpy as np
import pytest
from rasterio.windows import Window

from rio_mucho_cli.inputs import open_inputs
from rio_mucho_cli.inputs.open_inputs import InputSpec, OpenInputs
from rio_mucho_cli.inputs.window_data import InputDatasets, ReadSpec

WINDOW = Window(0, 0, 8, 8)


@pytest.fixture
def specs(make_raster):
    return [InputSpec(str(make_raster(f"{number}.tif", seed=number))) for number in range(4)]


@pytest.fixture
def opened(monkeypatch):
    """Let open files be short beside two inputs; return the paths that are opened, in order."""
    srcs, open_one = [], open_inputs.open_dataset

    def open_dataset(path):
        srcs.append(open_one(path))
        paths.append(path)
        return srcs[-1]

    paths = []
    monkeypatch.setattr(open_inputs, "open_dataset", open_dataset)
    monkeypatch.setattr(
        open_inputs, "are_open_files_short", lambda: sum(not src.closed for src in srcs) >= 2
    )
    return paths


def test_no_more_are_open_than_asked_for(specs):
    inputs = OpenInputs(specs, None, most=1)
    first = inputs.get(0)
    assert inputs.get(1) is not first
    assert first.src.closed
    inputs.close()


def test_the_one_unused_for_longest_is_closed(specs, opened):
    inputs = OpenInputs(specs, None)
    first, second = inputs.get(0), inputs.get(1)
    assert inputs.get(0) is first
    inputs.get(2)
    assert second.src.closed
    assert not first.src.closed
    assert [number in inputs for number in range(4)] == [True, False, True, False]
    inputs.close()
    assert first.src.closed
    assert opened == [specs[number].path for number in (0, 1, 2)]


def test_datasets_that_the_function_gets_are_not_closed(specs, opened):
    srcs = InputDatasets(ReadSpec(specs, "manual_read")).read(WINDOW)
    assert not any(src.closed for src in srcs)


def test_open_inputs_are_read_before_others_are_opened(specs, opened, read):
    inputs = InputDatasets(ReadSpec(specs))
    for _ in range(3):
        for spec, array in zip(specs, inputs.read(WINDOW), strict=True):
            np.testing.assert_array_equal(array, read(spec.path)[:, :8, :8])
    assert len(opened) == 4 + 2 + 2
    inputs.close()


def test_nodata_of_a_file_wins_over_its_default(make_raster):
    for own, expected in ((None, 7), (3, 3)):
        path = str(make_raster(f"{own}.tif", dtype="uint8", nodata=own))
        inputs = OpenInputs([InputSpec(path, default_nodata=7)], None)
        assert inputs.get(0).reader.bands.nodatavals == (expected,)
        inputs.close()
