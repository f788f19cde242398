"""The public names as a type checker sees them; checked by mypy, never run."""

from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

import rio_mucho_cli as riomucho
from rio_mucho_cli import (
    InfoError,
    InputInfo,
    Job,
    MuchoChildError,
    Output,
    Preview,
    Report,
    RioMucho,
    WindowInfo,
    describe,
    output,
    run,
    testing,
)
from rio_mucho_cli.testing import check


def ones(data: Any, window: Any, ij: Any, global_args: dict[str, Any]) -> Any:
    return np.ones((1, window.height, window.width))


def use_the_class(path: Path) -> float:
    with RioMucho([path, "b.tif"], path, ones, mode="array_read", executor="threads") as rm:
        report: Report = rm.run(4)
    return report.seconds


def misspell_an_option(path: Path) -> None:
    RioMucho([path], path, ones, overlpa=3)  # type: ignore[call-arg]
    RioMucho([path], path, ones, overlap="3")  # type: ignore[arg-type]


def largest(red: Any, nir: Any) -> dict[str, Any]:
    return {"largest": np.maximum(red, nir), "red": red > nir}


def use_plain_functions(path: Path) -> None:
    also = [Output(path="red.tif", name="red", dtype="uint8")]
    given: dict[str, Any] = {"overviews": [2, 4], "overview_resampling": "average", "stats": True}
    with RioMucho([path, "b.tif"], path, largest, plain=True, also=also, **given) as rm:
        rm.run(4)
    run(Job(inputs=["a.tif"], output="b.tif", function=largest, plain=True, also=also, stats=True))


def use_the_engine() -> int:
    job = Job(inputs=["a.tif"], output="b.tif", function=ones, windows="blocks", jobs=2)
    try:
        return run(job, lambda event: None).windows
    except MuchoChildError as error:
        return error.done


def use_one_line(path: Path) -> Report:
    run(path, "b.tif", "index.py:run", jobs=8, nodata=0, windows=512, dtype=np.float32)
    run(Job(inputs=["a.tif"], output="b.tif", function=ones), listen=lambda event: None)
    run("a.tif", "b.tif", ones, joobs=8)  # type: ignore[call-overload]
    events: list[Any] = []
    return run([path, "b5.tif"], path, largest, plain=True, progress=events.append)


def use_a_dry_run(job: Job) -> str:
    preview: Preview = describe(job, probe=False)
    return preview.as_json() + str(preview)


@output(name="red", colormap={0: (0, 0, 0), 1: (255, 0, 0, 255)}, nodata=None)
@output(descriptions=["a", None], units="m", scales=0.5, tags={"A": 1}, dtype=np.float32, overlap=2)
def declared(red: Any, nir: Any) -> dict[str, Any]:
    return largest(red, nir)


@output(colorinterp="gray", band_tags=[{"A": "x"}], masked=True)
class Declared:
    def __call__(self, data: Any, window: Any, ij: Any, global_args: Any) -> Any:
        return data[0]


def decorated_functions_keep_their_types(path: Path) -> dict[str, Any]:
    output(overlpa=1)  # type: ignore[call-arg]
    output(descriptions=1)  # type: ignore[arg-type]
    run(path, "b.tif", Declared, masked=None, overlap=None)
    declared(1)  # type: ignore[call-arg]
    return declared(1, 2)


def test_own_functions(path: Path) -> float:
    array = np.zeros((90, 70), "float32")
    testing.check(ones, array, mode="array_read", masked=True, nodata=0, global_args={"a": 1})
    check("index.py:run", "dem.tif", overlap=1, boundary="edge", dtype=np.float32, count=1)
    check(ones, array, windows=16)  # type: ignore[call-arg]
    return float(check(largest, [array, path], plain=True, rtol=1e-6, atol=1e-9).max())


def use_info(data: Any, window: Any, ij: Any, global_args: Any, *, info: WindowInfo) -> Any:
    xs, ys = info.lonlat()
    source: InputInfo = info.inputs[0]
    width: float = info.res[0] * source.scales[0]
    device = f"cuda:{info.worker}"
    return xs + ys * width + info.bounds.left if device else info.to_xarray(data[0])


def test_where_it_is(array: Any) -> None:
    check(use_info, array, transform=Affine.identity(), crs="EPSG:4326")
    try:
        run("a.tif", "b.tif", use_info)
    except InfoError as error:
        print(error.window)


version: str = riomucho.__version__
