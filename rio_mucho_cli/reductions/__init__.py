"""Ready-made functions that reduce rasters to numbers.

Each is a class for ``--func``, as in
``rio mucho dem.tif - --func rio_mucho_cli.reductions:Statistics``. An instance
returns a value for each window; `merge` combines two values, and `finish` turns
the total into plain dicts, lists and numbers.

Values are exact, so results do not depend on the windows or on the number of jobs,
down to the last bit.
"""

from typing import TYPE_CHECKING, Any

from rio_mucho_cli.reductions.bounds import Bounds
from rio_mucho_cli.reductions.counts import Counts, Histogram
from rio_mucho_cli.reductions.statistics import Statistics

if TYPE_CHECKING:
    from rio_mucho_cli.reductions.zonal import Zonal

__all__ = ["Bounds", "Counts", "Histogram", "Statistics", "Zonal"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Import Zonal when it is used: it is the largest."""
    if name != "Zonal":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rio_mucho_cli.reductions.zonal import Zonal

    return Zonal
