"""A publisher on this machine: files and records over HTTP, with the faults that a network has."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Publisher:
    """Serves `contents` by path; `faults` are used up request by request: `break`, `wrong`, `redirect` or a status."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.asked: list[tuple[str, str | None]] = []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, asked = request.path, request.headers.get("Range")
        self.asked.append((path, asked))
        faults = self.faults.get(path, [])
        fault = faults.pop(0) if faults else ""
        if fault.isdigit():
            request.send_error(int(fault))
            return
        if fault == "redirect":
            request.send_response(302)
            request.send_header("Location", f"{self.url}/moved{path}")
            request.end_headers()
            return
        content = self.contents.get(path.removeprefix("/moved"))
        if content is None:
            request.send_error(404)
            return
        content = content[::-1] if fault == "wrong" else content
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        sent = content[start:]
        request.wfile.write(sent[: len(sent) // 2] if fault == "break" else sent)

    def publish(self, number: int, files: Mapping[str, bytes], **changed: Any) -> str:
        """Publish a record as Zenodo does; returns its address."""
        for name, content in files.items():
            self.contents[f"/{number}/{name}"] = content
        record = {
            "id": number,
            "doi": f"10.5281/zenodo.{number}",
            "metadata": {
                "title": "Drawn nuclei",
                "license": {"id": "cc-by-4.0"},
                "creators": [{"name": "Doe, Jane"}],
            },
            "files": [
                {
                    "key": name,
                    "size": len(content),
                    "checksum": f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}",
                    "links": {"self": f"{self.url}/{number}/{name}"},
                }
                for name, content in files.items()
            ],
            **changed,
        }
        self.contents[f"/api/{number}"] = json.dumps(record).encode()
        return f"{self.url}/api/{number}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def zip_of(files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of names and contents."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()
