"""The HTTP server of a worker: listening sockets that others own, a thread a connection, draining without a lost request.

A listening socket is shared: the supervisor holds it open while one worker after the other accepts from it. `drain` stops
accepting and lets every connection finish the request that it has begun; open idle connections go to the successor over a
socket (SCM_RIGHTS), or get a last call where there is none.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable

from .connection import Connection, Response, Times, refused
from .head import Head, response
from .refusal import Refusal

MAX_CONNECTIONS = 128
_OVERLOADED_S = 0.05
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Server:
    """Accepts on any number of sockets until it drains."""

    def __init__(
        self,
        handler: Callable[[Head, memoryview], Response],
        bound: Callable[[Head], int],
        times: Times | None = None,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """`handler` answers a request, `bound` tells the most bytes of its body; neither raises but Refusal."""
        self._handler, self._bound, self._max = handler, bound, max_connections
        self.times = times or Times()
        self.wake, self._waker = os.pipe()
        self.is_draining = False
        self.has_successor = False
        self._successor: socket.socket | None = None
        self._lock = threading.Lock()
        self._open = 0
        self._is_idle = threading.Condition(self._lock)
        self._accepting: list[threading.Thread] = []

    def listen(self, listener: socket.socket) -> None:
        """Accept from a listening socket, in a thread."""
        listener.setblocking(False)
        thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._accepting.append(thread)
        thread.start()

    def adopt(self, channel: socket.socket) -> None:
        """Take over connections that a predecessor hands on over `channel`, until it closes that; in a thread."""
        threading.Thread(target=self._adopt, args=(channel,), daemon=True).start()

    def drain(self, successor: socket.socket | None, seconds: float) -> bool:
        """Stop accepting, hand on or close the connections; whether all ended in that time."""
        with self._lock:
            self._successor, self.has_successor = successor, successor is not None
            self.is_draining = True
        os.write(self._waker, b"\0")
        for thread in self._accepting:
            thread.join(seconds)
        with self._is_idle:
            is_done = self._is_idle.wait_for(lambda: self._open == 0, seconds)
        if successor is not None:
            successor.close()
        return is_done

    def bound(self, head: Head, family: int) -> int:
        """See `connection.Host`. On a port a Host that is not this machine's is refused: web pages could send their own."""
        name = head.fields.get("host", "").rpartition(":")[0] or head.fields.get("host", "")
        if family != socket.AF_UNIX and name not in _LOCAL_HOSTS:
            raise Refusal(421, "this server answers for localhost only; send it as the Host.")
        return self._bound(head)

    def handle(self, head: Head, body: memoryview) -> Response:
        """See `connection.Host`."""
        return self._handler(head, body)

    def hand_on(self, sock: socket.socket) -> bool:
        """Give an idle connection to the successor; False where there is none, or it is gone."""
        with self._lock:
            if self._successor is None:
                return False
            try:
                socket.send_fds(self._successor, [b"\0"], [sock.fileno()])
            except OSError:
                self.has_successor, self._successor = False, None
                return False
        return True

    def _accept(self, listener: socket.socket) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        with listener:
            while True:
                poll.poll()
                if self.is_draining:
                    return
                try:
                    self._begin(listener.accept()[0], False)
                except (BlockingIOError, ConnectionAbortedError):  # another generation was faster, or the client left
                    continue
                except (OSError, RuntimeError):  # no more handles, or threads: others may end
                    time.sleep(_OVERLOADED_S)

    def _adopt(self, channel: socket.socket) -> None:
        with channel:
            while True:
                try:
                    data, handles, _, _ = socket.recv_fds(channel, 1, 1)
                except OSError:  # the predecessor was killed
                    return
                if not data:
                    return
                for handle in handles:
                    with contextlib.suppress(RuntimeError):
                        self._begin(socket.socket(fileno=handle), True)

    def _begin(self, sock: socket.socket, is_adopted: bool) -> None:
        with self._lock:
            is_full = self._open >= self._max and not is_adopted
            self._open += not is_full
        if is_full:
            body = bytes(refused(503, f"there are {self._max} connections already; try again.").pieces[0])
            with contextlib.suppress(OSError), sock:
                sock.setblocking(False)
                sock.send(response(503, "application/json", len(body), keeps=False) + body)
            return
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._open -= 1
            sock.close()
            raise

    def _serve(self, sock: socket.socket) -> None:
        try:
            with sock:
                Connection(sock, self).serve()
        finally:
            with self._is_idle:
                self._open -= 1
                self._is_idle.notify_all()
