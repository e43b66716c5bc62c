"""The control plane as one process: database, application, and engines beside it, each in a thread of its own.

That of rollouts reads the signed repository as a device does, with a root of its own in the data folder's `trust`: what it
offers to devices is what it has verified itself. That of drift judges what devices counted, and a webhook is told of alerts;
that of retrainings opens them where a policy says so. Whatever goes wrong there stops no device from being answered.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from ...core.canonical import digest
from ...core.clock import Clock, SystemClock
from ...core.errors import EdgewrightError, UsageError, VerificationError
from ..disk import RealDisk
from ..drift.settings import Settings
from ..http import Http
from ..trust.source import RepositorySource, origin_at
from .app import make_app
from .database import Database
from .drift.engine import DriftEngine
from .drift.webhook import Webhook
from .retrain.engine import RetrainEngine
from .rollouts.engine import Engine
from .rollouts.store import Rollouts

log = logging.getLogger("edgewright.control")

_AGAIN_S = 30.0  # after an engine could not work
_LONGEST_S = 300.0  # between two looks of an engine
_END_S = 10.0  # that it may take to end
_HEAD_BYTES = 32 << 10
_WAITING = 2048  # connections that wait to be accepted


@dataclass(frozen=True)
class Setup:
    """What to serve: data folder, address of the database (by default in that folder), of the repository, its root.json.

    `poll_s` is how often each device shall ask, in seconds; `alert_webhook` the address that is told of alerts, and
    `drift_window_s` how long the windows are that drift is looked for in.
    """

    folder: Path
    repository: str
    root: Path
    database: str | None = None
    host: str = "127.0.0.1"
    port: int = 8440
    tls_cert: str | None = None
    tls_key: str | None = None
    poll_s: float = 300.0
    alert_webhook: str | None = None
    drift_window_s: int = 3600


def serve(setup: Setup, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is told the address once requests are taken.

    Raises UsageError, VerificationError or StoreError before that.
    """
    if urlsplit(setup.repository).scheme not in ("http", "https"):
        raise UsageError(f"--repository {setup.repository} is no address; give http(s)://HOST/PATH of the published folder.")
    if (setup.tls_cert is None) != (setup.tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together; give both or none.")
    root, clock = _root(setup.root), SystemClock()
    database = Database(setup.database or str(setup.folder), clock)
    try:
        engines = _engines(setup, database, _source(setup, clock, root))
        app = make_app(database, clock, setup.repository, poll_s=setup.poll_s, root_sha256=digest(root))
        config = uvicorn.Config(
            app,
            host=setup.host,
            port=setup.port,
            log_level="warning",
            lifespan="auto",
            access_log=False,
            http=_http(),
            ssl_certfile=setup.tls_cert,
            ssl_keyfile=setup.tls_key,
            server_header=False,
            timeout_keep_alive=int(max(75.0, 2 * min(setup.poll_s, 600.0))),
            timeout_graceful_shutdown=10,
            backlog=_WAITING,
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
        server = uvicorn.Server(config)
        listener = config.bind_socket()
        listener.listen(_WAITING)  # who comes before the first request is answered waits
        scheme = "https" if setup.tls_cert else "http"
        with contextlib.ExitStack() as stack:
            for what, tick in engines.items():
                stack.enter_context(_ticking(what, tick))
            ready(f"{scheme}://{setup.host}:{listener.getsockname()[1]}")
            # uvicorn has ended in order by then, and tells the signal again.
            with contextlib.suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
    finally:
        database.close()


def _root(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VerificationError(
            f"cannot read the root {path}: {error.strerror}; give the root.json that `repo init` named."
        ) from error


def _source(setup: Setup, clock: Clock, root: bytes) -> RepositorySource:
    http = Http(clock)
    return RepositorySource(RealDisk(setup.folder), origin_at(setup.repository, http), clock, root, is_canary=True)


def _engines(setup: Setup, database: Database, source: RepositorySource) -> dict[str, Callable[[], float]]:
    """What is done beside requests, by name: each does what is due and tells in how many seconds to do so again."""
    found = {
        "rollouts": Engine(Rollouts(database), source).tick,
        "drift": DriftEngine(database, Settings(window_s=setup.drift_window_s)).tick,
        "retrainings": RetrainEngine(database).tick,
    }
    return {**found, "alerts": Webhook(database, setup.alert_webhook).tick} if setup.alert_webhook else found


@contextmanager
def _ticking(what: str, tick: Callable[[], float]) -> Iterator[None]:
    """An engine at work in a thread until the block ends."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            try:
                wait_s = tick()
            except EdgewrightError as error:
                log.warning("%s wait: %s", what, error)
                wait_s = _AGAIN_S
            except Exception:
                log.exception("a mistake of Edgewright's own stops %s for a while", what)
                wait_s = _AGAIN_S
            is_over.wait(min(wait_s, _LONGEST_S))

    # Where it waits for a download it is left: what it does is whole or not at all.
    thread = threading.Thread(target=work, name=what, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(_END_S)


def _http() -> type | str:
    """The faster reader of requests where it is installed, with a bound on what it keeps of a head that does not end."""
    if importlib.util.find_spec("httptools") is None:
        return "h11"
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Bounded(HttpToolsProtocol):
        head_bytes, is_in_head = 0, True

        def on_message_begin(self) -> None:
            self.head_bytes, self.is_in_head = 0, True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self.is_in_head = False
            super().on_headers_complete()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.head_bytes += len(data) if self.is_in_head else 0
            if self.head_bytes > _HEAD_BYTES:
                self.transport.close()

    return Bounded
