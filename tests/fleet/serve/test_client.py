"""The client against servers that behave as the real one does in a moment that a test of the real one meets by chance only."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from edgewright.core.errors import NetworkError
from edgewright.fleet.serve.client import Client

BODY = bytes(8 << 20)  # more than a socket takes without a reader


def serve_once(path: Path, said: bytes) -> threading.Thread:
    """A server that says this to whoever comes, reads nothing, and closes."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()

    def run() -> None:
        with listener, listener.accept()[0] as sock:
            sock.sendall(said)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_the_answer_of_a_server_that_refused_and_closed_is_read(tmp_path: Path) -> None:
    thread = serve_once(tmp_path / "s", b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    with Client(tmp_path / "s", "m") as client:
        assert client.ask("POST", "/v2/models/m/infer", [BODY])[0] == 503
    thread.join()


def test_a_server_that_closes_without_a_word_is_told_of(tmp_path: Path) -> None:
    thread = serve_once(tmp_path / "s", b"")
    with Client(tmp_path / "s", "m") as client, pytest.raises(NetworkError, match="is it being served"):
        client.ask("POST", "/v2/models/m/infer", [BODY])
    thread.join()
