"""A running server's API for people, as commands reach it: its address, a token, one request at a time."""

from __future__ import annotations

import functools
import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import click

from ..core.errors import NetworkError, UsageError

SERVER, TOKEN = "EDGEWRIGHT_SERVER", "EDGEWRIGHT_TOKEN"
_PATH = "/api/v1/"
_TIMEOUT_S = 60.0
_MAX_ANSWER_BYTES = 64 << 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Remote:
    """A server and the token of who asks it. Refusals are UsageErrors in the server's words; else NetworkError."""

    def __init__(self, server: str, token: str, ca_file: Path | None = None, *, is_insecure: bool = False) -> None:
        """Raises UsageError for an address that is none, or over which the token would travel in the clear."""
        try:
            parts = urlsplit(server)
            host = parts.hostname
        except ValueError:
            host = None
        if host is None or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
            raise UsageError("--server is no web address; give one such as https://control.example.org.")
        if parts.scheme == "http" and host not in _LOOPBACK and not is_insecure:
            raise UsageError(
                f"the token would travel to {host} in the clear; give an https:// address, or --insecure in a network of your "
                "own."
            )
        self._server, self._token = server.rstrip("/"), token
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if parts.scheme == "https":
            handlers.append(urllib.request.HTTPSHandler(context=_context(ca_file)))
        self._opener = urllib.request.build_opener(*handlers)

    def call(
        self, method: str, *path: str | int, query: Mapping[str, str | int | None] | None = None, body: Any = None
    ) -> dict[str, Any]:
        """The answer to a request; `path` are its pieces behind /api/v1, fields of `query` that are None are left out."""
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        url = self._server + _PATH + "/".join(quote(str(piece), safe="") for piece in path)
        url += f"?{urlencode(asked)}" if asked else ""
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json", "User-Agent": "edgewright"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        # The scheme was looked at when this object was made.
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                return self._read(answer.read(_MAX_ANSWER_BYTES + 1))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error.code, error.read(_MAX_ANSWER_BYTES)) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            told = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
            raise NetworkError(f"{self._server} cannot be asked ({told}); look at the address and whether it runs.") from None

    def pages(self, key: str, *path: str, query: Mapping[str, str | int | None] | None = None) -> Iterator[Any]:
        """All items of a list that comes in pages, from where `after` in the query says."""
        asked = dict(query or {})
        while True:
            page = self.call("GET", *path, query=asked)
            yield from page[key]
            if page["next"] is None:
                return
            asked["after"] = page["next"]

    def _read(self, data: bytes) -> dict[str, Any]:
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if len(data) > _MAX_ANSWER_BYTES or not isinstance(found, dict):
            raise NetworkError(f"{self._server} answers with something else than this API; look at the address.")
        return found

    def _refusal(self, status: int, data: bytes) -> UsageError | NetworkError:
        try:
            told = json.loads(data)
            sentence = str(told["error"])
        except (ValueError, TypeError, KeyError):
            return NetworkError(f"{self._server} answers with {status} and no reason; look at the address.")
        return UsageError(sentence) if status < 500 else NetworkError(f"{self._server}: {sentence}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token goes where it was meant to, and nowhere else."""

    def redirect_request(self, *given: Any) -> None:
        """None: the answer is what there is."""
        return


def remote(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take a Remote and `as_json` first, and the options that they are made from."""

    @connecting
    @click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
    @functools.wraps(command)
    def wrapped(*, connect: Callable[[], Remote], as_json: bool, **given: Any) -> None:
        command(connect(), as_json, **given)

    return wrapped


def connecting(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take `connect`, which gives a Remote or raises UsageError, and the options that one is made from."""

    @click.option("--server", envvar=SERVER, metavar="URL", help=f"Address of the control plane; or {SERVER}.")
    @click.option(
        "--token-file", type=click.Path(path_type=Path), help=f"File with your token; or the token itself in {TOKEN}."
    )
    @click.option("--ca", "ca_file", type=click.Path(path_type=Path), help="PEM file of the authorities to trust for https.")
    @click.option("--insecure", "is_insecure", is_flag=True, help="Send the token over http:// to another machine.")
    @functools.wraps(command)
    def wrapped(*, server: str | None, token_file: Path | None, ca_file: Path | None, is_insecure: bool, **given: Any) -> None:
        def connect() -> Remote:
            if server is None:
                raise UsageError(f"say which server to ask: --server URL, or {SERVER} in the environment.")
            return Remote(server, _token(token_file), ca_file, is_insecure=is_insecure)

        command(connect=connect, **given)

    return wrapped


def _token(file: Path | None) -> str:
    if file is not None:
        try:
            token = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise UsageError(f"cannot read the token in {file}: {reason}; give the file that you keep it in.") from None
    else:
        token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise UsageError(
            f"a token is needed: --token-file FILE, or {TOKEN} in the environment; `edgewright server token` makes the first."
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError("the token is none; copy the whole line that it was printed in, which begins with ew_.")
    return token


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise UsageError(f"{ca_file} holds no certificates; give a PEM file of the authority.") from None
