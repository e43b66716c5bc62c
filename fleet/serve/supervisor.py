"""The workers of a device: started, checked, switched, restarted when they crash. Runs in the updater; no numpy, no runtime.

The public socket of a model is opened once and stays open: a new generation is given it and accepts, then the old one stops
accepting, hands its idle connections to the new one, answers what it has begun, and ends. No moment is without a listener,
and no connection is closed under a request.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...core.child import child_command
from ...core.errors import AgentError, EdgewrightError, RuntimeFailure, VerificationError
from ..protocol.offer import check_model
from ..telemetry.live import WINDOW_S
from .channel import Channel, pair
from .generation import Generation, Health, Statistics
from .orders import Orders
from .sockets import listen_port, listen_unix, remove

log = logging.getLogger("edgewright.agent")

_PRIVATE_MODE = 0o600
_PRIVATE = "private"  # no public socket lies there, whatever models are called
_MOST_REVIVALS = 5  # in vain, one after another


@dataclass(frozen=True)
class Settings:
    """How workers are run. Seconds: `start_s` to load an artifact, `check_s` for its test vectors, `answer_s` for all else,
    `drain_s` for the requests that an old generation has begun, `backoff_s` from the first restart to the longest wait.

    `places` are the public sockets by model, a path or a loopback port, for those that shall not have `<folder>/<model>.sock`;
    `socket_mode` are the rights of a path. `telemetry` is the folder that workers leave windows of counts in, of `window_s`
    seconds each, None for none; `sampling` the fields of a `telemetry.sampling.Sampling` where somebody agreed to keep hard
    examples.
    """

    threads: int | None = None
    batch: int = 1
    wait_ms: float = 0.0
    places: Mapping[str, Path | int] = field(default_factory=dict)
    socket_mode: int = 0o660
    telemetry: Path | None = None
    sampling: Mapping[str, Any] | None = None
    window_s: float = WINDOW_S
    start_s: float = 300.0
    check_s: float = 300.0
    answer_s: float = 15.0
    drain_s: float = 30.0
    backoff_s: tuple[float, float] = (0.5, 30.0)


@dataclass(eq=False)
class _Worker:
    """A generation over the lives of its processes."""

    generation: Generation
    artifact: Path
    process: subprocess.Popen[bytes]
    channel: Channel
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_wanted: bool = True
    is_public: bool = False
    known: Statistics = field(default_factory=lambda: Statistics(0, 0))  # of earlier processes
    last: Statistics = field(default_factory=lambda: Statistics(0, 0))  # of this one, when it was last asked
    crashes: int = 0
    began: float = field(default_factory=time.monotonic)


class Supervisor:
    """The real `Serving` of the agent. Any number of threads; one supervisor a folder."""

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        """`folder` holds the sockets; names that an ended supervisor left there are removed. Raises AgentError."""
        self._folder, self._settings = folder, settings or Settings()
        self._lock = threading.RLock()
        self._numbers: dict[str, int] = {}
        self._workers: dict[tuple[str, int], _Worker] = {}
        self._public: dict[str, _Worker] = {}
        self._listeners: dict[str, socket.socket] = {}
        self._is_closing = threading.Event()
        try:
            (folder / _PRIVATE).mkdir(parents=True, exist_ok=True)
            for left in (*folder.glob("*.sock*"), *(folder / _PRIVATE).glob("*.sock*")):
                remove(left)
        except OSError as error:
            raise AgentError(f"cannot use the folder {folder}: {error.strerror or error}; check its rights.") from error

    def start(self, model: str, artifact: Path, sha256: str) -> Generation:
        """A worker on a private socket (`private_socket`), loaded and warmed up, not yet public.

        Raises VerificationError when the file is damaged or not the one that `sha256` names, RuntimeFailure when it cannot be
        run, AgentError when the device has no process, thread or socket for it, ProtocolError when the model's name cannot be a
        file's.
        """
        check_model(model)
        with self._lock:
            number = self._numbers[model] = self._numbers.get(model, 0) + 1
        generation = Generation(model, number, sha256, 0)
        process, channel = self._launch(generation, artifact)
        worker = _Worker(replace(generation, pid=process.pid), artifact, process, channel)
        with self._lock:
            self._workers[model, number] = worker
        try:
            threading.Thread(target=self._watch, args=(worker,), daemon=True).start()
        except RuntimeError as error:
            self._retire(worker, None)
            raise _no_room(model, error) from error
        return worker.generation

    def check(self, generation: Generation) -> Health:
        """The artifact's test vectors through the worker; raises RuntimeFailure when the worker does not answer."""
        self._probe(generation)
        return Health.from_json(self._ask(self._worker(generation), {"do": "check"}, self._settings.check_s))

    def publish(self, generation: Generation) -> None:
        """Let it take over the model's public socket; returns when the generation before it has ended.

        Raises RuntimeFailure when the worker is gone: the generation before then goes on. Raises AgentError when the public
        socket cannot be opened.
        """
        worker = self._worker(generation)
        with self._lock:
            listener = self._listener(generation.model)
            before = self._public.get(generation.model)
            if before is worker:
                return
            self._ask(worker, {"do": "listen"}, self._settings.answer_s, [listener])
            worker.is_public = True
            self._public[generation.model] = worker
        if before is not None:
            self._retire(before, worker)

    def stop(self, generation: Generation) -> None:
        """End a worker when it has answered what it began; one that is gone is fine."""
        with self._lock:
            worker = self._workers.get((generation.model, generation.number))
        if worker is not None:
            self._retire(worker, None)

    def running(self, model: str) -> Generation | None:
        """The public generation of a model, or None. After a crash it is still that one, until it is given up."""
        with self._lock:
            worker = self._public.get(model)
            return None if worker is None else worker.generation

    def statistics(self, generation: Generation) -> Statistics:
        """Counts since the start of the generation, over restarts of its process; raises RuntimeFailure when it is gone."""
        worker = self._worker(generation)
        try:
            worker.last = Statistics.from_json(self._ask(worker, {"do": "statistics"}, self._settings.answer_s))
        except RuntimeFailure:
            if not (worker.is_wanted and worker.is_public):
                raise
        total = worker.known + worker.last
        return replace(total, crashes=worker.crashes)

    def private_socket(self, generation: Generation) -> Path:
        """Where a generation can be asked before it is public."""
        return self._folder / _PRIVATE / f"{generation.model}-{generation.number}.sock"

    def place(self, model: str) -> Path | int:
        """Where a model is served to the applications of the device: the path of a unix socket, or a port."""
        place = self._settings.places.get(model, self._folder / f"{model}.sock")
        with self._lock:
            listener = self._listeners.get(model)
        return int(listener.getsockname()[1]) if isinstance(place, int) and listener is not None else place

    def close(self) -> None:
        """End all workers and close the sockets."""
        self._is_closing.set()
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            self._retire(worker, None)
        with self._lock:
            for model, listener in self._listeners.items():
                place = self.place(model)
                listener.close()
                if isinstance(place, Path):
                    remove(place)
            self._listeners.clear()

    def _launch(self, generation: Generation, artifact: Path) -> tuple[subprocess.Popen[bytes], Channel]:
        """A process that is ready; raises VerificationError, RuntimeFailure, AgentError."""
        try:
            process, channel = self._begin(generation, artifact)
        except OSError as error:
            remove(self.private_socket(generation))
            raise _no_room(generation.model, error) from error
        try:
            message, _ = channel.receive(self._settings.start_s)
        except (EOFError, TimeoutError) as error:
            self._discard(process, channel, generation)
            code = process.returncode
            reason = "it was not ready in time" if isinstance(error, TimeoutError) else _ended(code)
            raise RuntimeFailure(f"the worker of {generation.model!r} cannot run {artifact}: {reason}.") from error
        if "error" in message:
            self._discard(process, channel, generation)
            kind = VerificationError if message["is_untrusted"] else RuntimeFailure
            raise kind(str(message["error"]))
        return process, channel

    def _begin(self, generation: Generation, artifact: Path) -> tuple[subprocess.Popen[bytes], Channel]:
        """A process that has its orders; raises OSError, AgentError."""
        settings = self._settings
        ours, theirs = pair()
        try:
            with theirs, listen_unix(self.private_socket(generation), _PRIVATE_MODE) as private:
                orders = Orders(
                    generation.model, str(artifact), generation.sha256, theirs.fileno(), private.fileno(),
                    settings.threads, settings.batch, settings.wait_ms,
                    None if settings.telemetry is None else str(settings.telemetry), settings.sampling,
                    settings.window_s,
                )  # fmt: skip
                process = subprocess.Popen(
                    child_command(f"{__package__}.worker", orders.text()),
                    pass_fds=[theirs.fileno(), private.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
        except (OSError, AgentError):
            ours.close()
            raise
        return process, Channel(ours)

    def _watch(self, worker: _Worker) -> None:
        """Restart a worker whenever its process ends and nobody asked for that; give it up where that is in vain."""
        shortest, longest = self._settings.backoff_s
        wait = shortest
        failed = 0
        while True:
            worker.process.wait()
            with self._lock:
                if not worker.is_wanted:
                    return
                worker.crashes += 1
                worker.known, worker.last = worker.known + worker.last, Statistics(0, 0)
                if not worker.is_public:
                    return  # on trial: whoever tries it finds that it does not answer
            if time.monotonic() - worker.began > longest:
                wait = shortest
            while not self._is_closing.wait(wait) and worker.is_wanted:
                wait = min(wait * 2, longest)
                try:
                    self._revive(worker)
                    failed = 0
                    break
                except Exception as error:
                    worker.crashes += 1
                    failed += 1
                    is_temporary = isinstance(error, (RuntimeFailure, AgentError))
                    log.error("%s: %s", worker.generation.model, error, exc_info=not isinstance(error, EdgewrightError))
                    if not is_temporary or failed >= _MOST_REVIVALS:
                        self._give_up(worker)
                        return
            else:
                return

    def _give_up(self, worker: _Worker) -> None:
        """Let a public generation be none, so that whoever asks what runs brings another one."""
        generation = worker.generation
        with self._lock:
            if not worker.is_wanted:
                return
            worker.is_wanted = False
            self._workers.pop((generation.model, generation.number), None)
            if self._public.get(generation.model) is worker:
                del self._public[generation.model]
        with worker.lock:
            worker.channel.close()
        remove(self.private_socket(generation))

    def _revive(self, worker: _Worker) -> None:
        """A new process for a public generation; raises VerificationError, RuntimeFailure, AgentError."""
        process, channel = self._launch(worker.generation, worker.artifact)
        with self._lock, worker.lock:
            if not worker.is_wanted:
                self._discard(process, channel, worker.generation)
                return
            worker.channel.close()
            worker.process, worker.channel, worker.began = process, channel, time.monotonic()
            worker.generation = replace(worker.generation, pid=process.pid)
            listener = self._listeners[worker.generation.model]
        try:
            self._ask(worker, {"do": "listen"}, self._settings.answer_s, [listener])
        except RuntimeFailure:
            process.kill()

    def _retire(self, worker: _Worker, successor: _Worker | None) -> None:
        """Drain a worker, with its connections to the successor, and wait for its end."""
        generation = worker.generation
        with self._lock:
            worker.is_wanted = False
            self._workers.pop((generation.model, generation.number), None)
            if self._public.get(generation.model) is worker:
                del self._public[generation.model]
        order, seconds = {"do": "drain", "seconds": self._settings.drain_s}, self._settings.drain_s + self._settings.answer_s
        try:
            if successor is None:
                self._ask(worker, order, seconds)
            else:
                to_new, to_old = pair()
                with to_new, to_old:
                    self._ask(successor, {"do": "adopt"}, self._settings.answer_s, [to_new])
                    self._ask(worker, order, seconds, [to_old])
        except RuntimeFailure:
            worker.process.kill()
        self._discard(worker.process, worker.channel, generation)

    def _ask(
        self, worker: _Worker, message: Mapping[str, Any], seconds: float, sockets: list[socket.socket] | None = None
    ) -> Any:
        with worker.lock:
            try:
                worker.channel.send(message, sockets or ())
                return worker.channel.receive(seconds)[0]["answer"]
            except TimeoutError as error:
                # An answer that came later would be taken for that of the next request.
                worker.process.kill()
                raise RuntimeFailure(
                    f"the worker of {worker.generation.model!r} gave no answer within {seconds:.0f} s; it was ended."
                ) from error
            except (EOFError, OSError) as error:
                raise RuntimeFailure(f"the worker of {worker.generation.model!r} has ended; see its output.") from error

    def _probe(self, generation: Generation) -> None:
        """Ask the private socket as a client would; raises RuntimeFailure."""
        told = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(self._settings.answer_s)
                sock.connect(str(self.private_socket(generation)))
                sock.sendall(told)
                answer = sock.recv(64)
        except OSError as error:
            raise RuntimeFailure(
                f"the worker of {generation.model!r} does not answer on its socket: {error.strerror or error}."
            ) from error
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeFailure(f"the worker of {generation.model!r} is not ready: {answer[:32]!r}.")

    def _worker(self, generation: Generation) -> _Worker:
        with self._lock:
            worker = self._workers.get((generation.model, generation.number))
        if worker is None:
            raise RuntimeFailure(f"generation {generation.number} of {generation.model!r} has ended; start it again.")
        return worker

    def _listener(self, model: str) -> socket.socket:
        if model not in self._listeners:
            place = self.place(model)
            self._listeners[model] = (
                listen_port(place) if isinstance(place, int) else listen_unix(place, self._settings.socket_mode)
            )
        return self._listeners[model]

    def _discard(self, process: subprocess.Popen[bytes], channel: Channel, generation: Generation) -> None:
        """End a process for certain, and remove its socket."""
        channel.close()
        try:
            process.wait(self._settings.answer_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        remove(self.private_socket(generation))


def _no_room(model: str, error: Exception) -> AgentError:
    return AgentError(f"no worker of {model!r} can be started on this device now ({error}); look at its limits and its memory.")


def _ended(code: int) -> str:
    return f"it ended with signal {-code}" if code < 0 else f"it ended with code {code}"
