"""The public names as a type checker sees them; checked by mypy, never run."""

from pathlib import Path
from typing import Any

import numpy as np

import rio_mucho_cli as riomucho
from rio_mucho_cli import Job, MuchoChildError, Report, RioMucho, run


def ones(data: Any, window: Any, ij: Any, global_args: dict[str, Any]) -> Any:
    return np.ones((1, window.height, window.width))


def use_the_class(path: Path) -> float:
    with RioMucho([path, "b.tif"], path, ones, mode="array_read", executor="threads") as rm:
        report: Report = rm.run(4)
    return report.seconds


def use_the_engine() -> int:
    job = Job(inputs=["a.tif"], output="b.tif", function=ones, windows="blocks", jobs=2)
    try:
        return run(job, lambda event: None).windows
    except MuchoChildError as error:
        return error.done


version: str = riomucho.__version__
