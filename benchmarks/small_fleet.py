"""A publisher, a file server and a control plane on this machine, for benchmarks that run real agents against them."""

from __future__ import annotations

import functools
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
Found = TypeVar("Found")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *given: Any) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Fleet:
    """The signed `repository`, the address of the `server`, and the file with a token of its admin."""

    repository: Path
    server: str
    token_file: Path

    def publish(self, artifact: Path) -> None:
        """Sign an artifact and put it into the repository."""
        edgewright("publish", str(artifact), "--repo", str(self.repository))

    def token(self) -> str:
        """What one new device enrols with."""
        return self._asked("devices", "enrol").strip()

    def assign(self, device: str, model: str) -> None:
        """Let a device follow the newest version of a model."""
        self._asked("devices", "assign", device, model, "--follow")

    def devices(self) -> list[dict[str, Any]]:
        """What the control plane knows of its devices."""
        found: list[dict[str, Any]] = json.loads(self._asked("devices", "list", "--json"))["devices"]
        return found

    def _asked(self, *arguments: str) -> str:
        return edgewright(*arguments, "--server", self.server, "--token-file", str(self.token_file))


def edgewright(*arguments: str) -> str:
    """What a command of this package prints; raises CalledProcessError."""
    command = [sys.executable, "-m", "edgewright.cli.main", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def files_of(folder: Path) -> Iterator[str]:
    """A static file server of a folder, as a repository needs, until the block ends; its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def small_fleet(folder: Path, *options: str) -> Iterator[Fleet]:
    """A new fleet in an empty folder, served at 127.0.0.1 until the block ends; `options` are further ones of the server."""
    repository, control = folder / "repo", folder / "control"
    edgewright("repo", "init", str(repository))
    token_file = folder / "admin.token"
    token_file.write_text(edgewright("server", "token", "--data", str(control), "--name", "benchmark", "--role", "admin"))
    root = repository / "metadata" / "1.root.json"
    command = [sys.executable, "-u", "-m", "edgewright.cli.main", "server", "--data", str(control), "--port", "0"]
    with files_of(repository) as address:
        command += ["--repository", address, "--root", str(root), *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
                yield Fleet(repository, said.split(" at ")[1].split(";")[0], token_file)
            finally:
                process.terminate()


def until(look: Callable[[], Found | None], what: str, seconds: float, process: subprocess.Popen[Any]) -> Found:
    """What `look` finds first; raises TimeoutError when it takes too long, ChildProcessError when the process ended."""
    end = time.monotonic() + seconds
    while (found := look()) is None:
        if process.poll() is not None:
            raise ChildProcessError(f"the agent ended with {process.returncode} before {what}")
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)
    return found


def pure_wheel(folder: Path) -> Path:
    """The wheel without compiled parts, for any machine, made from this tree."""
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-build-isolation", "--no-deps", "--quiet"]
    pure = ["-C", "wheel.cmake=false", "-C", "wheel.py-api=py3"]
    subprocess.run([*command, "--wheel-dir", str(folder), *pure], check=True)
    (wheel,) = folder.glob("edgewright-*-py3-none-any.whl")
    return wheel
