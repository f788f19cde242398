"""A real HTTP server of a folder, with range requests; it notes each request that it gets.

A process of its own: rasterio keeps Python's lock while GDAL looks for files
beside a dataset, and a server in a thread could not answer.

    python range_server.py FOLDER LOG

It prints its port.
"""

import http.server
import re
import sys
from pathlib import Path


class Ranges(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path(sys.argv[1])
    log = Path(sys.argv[2]).open("a", buffering=1)  # noqa: SIM115 (as long as the process)

    def do_HEAD(self):
        self._answer(has_body=False)

    def do_GET(self):
        self._answer(has_body=True)

    def log_message(self, *args):
        pass

    def _answer(self, *, has_body):
        asked = self.headers.get("Range")
        self.log.write(f"{self.command} {self.path} {asked}\n")
        file = self.folder / self.path.partition("?")[0].lstrip("/")
        if not file.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = file.read_bytes()
        whole = len(content)
        status = 200
        if asked is not None:
            first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", asked).groups())
            content = content[first : last + 1]
            status = 206 if content else 416
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{first + len(content) - 1}/{whole}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if has_body:
            self.wfile.write(content)


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    print(server.server_port, flush=True)
    server.serve_forever()
