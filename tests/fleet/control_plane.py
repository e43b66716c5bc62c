"""A real control plane on a free port of the loopback interface."""

from __future__ import annotations

import threading
import time

import uvicorn
from edgewright.core.canonical import digest
from edgewright.core.clock import SystemClock
from edgewright.fleet.control.app import make_app
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.store import Store


class ServerClock(SystemClock):
    """The machine's clock, moved."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s


class Control:
    """A control plane that listens on a free port, in a thread of this process."""

    def __init__(self, where, repository="http://127.0.0.1:1/repository", poll_s=300.0, root=None):
        """`root` is the file that new devices shall trust."""
        self.clock = ServerClock()
        self.database = Database(str(where), self.clock)
        self.store = Store(self.database)
        root_sha256 = None if root is None else digest(root.read_bytes())
        app = make_app(self.database, self.clock, repository, poll_s=poll_s, root_sha256=root_sha256)
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="on"))
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def stop(self):
        """Answer nobody any more."""
        self._server.should_exit = True
        self._thread.join()

    def close(self):
        self.stop()
        self.database.close()
