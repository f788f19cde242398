"""The control groups of this process: SLURM, systemd and containers set limits there.

Notes
-----
``/proc/self/cgroup`` names a group for each hierarchy, cgroups(7): ``0::/a/b``
of v2, ``4:cpu,cpuacct:/a/b`` of v1. A limit of any group above holds as well.
In a container with a namespace of its own, and in one whose group is not to be
seen from inside, the root of what is mounted is the container's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def values(controller: str, names: Sequence[str], root: Path, own: Path) -> Iterator[str]:
    """Yield what files say in this process's group of a controller, and in all above it.

    Parameters
    ----------
    controller : str
        Of v1; empty for v2.
    names : sequence of str
        Files of one group, whose texts are joined by a space.
    root : Path
        Where cgroups are mounted.
    own : Path
        What names the groups of this process.
    """
    for folder in _folders(controller, root, own):
        with suppress(OSError, ValueError):
            yield " ".join((folder / name).read_text().strip() for name in names)


def _folders(controller: str, root: Path, own: Path) -> Iterator[Path]:
    # With both versions at once, v2 is mounted in a folder.
    for mounted in [root / controller] if controller else [root, root / "unified"]:
        yield mounted
        for path in _paths(controller, own):
            parts = [part for part in path.split("/") if part]
            if ".." in parts:
                continue  # outside of this namespace
            for end in range(1, len(parts) + 1):
                yield mounted.joinpath(*parts[:end])


def _paths(controller: str, own: Path) -> list[str]:
    """Return the paths of this process's groups in a controller's hierarchy."""
    try:
        lines = own.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    fields = [line.split(":", 2) for line in lines if line.count(":") > 1]
    wanted = set(controller.split(","))
    return [path for _, names, path in fields if wanted <= set(names.split(","))]
