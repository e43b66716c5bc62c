"""Messages between the supervisor and a worker: JSON objects, with open sockets beside them where one is handed over.

A socket of packets keeps messages apart. Its end closes with the process that held it, however that ended: so a worker knows
that its supervisor is gone. The standard library only.
"""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Mapping, Sequence
from typing import Any

_MAX_BYTES = 64 << 10
_MAX_HANDLES = 4


class Channel:
    """One end. Raises EOFError once the other is closed."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected socket of packets."""
        self._sock = sock

    def fileno(self) -> int:
        """The socket's handle."""
        return self._sock.fileno()

    def send(self, message: Mapping[str, Any], sockets: Sequence[socket.socket] = ()) -> None:
        """Send a message; the other side gets sockets of its own."""
        try:
            socket.send_fds(self._sock, [json.dumps(message).encode()], [item.fileno() for item in sockets])
        except OSError as error:
            raise EOFError from error

    def receive(self, seconds: float | None = None) -> tuple[dict[str, Any], list[socket.socket]]:
        """The next message; raises TimeoutError when none comes in that time."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        if seconds is not None and not poll.poll(max(0.0, seconds) * 1000):
            raise TimeoutError
        try:
            data, handles, _, _ = socket.recv_fds(self._sock, _MAX_BYTES, _MAX_HANDLES)
        except OSError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        return json.loads(data), [socket.socket(fileno=handle) for handle in handles]

    def close(self) -> None:
        """Close this end."""
        self._sock.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets of packets."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
