"""What `edgewright retrain` puts together: the server by its API, the compiler, the repository, a folder for one worker."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import StoreError, UsageError
from ..core.files import write_atomic
from ..fleet.protocol.sample import RANDOM
from ..fleet.retrain.job import WorkerStep
from ..fleet.retrain.ports import Deployed, Labelled, Lease
from ..fleet.retrain.settings import Settings
from ..fleet.retrain.shelf import Shelf
from .keys import beside, keyring, open_repository
from .remote import Remote

if TYPE_CHECKING:
    from ..core.progress import Progress
    from ..optimizer.retrain.retrainer import Retrainer


class ApiServer:
    """The control plane by its people's API (fleet.retrain.ports.Server)."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def lease(self, worker: str, models: tuple[str, ...], lease_s: float) -> Lease | None:
        """A retraining to work on, or None."""
        body = {"worker": worker, "models": list(models), "lease_s": lease_s}
        told = self._remote.call("POST", "retrainings", "lease", body=body)
        found = told["retraining"]
        if found is None:
            return None
        return Lease(
            number=found["id"],
            model=found["model"],
            why=found["cause"],
            step=found["next"],
            deployed=tuple(
                Deployed(item["profile"], item["sha256"], item["name"], item["version"]) for item in told["deployed"]
            ),
            until=told["until"],
            done={item["step"]: item["details"] for item in found["steps"]},
        )

    def beat(self, number: int, worker: str, lease_s: float) -> None:
        """Hold the lease for longer."""
        self._remote.call("POST", "retrainings", number, "beat", body={"worker": worker, "lease_s": lease_s})

    def note(self, number: int, worker: str, step: WorkerStep, details: Mapping[str, Any]) -> None:
        """Tell that a step was done."""
        body = {"worker": worker, "step": step, "details": dict(details)}
        self._remote.call("POST", "retrainings", number, "steps", body=body)

    def end(self, number: int, worker: str, state: str, why: str, details: Mapping[str, Any]) -> None:
        """Tell that a retraining was refused by a gate, or failed."""
        body = {"worker": worker, "state": state, "why": why, "details": dict(details)}
        self._remote.call("POST", "retrainings", number, "end", body=body)

    def state(self, number: int) -> str:
        """Where a retraining stands."""
        return str(self._remote.call("GET", "retrainings", number)["state"])

    def samples(self, model: str, until: float) -> Iterator[Labelled]:
        """Samples that were labelled until then, in the order of their ids."""
        for item in self._remote.pages("samples", "samples", "files", query={"model": model, "labelled_until": repr(until)}):
            data = base64.b64decode(item["file"])
            yield Labelled(item["id"], item["sha256"], item["label"], RANDOM in item["reasons"], data)


def retrainer(settings: Settings, folder: Path, progress: Progress) -> Retrainer:
    """The compiler's side, with its step store and its ledger of looks in `folder`; raises PassError, UsageError."""
    from ..optimizer.retrain.judge import Gates
    from ..optimizer.retrain.material import Amounts
    from ..optimizer.retrain.retrainer import Request, Retrainer

    request = Request(
        data=settings.data,
        accept=settings.accept,
        train=settings.train,
        labels=settings.labels,
        preprocess=settings.preprocess,
        classes=settings.classes,
        amounts=Amounts(settings.held_out, settings.search, settings.replay),
        gates=Gates(settings.old, settings.new),
        budget=settings.budget,
        seed=settings.seed,
        compile=settings.compile,
    )
    return Retrainer(request, folder / "store", folder / "looks.jsonl", progress)


def shelf(place: str, keys: tuple[Path, ...], fleet_keys: tuple[Path, ...]) -> Shelf:
    """The repository with the online keys, by default those beside it, and the offline ones where some are given."""
    from ..fleet.delta.make import make_delta

    repository = open_repository(place)
    online = keyring(repository, keys or (beside(repository.folder) / "online",))
    offline = keyring(repository, (*keys, beside(repository.folder) / "online", *fleet_keys)) if fleet_keys else None
    return Shelf(repository, online, offline, lambda old, new: make_delta(old, new, with_zstd=True))


@contextlib.contextmanager
def only_worker(folder: Path) -> Iterator[str]:
    """The name of the worker that has this folder, until the block ends; raises UsageError where another process has it."""
    place, lock = folder / "worker", folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"cannot use {folder} for the work: {error.strerror or error}; give a writable folder.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another worker is at work in {folder}; give each a folder of its own with --work.") from None
        if not place.is_file():
            host = "".join(letter for letter in socket.gethostname() if letter.isalnum() or letter in "-.")[:60]
            write_atomic(place, f"{host or 'worker'}-{secrets.token_hex(4)}\n".encode())
        yield place.read_text("utf-8").strip()
    finally:
        os.close(handle)
