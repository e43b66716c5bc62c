"""Connections that end at a deadline, also while TLS is agreed on or a head comes byte by byte."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection


class Watch:
    """Shuts a connection down at a deadline, whatever its reader waits for: a socket's timeout starts anew with every byte."""

    _of_thread = threading.local()

    def __init__(self, seconds: float) -> None:
        self.end = math.inf  # by the clock of the exchange
        self.is_over = False
        self._deadline = time.monotonic() + seconds
        self._is_done = threading.Event()
        self._guard: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def on_this_thread(self) -> Iterator[None]:
        """Connections that this thread opens or asks in the block are this watch's."""
        self._of_thread.watch = self
        try:
            yield
        finally:
            del self._of_thread.watch

    @classmethod
    def guard(cls, connection: socket.socket) -> None:
        """Let the watch of this thread end `connection`, if there is one; raises OSError when no thread can be started."""
        watch: Watch | None = getattr(cls._of_thread, "watch", None)
        if watch is not None:
            watch._take(connection)

    def allow(self, seconds: float) -> None:
        """Move the deadline to so many seconds from now."""
        self._deadline = time.monotonic() + seconds

    def close(self) -> None:
        """End the watch, not the connection."""
        self._is_done.set()
        if self._thread is not None:
            self._thread.join()
        if self._guard is not None:
            self._guard.close()

    def _take(self, connection: socket.socket) -> None:
        if self._thread is not None:
            return
        # A descriptor of its own, since the connection may close its one or hand it to TLS.
        self._guard = socket.socket(fileno=os.dup(connection.fileno()))
        thread = threading.Thread(target=self._wait, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # Without the watch the exchange might not end.
            raise OSError(errno.EAGAIN, "no thread can be started") from error
        self._thread = thread

    def _wait(self) -> None:
        while not self._is_done.wait(max(0.0, self._deadline - time.monotonic())):
            if time.monotonic() >= self._deadline and self._guard is not None:
                self.is_over = True
                with contextlib.suppress(OSError):
                    self._guard.shutdown(socket.SHUT_RDWR)
                return


class _Guarded:
    """A connection that the watch of its thread may end, while it is made and while its answer is awaited."""

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        Watch.guard(made)
        return made

    def getresponse(self) -> Any:
        Watch.guard(self.sock)  # type: ignore[attr-defined]
        return super().getresponse()  # type: ignore[misc]


class _Connection(_Guarded, HTTPConnection):
    pass


class _SecureConnection(_Guarded, HTTPSConnection):
    pass


class Pool(urllib3.HTTPConnectionPool):
    """Plain connections that a watch may end."""

    ConnectionCls = _Connection


class SecurePool(urllib3.HTTPSConnectionPool):
    """TLS connections that a watch may end."""

    ConnectionCls = _SecureConnection
