"""A local server that speaks what huggingface_hub asks of the Hub when it puts and gets two files."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "a" * 40


class StandIn:
    """What the server holds.

    repositories: their files by name. private: of each, as it was created. gated: repositories that nobody may read.
    asked: each request, its method and its path.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.gated: set[str] = set()
        self.asked: list[str] = []
        self.address = ""


@contextmanager
def serving() -> Iterator[StandIn]:
    """Yields what a server on this machine holds while it answers."""
    held = StandIn()

    class Handler(_Handler):
        hub = held

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        held.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield held
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: StandIn
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._file(with_content=False)

    def do_GET(self) -> None:
        self._file(with_content=True)

    def do_POST(self) -> None:
        self.hub.asked.append(f"POST {self.path}")
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if "Authorization" not in self.headers:
            self._answer(401, {"error": "Invalid username or password."})
        elif self.path == "/api/validate-yaml":
            self._answer(200, {"warnings": [], "errors": []})
        elif self.path == "/api/repos/create":
            self._create(json.loads(sent))
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(sent)["files"]]
            files = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
            self._answer(200, {"files": files})
        else:
            self._commit([json.loads(line) for line in sent.splitlines()])

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        address = {"url": f"{self.hub.address}/{name}", "name": name, "id": name}
        if name in self.hub.repositories:
            self._answer(409, address)
            return
        self.hub.repositories[name] = {}
        self.hub.private[name] = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        self._answer(200, address)

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        repository = self.path.removeprefix("/api/models/").partition("/commit/")[0]
        for line in lines:
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.hub.repositories[repository][line["value"]["path"]] = content
        address = f"{self.hub.address}/{repository}/commit/{COMMIT}"
        self._answer(200, {"commitUrl": address, "commitOid": COMMIT, "success": True, "hookOutput": ""})

    def _file(self, *, with_content: bool) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        repository, _, rest = self.path.removeprefix("/").partition("/resolve/")
        revision, _, name = rest.partition("?")[0].partition("/")
        files = self.hub.repositories.get(repository)
        if files is None:
            self._refuse(401, "RepoNotFound")
        elif repository in self.hub.gated:
            self._refuse(403, "GatedRepo")
        elif revision not in ("main", "v1", COMMIT):
            self._refuse(404, "RevisionNotFound")
        elif name not in files:
            self._refuse(404, "EntryNotFound")
        else:
            content = files[name]
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            self._send(200, content, headers, with_content=with_content)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code, "X-Repo-Commit": COMMIT})

    def _answer(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, with_content: bool = True) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing."""
