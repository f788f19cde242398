"""Limits of control groups, in folders like those that the system shows; files."""

import os
from io import FileIO

import pytest

from rio_mucho_cli.system import start_writeback, usable_cpus, usable_memory, write_at
from rio_mucho_cli.text import MB

V2 = "0::/system.slice/slurmstepd.scope/job_7/step_0\n"
V1 = """12:memory:/slurm/uid_1000/job_7
4:cpu,cpuacct:/slurm/uid_1000/job_7
1:name=systemd:/system.slice
0::/system.slice/slurmd.service
"""
NONE = 2**63 - 4096


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Return a function that makes the files, and returns the usable MB and CPUs."""
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 8192 * MB // 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64))

    def limits(own, files):
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        if own is not None:
            (tmp_path / "own").write_text(own)
        where = tmp_path / "cgroup", tmp_path / "own"
        return usable_memory(*where) // MB, usable_cpus(*where)

    return limits


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        (None, {"memory.max": 512 * MB, "cpu.max": "300000 100000"}, (512, 3)),
        (
            V2,
            {
                "system.slice/slurmstepd.scope/job_7/memory.max": 512 * MB,
                "system.slice/slurmstepd.scope/job_7/step_0/memory.max": "max",
                "system.slice/slurmstepd.scope/job_7/cpu.max": "max 100000",
                "system.slice/slurmstepd.scope/job_7/step_0/cpu.max": "250000 100000",
                "another.slice/memory.max": MB,
            },
            (512, 3),
        ),
        (V2, {"system.slice/memory.max": 600 * MB, "memory.max": 700 * MB}, (600, 64)),
        (
            V1,
            {
                "memory/slurm/uid_1000/job_7/memory.limit_in_bytes": NONE,
                "memory/slurm/uid_1000/memory.limit_in_bytes": 256 * MB,
                "cpu/slurm/uid_1000/job_7/cpu.cfs_quota_us": 150000,
                "cpu/slurm/uid_1000/job_7/cpu.cfs_period_us": 100000,
                "cpu/slurm/uid_1000/cpu.cfs_quota_us": -1,
                "cpu/slurm/uid_1000/cpu.cfs_period_us": 100000,
            },
            (256, 2),
        ),
        (
            V1,
            {
                "unified/system.slice/slurmd.service/memory.max": 128 * MB,
                "cpu,cpuacct/slurm/cpu.cfs_quota_us": 500000,
                "cpu,cpuacct/slurm/cpu.cfs_period_us": 100000,
            },
            (128, 5),
        ),
        ("0::/../../elsewhere\n", {"memory.max": 512 * MB}, (512, 64)),
        ("0::/docker/abc\n", {"cpu.max": "100000 100000"}, (8192, 1)),
        ("0::/a\n", {"a/cpu.max": "100000 0", "a/memory.max": ""}, (8192, 64)),
        ("nothing of the kind\n", {}, (8192, 64)),
        ("", {}, (8192, 64)),
    ],
)
def test_the_lowest_limit_of_all_groups_above_holds(system, own, files, expected):
    assert system(own, files) == expected


def test_writeback_leaves_a_file_as_it_is(tmp_path):
    path = tmp_path / "file"
    with FileIO(path, "w+") as file:
        write_at(file, b"x" * 100_000, 0)
        start_writeback(file, 0, 100_000)
        write_at(file, b"y", 100_000)
    assert path.read_bytes() == b"x" * 100_000 + b"y"


def test_writeback_is_only_advice():
    reader, writer = os.pipe()
    os.close(writer)
    with FileIO(reader) as pipe:
        start_writeback(pipe, 0, 9)
