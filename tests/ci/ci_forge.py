"""Comments of one pull request (GitHub) and one merge request (GitLab), served on loopback."""

from __future__ import annotations

import json
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_MANY = re.compile(r"/repos/me/it/issues/7/comments|/projects/11/merge_requests/7/notes")
_ONE = re.compile(r"(?:/repos/me/it/issues/comments|/projects/11/merge_requests/7/notes)/(\d+)")
BOT = {"login": "github-actions[bot]", "username": "bot", "type": "Bot"}


class Forge:
    """`comments` are what is there; a token is good that is `token`; `login` is whom it belongs to, None for a workflow's."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.token = uuid.uuid4().hex
        self.login: dict[str, str] | None = None
        self.redirect = ""
        self.asked: list[str] = []
        forge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer()

            do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815 - names that the library calls

            def answer(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
                status, told = forge.answer(self.command, self.path, self.headers, body)
                content = json.dumps(told).encode()
                self.send_response(status)
                if forge.redirect:
                    self.send_header("Location", forge.redirect)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Forge:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, body: str, author: dict[str, str]) -> None:
        """A comment of somebody's."""
        self.comments.append({"id": 100 + len(self.comments), "body": body, "user": author, "author": author})

    def answer(self, method: str, target: str, headers: Any, body: Any) -> tuple[int, Any]:
        """Status and JSON of a request."""
        self.asked.append(f"{method} {target}")
        if self.redirect:
            return 302, {}
        if self.token not in [*(headers["Authorization"] or "").split(), headers["PRIVATE-TOKEN"]]:
            return 401, {}
        place = urlsplit(target)
        if place.path == "/user":
            return (403, {}) if self.login is None else (200, self.login)
        if method == "GET" and _MANY.fullmatch(place.path):
            asked = {name: int(value[0]) for name, value in parse_qs(place.query).items()}
            start = (asked["page"] - 1) * asked["per_page"]
            return 200, self.comments[start : start + asked["per_page"]]
        if method == "POST" and _MANY.fullmatch(place.path):
            self.add(body["body"], self.login or BOT)
            return 201, {}
        one = _ONE.fullmatch(place.path)
        if one and method == ("PATCH" if "repos" in target else "PUT"):
            self.comments[int(one[1]) - 100]["body"] = body["body"]
            return 200, {}
        return 404, {}
