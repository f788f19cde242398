"""Workers are forked from a process that has only imported; the rest falls back to spawn."""

import errno
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from forking import CAN_FORK

from rio_mucho_cli.errors import UsageError, WorkerProcessDiedError
from rio_mucho_cli.workers import fork_server
from rio_mucho_cli.workers.channel import pack_message
from rio_mucho_cli.workers.fork_server_main import STARTED
from rio_mucho_cli.workers.process_pool import ProcessExecutor

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="this system has no fork server")


@pytest.fixture(autouse=True)
def own_server(monkeypatch):
    """Give each test a state of its own, and end its server."""
    monkeypatch.setattr(fork_server, "_current", fork_server._Current())
    yield
    fork_server._current.close()


@pytest.fixture
def executor_of():
    executors = []

    def make(jobs=1):
        executors.append(ProcessExecutor(jobs, pack_message((bool, (), {})), {}))
        return executors[-1]

    yield make
    for executor in executors:
        executor.shutdown(cancel_futures=True)


def result_of(executor, function, *args):
    return executor.submit(function, *args).result(timeout=60)


def is_running(pid):
    """Whether a process exists and is not waiting for its parent to notice its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until_ended(*pids):
    deadline = time.monotonic() + 60
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def parent_and_state():
    files = {}
    for path in Path("/proc/self/fd").iterdir():
        try:
            files[int(path.name)] = str(path.readlink())
        except OSError:
            continue
    return os.getppid(), files, len(list(Path("/proc/self/task").iterdir()))


def test_workers_are_forked_from_one_process(executor_of):
    server = fork_server.get_fork_server()
    for _ in range(2):
        assert result_of(executor_of(), os.getppid) == server.pid
    assert fork_server.get_fork_server() is server


def test_a_worker_inherits_nothing_of_the_program(executor_of, tmp_path):
    with (tmp_path / "open").open("w"), socket.socket():
        _, files, threads = result_of(executor_of(), parent_and_state)
    kinds = sorted(name.partition(":")[0] for number, name in files.items() if number > 2)
    assert [kind for kind in kinds if not kind.startswith("/proc")] == ["/memfd", "socket"]
    assert files[0] == "/dev/null"
    assert threads == 1


def test_a_worker_has_the_folder_streams_and_variables_of_the_moment(
    executor_of, tmp_path, monkeypatch, capfd
):
    def look():
        os.write(1, b"out")
        os.write(2, b"err")
        return str(Path.cwd()), sys.argv, sys.path, dict(os.environ)

    result_of(executor_of(), os.getpid)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["program", "argument"])
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    folder, argv, path, variables = result_of(executor_of(), look)
    assert (folder, argv, path) == (str(tmp_path), ["program", "argument"], sys.path)
    assert variables.items() >= {**os.environ}.items()
    assert capfd.readouterr() == ("out", "err")


def test_streams_that_are_closed_and_a_folder_that_is_gone(executor_of, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    kept = os.dup(1)
    os.close(1)
    try:
        assert result_of(executor_of(), os.readlink, "/proc/self/fd/1") == "/dev/null"
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.chdir(tmp_path)


@pytest.mark.parametrize("change", ["variable", "umask", "limit"])
def test_a_server_of_another_state_is_replaced(executor_of, monkeypatch, change):
    import resource

    first = result_of(executor_of(), os.getppid)
    if change == "variable":
        monkeypatch.setenv("ANY", "thing")
        assert result_of(executor_of(), os.getenv, "ANY") == "thing"
    elif change == "umask":
        before = os.umask(0o27)
        try:
            assert result_of(executor_of(), os.umask, 0) == 0o27
        finally:
            os.umask(before)
    else:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
        try:
            limits = result_of(executor_of(), resource.getrlimit, resource.RLIMIT_NOFILE)
            assert limits == (soft - 1, hard)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert result_of(executor_of(), os.getppid) != first


def test_a_server_that_is_replaced_ends_with_its_workers(executor_of, monkeypatch):
    executor = executor_of()
    first = result_of(executor, os.getppid)
    monkeypatch.setenv("ANY", "thing")
    assert result_of(executor_of(), os.getppid) != first
    assert result_of(executor, os.getppid) == first
    executor.shutdown()
    wait_until_ended(first)
    monkeypatch.delenv("ANY")
    result_of(executor_of(), os.getppid)
    assert first not in {server.pid for server in fork_server._current.retired}


def test_random_numbers_differ(executor_of):
    def draw():
        return random.random(), float(np.random.random()), float(np.random.default_rng().random())

    executors = [executor_of() for _ in range(3)]
    assert len({number for executor in executors for number in result_of(executor, draw)}) == 9


def test_a_server_that_is_killed_is_replaced_and_its_workers_end(executor_of):
    def kill_server():
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()

    executor = executor_of()
    first, worker = fork_server.get_fork_server(), result_of(executor, os.getpid)
    with pytest.raises(WorkerProcessDiedError) as caught:
        result_of(executor, kill_server)
    assert (caught.value.exitcode, caught.value.peak) == (-signal.SIGKILL, None)
    assert not is_running(worker)
    assert result_of(executor, os.getppid) == fork_server.get_fork_server().pid != first.pid


def test_a_server_that_has_ended_is_replaced(executor_of):
    result_of(executor_of(), bool)
    first = fork_server.get_fork_server().pid
    os.kill(first, signal.SIGTERM)
    os.waitpid(first, 0)
    assert result_of(executor_of(), os.getppid) not in {first, os.getpid()}


def test_a_server_that_cannot_get_ready_is_done_without(executor_of, monkeypatch, caplog):
    def with_gdal(*args):
        server = start(*args)
        server.control.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            theirs.send(b"GDAL drivers are registered by imports")
        server.control = ours
        return server

    start = fork_server._start_interpreter
    monkeypatch.setattr(fork_server, "_start_interpreter", with_gdal)
    caplog.set_level(logging.INFO)
    assert result_of(executor_of(2), os.getppid) == os.getpid()
    assert [record.message for record in caplog.records] == [
        "workers start without a fork server: GDAL drivers are registered by imports"
    ]
    # It is tried again only once something has changed.
    monkeypatch.setattr(fork_server, "_start_interpreter", start)
    assert result_of(executor_of(), os.getppid) == os.getpid()
    monkeypatch.setenv("ANY", "thing")
    assert result_of(executor_of(), os.getppid) != os.getpid()


def test_gdal_in_the_server_is_noticed(tmp_path):
    code = (
        "import os, socket, rasterio\n"
        "from rio_mucho_cli.workers.fork_server_main import serve_forks\n"
        "ours, theirs = socket.socketpair()\n"
        "with rasterio.Env(): pass\n"
        "serve_forks(theirs, os.getppid())\n"
        "print(ours.recv(100))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b"GDAL drivers are registered" in result.stdout


def test_a_process_that_the_system_does_not_allow():
    server = fork_server.get_fork_server()
    server._wait_until_ready()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def refuse():
        _, files, _, _ = socket.recv_fds(theirs, 1, 6)
        with socket.socket(fileno=files[2]) as status:
            status.send(STARTED.pack(-errno.EAGAIN))
        for file in (*files[:2], *files[3:]):
            os.close(file)

    real, server.control = server.control, ours
    thread = threading.Thread(target=refuse)
    thread.start()
    try:
        with pytest.raises(BlockingIOError):
            server.fork(0, 0)
    finally:
        thread.join()
        server.control = real
        ours.close()
        theirs.close()


def test_a_child_of_the_program_has_a_server_of_its_own():
    server = fork_server.get_fork_server()
    server._wait_until_ready()
    receiver, sender = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(sender, str(fork_server._current.server).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(receiver, 100) == b"None"
    os.close(receiver)
    os.close(sender)
    assert fork_server.get_fork_server() is server


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_the_user_chooses(executor_of, monkeypatch, method):
    monkeypatch.setenv("MUCHO_START_METHOD", method)
    assert (result_of(executor_of(), os.getppid) == os.getpid()) == (method == "spawn")


def test_an_unknown_method(monkeypatch):
    monkeypatch.setenv("MUCHO_START_METHOD", "frok")
    with pytest.raises(UsageError, match="MUCHO_START_METHOD is 'frok': set it to forkserver or"):
        fork_server.get_fork_server()


SCRIPT = """
import os, sys, time
from rio_mucho_cli.workers import fork_server
from rio_mucho_cli.workers.channel import pack_message
from rio_mucho_cli.workers.process_pool import ProcessExecutor

if "here" in sys.argv:
    fork_server.fork_server_from_here()
executor = ProcessExecutor(2, pack_message((bool, (), {})), {})
executor.submit(bool).result()
print(fork_server.get_fork_server().pid, flush=True)
executor.submit(time.sleep, 600)
sys.stdin.read()
os._exit(0) if "abruptly" in sys.argv else executor.shutdown(cancel_futures=True)
"""


@pytest.mark.parametrize("here", ["here", "elsewhere"])
@pytest.mark.parametrize("end", ["regularly", "abruptly", "killed"])
def test_nothing_outlives_the_program(children, here, end):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-W", "error", "-c", SCRIPT, here, end]
    with subprocess.Popen(command, **pipes) as program:
        server = int(program.stdout.readline())
        workers = [pid for pid in children(program.pid) if pid != server]
        assert len(workers) == 2
        if end == "killed":
            program.kill()
        program.communicate(timeout=60)
    wait_until_ended(server, *workers)
