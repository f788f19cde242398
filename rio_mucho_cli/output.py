"""What one output of a run is asked to be like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.dtypes import check_dtype

from rio_mucho_cli.dtypes import DTYPES, nodata_fits
from rio_mucho_cli.errors import NodataError, UsageError
from rio_mucho_cli.text import ReprMixin, did_you_mean, redact
from rio_mucho_cli.validation import NUMBER, TEXT, WHOLE, check_kinds


@dataclass(frozen=True, kw_only=True, repr=False)
class Output(ReprMixin):
    """Where results go, and what they become.

    Attributes
    ----------
    path : str, Path or open dataset
        A dataset is open for writing, and is closed at the end.
    name : str or None
        Of its array in the dict that the function returns; None for the one
        that no other output has.
    driver : str or None
        None: by the extension of the path, else the first input's.
    dtype : str or None
        What results are cast to; None: the dtype of the first result.
    count : int or None
        Bands of every result; None: those of the first result.
    nodata : float or None
        None: if `keep_nodata` is true, the first input's where the dtype is
        the first input's, else NaN for floating point; else none.
    keep_nodata : bool
        Whether it follows from the first input; false where `nodata` is given.
    creation_options : Mapping
        Of the driver, in any case; kept as text, with names in lower case.
    profile : Mapping or None
        A whole profile; it stands for the six above.

    Raises
    ------
    UsageError
        If it contradicts itself.
    NodataError
        If nodata does not fit the dtype.
    """

    path: Any
    name: str | None = None
    driver: str | None = None
    dtype: str | None = None
    count: int | None = None
    nodata: float | None = None
    keep_nodata: bool = True
    creation_options: Mapping[str, str] = field(default_factory=dict)
    profile: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.path, str) and self.path.startswith("file://"):
            object.__setattr__(self, "path", self.path.removeprefix("file://"))
        check_kinds(self, {"driver": TEXT, "count": WHOLE, "nodata": NUMBER})
        if not isinstance(self.creation_options, Mapping):
            raise UsageError(
                f"creation_options are {self.creation_options!r}: expected a dict, such as "
                '{"compress": "lzw"}'
            )
        options = {str(key).lower(): _text(value) for key, value in self.creation_options.items()}
        object.__setattr__(self, "creation_options", options)
        if self.nodata is not None:
            object.__setattr__(self, "keep_nodata", False)
        if self.count is not None and self.count < 1:
            raise UsageError(f"count is {self.count}: expected at least 1 band")
        if self.dtype is not None and not _is_dtype(self.dtype):
            raise UsageError(
                f"dtype is {self.dtype!r}: expected one such as uint8 or float32"
                f"{did_you_mean(str(self.dtype), DTYPES)}"
            )
        if (
            self.dtype is not None
            and not self.keep_nodata
            and self.nodata is not None
            and not nodata_fits(self.nodata, self.dtype)
        ):
            raise NodataError.of(self.nodata, self.dtype)

    @property
    def local_path(self) -> str | None:
        """The path as text, or None for an open dataset."""
        return str(self.path) if isinstance(self.path, str | Path) else None

    @property
    def shown_path(self) -> str:
        """What others may read that it is called: its path, or the dataset's, without secrets."""
        return redact(self.local_path or str(getattr(self.path, "name", self.path)))

    @property
    def is_mosaic(self) -> bool:
        """Whether it is a VRT over parts: of a path that ends so, whatever the driver."""
        path = self.local_path
        return path is not None and path.lower().endswith(".vrt")


def _text(value: Any) -> str:
    """Return the value of a creation option as text for GDAL."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def _is_dtype(dtype: Any) -> bool:
    """Whether numpy and GDAL both have it."""
    try:
        return bool(check_dtype(np.dtype(dtype).name))
    except TypeError:
        return False
