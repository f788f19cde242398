"""Inputs on a server that has bad moments: they are read all the same."""

import http.server
import re
import socket
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from rio_mucho_cli import InputError, Job, MuchoError, run


def copy(data, window, ij, global_args):
    return data[0]


class Moody(http.server.BaseHTTPRequestHandler):
    """Serves ranges of one file, but at times an error, or nothing."""

    protocol_version = "HTTP/1.1"
    content = b""
    moods: tuple = ()
    asked: list = []  # noqa: RUF012 (of the class, on purpose: a handler is made for each request)

    def do_HEAD(self):
        self._answer(has_body=False)

    def do_GET(self):
        self._answer(has_body=True)

    def log_message(self, *args):
        pass

    def _answer(self, *, has_body):
        number = len(self.asked)
        self.asked.append(self.path)
        mood = self.moods[number % len(self.moods)]
        if mood == "reset":
            # Closed at once, and not in peace.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.rfile.close()
            self.wfile.close()
            self.connection.close()
            self.close_connection = True
            return
        content, status = self.content, 200
        if mood != "good":
            content, status = b"", int(mood)
        elif (asked := self.headers.get("Range")) is not None:
            first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", asked).groups()
            status, whole = 206, len(content)
            content = content[int(first) : int(last) + 1]
        self.send_response(status)
        if status == 206:
            end = int(first) + len(content) - 1
            self.send_header("Content-Range", f"bytes {first}-{end}/{whole}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if has_body:
            self.wfile.write(content)


@pytest.fixture
def serve(make_raster, monkeypatch):
    """Return a function that serves a raster, with moods that take turns; it returns the URL."""
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    monkeypatch.setenv("CPL_VSIL_CURL_USE_HEAD", "NO")
    monkeypatch.setenv("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    source = make_raster(width=300, height=200, tiled=True, blockxsize=64, blockysize=64)
    servers = []

    def start(*moods):
        handler = type("Handler", (Moody,), {})
        handler.content, handler.moods, handler.asked = Path(source).read_bytes(), moods, []
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"/vsicurl/http://127.0.0.1:{server.server_port}/in{len(servers)}.tif", handler.asked

    start.source = source
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "moods", [("good",), ("503", "good"), ("500", "502", "good"), ("reset", "good")]
)
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_passing_error_does_not_end_a_run(serve, tmp_path, read, moods, executor):
    url, asked = serve(*moods)
    output = str(tmp_path / "out.tif")
    run(Job(inputs=[url], output=output, function=copy, executor=executor, jobs=2))
    np.testing.assert_array_equal(read(output), read(serve.source))
    assert len(asked) >= len(moods)


def test_an_error_that_stays_ends_it(serve, tmp_path, leftovers):
    url, asked = serve("503")
    with pytest.raises(InputError, match="503"):
        run(Job(inputs=[url], output=str(tmp_path / "out.tif"), function=copy))
    assert len(asked) == 5  # four times more
    assert not leftovers()


def test_what_the_user_says_of_it_counts(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    url, asked = serve("503", "good")
    with pytest.raises(MuchoError):
        run(Job(inputs=[url], output=str(tmp_path / "out.tif"), function=copy))
    assert len(asked) == 1
