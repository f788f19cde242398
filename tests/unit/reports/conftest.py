"""A report without problems, which tests change."""

import copy

import pytest

STAGES = {
    "read": {"seconds": 4.0, "cpu_seconds": 3.8},
    "function": {"seconds": 10.0, "cpu_seconds": 9.8},
    "encode": {"seconds": 5.0, "cpu_seconds": 4.8},
    "transfer": {"seconds": 0.5, "cpu_seconds": 0.0},
    "write": {"seconds": 0.0, "cpu_seconds": 0.0},
}
WORKER = {
    "name": "host:{0}:{0}",
    "windows": 50,
    "pixels": 50_000_000,
    "started_after_seconds": 0.5,
    "ended_after_seconds": 20.3,
    "busy_seconds": 19.0,
    "busy_share": 0.95,
    "peak_bytes": 150_000_000,
    "stages": STAGES,
}
GRID = {
    "crs": "EPSG:32632", "transform": [30.0, 0.0, 500_000.0, 0.0, -30.0, 5_000_000.0],
    "width": 10_240, "height": 10_240, "bounds": [500_000.0, 4_692_800.0, 807_200.0, 5_000_000.0],
}  # fmt: skip
SAID = {
    "schema": 1,
    "outcome": "done",
    "message": None,
    "failure": None,
    "started": "2030-01-02T03:04:05+00:00",
    "seconds": 21.0,
    "versions": {"python": "3.12.0"},
    "machine": {"platform": "p", "cpus": 2, "usable_cpus": 2, "memory_bytes": 8 * 2**30},
    "job": {
        "function": "mod:func",
        "inputs": ["in.tif"],
        "outputs": ["out.tif"],
        "thread_variables": {},
        "gdal_options": {},
    },
    "plan": {
        "function": "mod:func", "mode": "simple_read",
        "size": [10_240, 10_240], "parts": None, "executor": "processes", "jobs": 2,
        "in_flight": 4, "vectors": [], "area": None, "series": None, "values": [], "declared": [],
        "resume": False, "on_error": "fail", "retries": 2, "timeout": None,
        "memory": {"estimate": 300_000_000, "limit": 1_000_000_000, "asked_for": False},
        "windows": {
            "number": 100, "size": [1024, 1024], "overlap": 0, "why": "about a million pixels",
        },
        "inputs": [{
            "path": "in.tif", "driver": "GTiff", "block": [256, 256], "striped": False,
            "on_network": False, "block_reads": 1.0, "grid": GRID, "count": 2, "bands": [1],
            "dtypes": ["uint16"], "nodata": 0.0, "src_nodata": None, "compress": "deflate",
            "reading": "warped", "resampling": "bilinear", "coverage": 0.5,
        }],
        "outputs": [{
            "path": "out.tif", "driver": "GTiff", "cog": False, "creation_options": {},
            "written": {"by": "workers"}, "grid": GRID, "count": 1, "dtype": "float32",
            "nodata": "nan", "block": [256, 256], "compress": "deflate", "part_size": None,
            "overviews": None, "declared": [], "uncompressed_bytes": 419_430_400,
            "file": {"compress": "deflate", "bytes": 1_000_000},
        }],
    },
    "phases": {"starting_seconds": 0.5, "working_seconds": 20.0, "finishing_seconds": 0.5},
    "result": {
        "windows": 100, "windows_of_earlier_runs": 0, "windows_failed": 0, "windows_retried": 0,
        "value_loss": [], "overview_parts": 0, "pixels": 100_000_000,
        "pixels_per_second": 5_000_000,
    },
    "stages": {**STAGES, "write": {"seconds": 1.0, "cpu_seconds": 0.5}},
    "waiting": {"workers_idle_seconds": 2.0, "caller_waited_seconds": 19.0},
    "memory": {"caller_peak_bytes": 120_000_000, "workers_peak_bytes": 300_000_000},
    "workers": [
        {**copy.deepcopy(WORKER), "name": "host:1:1"},
        {**copy.deepcopy(WORKER), "name": "host:2:2"},
    ],
    "slowest": [],
    "failures": [],
    "map": [],
    "timeline": {"merged_below_seconds": 0.0, "rows": []},
    "advice": [],
}  # fmt: skip


@pytest.fixture
def report():
    """Return a report of a run of two workers that needs no advice."""
    return copy.deepcopy(SAID)
