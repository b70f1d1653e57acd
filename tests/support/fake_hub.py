"""A Hugging Face hub on loopback: enough of it for `snapshot_download`, over a folder of real files."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def fake_hub(models: Path) -> Iterator[str]:
    """Serve the folders ``models/<organisation>/<name>``; yields the address for ``HF_ENDPOINT``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, body: bool) -> None:
            parts = unquote(urlsplit(self.path).path).strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                folder = models.joinpath(*parts[2:4])
                files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
                names = [path.relative_to(folder).as_posix() for path in files]
                found: object = {
                    "id": "/".join(parts[2:4]),
                    "sha": COMMIT,
                    "siblings": [{"rfilename": n} for n in names],
                }
                if "tree" in parts:
                    found = [
                        {"type": "file", "path": name, "oid": _etag(path.read_bytes()), "size": path.stat().st_size}
                        for name, path in zip(names, files, strict=True)
                    ]
                content, kind = json.dumps(found).encode(), "application/json"
            else:  # <organisation>/<name>/resolve/<commit>/<file>
                file = models.joinpath(*parts[:2], *parts[4:])
                if not file.is_file():
                    self.send_error(404)
                    return
                content, kind = file.read_bytes(), "application/octet-stream"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{_etag(content)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
