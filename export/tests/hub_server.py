"""A stand-in for the hub on loopback: small files in its layout, with the accidents of a network.

    HEAD, GET /{repo}/resolve/{revision}/{file}     and any other path given to `files`

Files answer to a branch or a commit, with the headers that the hub's client reads. A test says
which downloads are cut, whether ranges are understood and which token is wanted.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Hub:
    """What is served, what goes wrong, and what was asked."""

    repos: dict[str, dict[str, dict[str, bytes]]]  # repo -> commit -> file -> data
    branches: dict[str, str] = field(default_factory=dict)  # repo -> commit of main
    files: dict[str, bytes] = field(default_factory=dict)  # other paths
    cuts: dict[str, list[int]] = field(default_factory=dict)  # path -> bytes of its next answers
    endless: set[str] = field(default_factory=set)  # paths whose data never ends
    ranges: bool = True
    token: str | None = None
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def find(self, path: str) -> tuple[str | None, bytes] | None:
        """The commit (None outside repositories) and data behind a path."""
        if path in self.files:
            return None, self.files[path]
        repo, _, rest = path.strip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        commit = self.branches.get(repo) if revision == "main" else revision
        data = self.repos.get(repo, {}).get(commit, {}).get(name)
        return None if data is None else (commit, data)

    def downloads(self) -> list[str]:
        """Paths of all files that were fetched; the hub's own API is left out."""
        paths = [path for method, path, _ in self.asked if method == "GET"]
        return [path for path in paths if not path.startswith("/api/")]

    def gets(self, name: str) -> list[dict[str, str]]:
        """Headers of the downloads of paths that end with `name`."""
        return [h for method, path, h in self.asked if method == "GET" and path.endswith(name)]


class Server:
    """Serves a Hub on a free port of loopback while the `with` block lasts."""

    def __init__(self, hub: Hub) -> None:
        handler = type("Handler", (_Handler,), {"hub": hub})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        often = {"poll_interval": 0.01}  # seconds, so that a test ends at once
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs=often)

    def __enter__(self) -> Server:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:  # noqa: N802, the name is http.server's
        self._answer()

    def do_GET(self) -> None:  # noqa: N802
        self._answer()

    def log_message(self, *_: object) -> None:
        """Tests read `Hub.asked` instead."""

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.asked.append((self.command, self.path, headers))
        found = self.hub.find(self.path)
        if found is None:
            return self._refuse(404, "EntryNotFound")
        commit, data = found
        wanted = self.hub.token and commit
        if wanted and headers.get("authorization") != f"Bearer {self.hub.token}":
            return self._refuse(401, "GatedRepo")
        start = 0
        if self.hub.ranges and headers.get("range", "").startswith("bytes="):
            start = int(headers["range"].removeprefix("bytes=").partition("-")[0])
        if start and start >= len(data):
            return self._refuse(416, "", {"Content-Range": f"bytes */{len(data)}"})
        self._send(commit, data, start)

    def _refuse(self, code: int, why: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in ({"X-Error-Code": why, "Content-Length": "0"} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, commit: str | None, data: bytes, start: int) -> None:
        endless = self.command == "GET" and self.path in self.hub.endless
        self.send_response(206 if start else 200)
        if not endless:
            self.send_header("Content-Length", str(len(data) - start))
        self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if commit:
            etag = hashlib.sha256(data).hexdigest()
            for name, value in {
                "ETag": f'"{etag}"', "X-Linked-Etag": f'"{etag}"',
                "X-Linked-Size": str(len(data)), "X-Repo-Commit": commit,
            }.items():
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if endless:
            return self._send_forever()
        if cuts := self.hub.cuts.get(self.path):
            self.wfile.write(data[start : start + cuts.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(data[start:])

    def _send_forever(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # until the client has enough
            while True:
                self.wfile.write(bytes(1 << 16))
