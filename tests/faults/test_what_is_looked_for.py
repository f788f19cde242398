"""The looks at what a run leaves behind see what they look for."""

import multiprocessing
import os
from pathlib import Path

import pytest


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory has no files here")
def test_shared_memory_is_forgotten_when_nobody_has_it_open(forgotten_memory, tmp_path):
    with_owner = multiprocessing.get_context("spawn").Lock()
    name = f"mucho-{os.getpid()}-{tmp_path.name}"
    path, another = Path("/dev/shm", name), Path("/dev/shm", f"another-{name}")
    before = forgotten_memory()
    path.write_bytes(b"left")
    another.write_bytes(b"left by another program")
    try:
        assert forgotten_memory() - before == {path.name}
        with path.open("rb"):
            assert forgotten_memory() <= before
    finally:
        path.unlink()
        another.unlink()
    assert forgotten_memory() <= before
    assert with_owner.acquire(block=False)
