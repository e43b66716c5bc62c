"""Listening sockets that outlive the workers which accept from them. The standard library only."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path

from ...core.errors import AgentError

_BACKLOG = 128
# Linux' sockaddr_un.sun_path holds 108 bytes with the closing 0, and the name it is bound under first is longer by this.
_MAX_PATH_BYTES = 107
_TEMPORARY = ".new"
# A worker of an agent that was killed holds its port for as long as it needs to notice.
_PORT_SECONDS = 15.0


def listen_unix(path: Path, mode: int = 0o660) -> socket.socket:
    """A listening unix socket at `path`, in the place of one that is there, with these permissions from its first moment.

    Raises AgentError.
    """
    temporary = path.with_name(path.name + _TEMPORARY)
    if len(os.fsencode(temporary)) > _MAX_PATH_BYTES:
        raise AgentError(f"the path of the socket {path} is longer than a socket's path may be; use a shorter data folder.")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        temporary.unlink(missing_ok=True)
        sock.bind(str(temporary))
        temporary.chmod(mode)
        sock.listen(_BACKLOG)
        temporary.rename(path)
    except OSError as error:
        sock.close()
        raise AgentError(f"cannot listen at {path}: {error.strerror or error}; check the folder and its rights.") from error
    return sock


def listen_port(port: int) -> socket.socket:
    """A listening socket on a port of the loopback interface, 0 for any that is free; raises AgentError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end = time.monotonic() + _PORT_SECONDS
    while True:
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen(_BACKLOG)
        except OSError as error:
            if isinstance(error, PermissionError) or time.monotonic() > end:
                sock.close()
                raise AgentError(f"cannot listen on port {port}: {error.strerror or error}; choose another port.") from error
            time.sleep(0.1)
        else:
            return sock


def remove(path: Path) -> None:
    """Remove a socket's name; nothing there is fine."""
    with contextlib.suppress(OSError):
        path.unlink()
