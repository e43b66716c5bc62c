"""Puts the agent together for a real device: disk, repository, server, workers, from what the user asked for.

A device is one of two kinds. An enrolled one has a server that assigns, and hears of the repository from it. One without a
server follows the newest version of the models that it was told, in a repository that it was told. Either can take its
artifacts from a folder or a tar file instead of the network; an enrolled device that is offline then asks nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...core.clock import Clock, SystemClock
from ...core.errors import AgentError, EdgewrightError, StoreError, UsageError
from ..disk import Disk, RealDisk, ensure_folder, write_durable
from ..http import Http
from ..serve.supervisor import Settings, Supervisor
from ..telemetry.collect import Collector
from ..telemetry.live import FOLDER as LIVE
from ..telemetry.live import WINDOW_S
from ..telemetry.sampling import FOLDER as SAMPLES
from ..telemetry.sampling import Sampling
from ..telemetry.upload import Uploader
from ..trust.source import RepositorySource, origin_at
from .agent import Agent
from .bench.benches import Benches
from .device import this_device
from .effects import Tools
from .enrol import FIRST_ROOT, digest_of, enrol, first_root
from .health import Policy
from .identity import Identity, load_identity, load_key
from .lock import only_agent
from .ports import Server
from .reporter import Reporter, next_boot
from .rhythm import Rhythm
from .server import ControlServer, NoServer

log = logging.getLogger("edgewright.agent")

ALONE = "alone"  # the device's name in reports that nobody gets


@dataclass(frozen=True)
class Setup:
    """What the user asked for.

    `repository` is an http(s) address, a folder or a .tar; `places` are public sockets by model; `attributes` are told when the
    device enrols; `replaces_key` gives an enrolled device a new key; `window_s` is the length of a window of telemetry.
    """

    folder: Path
    server: str | None = None
    token: str | None = None
    repository: str | None = None
    root: Path | None = None
    models: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    is_offline: bool = False
    is_canary: bool = False
    replaces_key: bool = False
    ca_file: Path | None = None
    places: Mapping[str, Path | int] = field(default_factory=dict)
    sampling: Sampling | None = None
    window_s: float = WINDOW_S
    rhythm: Rhythm = field(default_factory=Rhythm)
    policy: Policy = field(default_factory=Policy)


@contextmanager
def assembled(setup: Setup) -> Iterator[Agent]:
    """The agent of `setup.folder`, which nobody else may use meanwhile; its workers have ended when the block has.

    Enrols first where a token is given that was not used here before. Raises AgentError, UsageError, NetworkError,
    VerificationError, ProtocolError or StoreError.
    """
    with only_agent(setup.folder):
        clock = SystemClock()
        disk, http = RealDisk(setup.folder), Http(clock, ca_file=setup.ca_file)
        identity = _identity(setup, disk, http)
        server = _server(setup, disk, http, identity)
        if setup.replaces_key:
            if not isinstance(server, ControlServer):
                raise UsageError("only a device that asks a server has a key to replace; leave --new-key away.")
            server.replace_key()
        source = _source(setup, disk, http, clock, identity)
        supervisor = Supervisor(setup.folder / "run", _settings(setup))
        try:
            name = ALONE if identity is None else identity.device
            boot = next_boot(disk)
            reporter = Reporter(name, boot, server, clock)
            tools = Tools(disk, source, supervisor, clock, reporter, setup.policy)
            telemetry = _Telemetry(
                lambda: Collector(disk, boot, sends=isinstance(server, ControlServer)), _uploader(setup, server)
            )
            device = this_device(setup.profiles)
            # A device without a server is asked to measure by nobody.
            measurings = Benches(disk, server, source, clock, device) if isinstance(server, ControlServer) else None
            yield Agent(tools, server, device, setup.rhythm, telemetry, measurings)
        finally:
            supervisor.close()


class _Telemetry:
    """Telemetry from the first poll on at which the disk lets it begin: a disk that refuses keeps no model from serving."""

    def __init__(self, begin: Callable[[], Collector], uploader: Uploader | None) -> None:
        self._begin, self._uploader = begin, uploader
        self._collector: Collector | None = None

    def send(self, server: Server) -> None:
        if self._collector is None:
            self._collector = self._begin()
        self._collector.send(server)
        if self._uploader is not None:
            self._uploader.send()


def _uploader(setup: Setup, server: Server) -> Uploader | None:
    """None where nobody agreed that samples leave the device, and where there is nobody to take them."""
    agreed = setup.sampling is not None and setup.sampling.upload
    return Uploader(setup.folder / SAMPLES, server) if agreed and isinstance(server, ControlServer) else None


def _settings(setup: Setup) -> Settings:
    return Settings(
        places=setup.places,
        telemetry=setup.folder.absolute() / LIVE,
        sampling=None if setup.sampling is None else asdict(setup.sampling),
        window_s=setup.window_s,
    )


def _identity(setup: Setup, disk: Disk, http: Http) -> Identity | None:
    """What the device enrolled as, now or before; None for one without a server."""
    try:
        identity = load_identity(disk)
    except AgentError as error:
        if setup.server is None or setup.token is None:
            raise
        log.warning("%s", error)
        identity = None
    if setup.server is None:
        return identity
    if identity is None and setup.token is None:
        raise AgentError(
            f"the device in {setup.folder} is not enrolled at {setup.server}; give --token, as `edgewright devices enrol` "
            "prints it."
        )
    if setup.token is not None and (identity is None or identity.token != digest_of(setup.token)):
        try:
            return enrol(disk, http, setup.server, setup.token, told=_told(setup))
        except EdgewrightError as error:
            if identity is None:
                raise
            log.error("the device is not enrolled anew, and goes on as what it is: %s", error)
    if identity is not None and setup.server.rstrip("/") != identity.server:
        log.warning(
            "the device in %s is enrolled at %s and asks there, not at %s; a fresh --token of that server moves it.",
            setup.folder, identity.server, setup.server,
        )  # fmt: skip
    return identity


def _told(setup: Setup) -> dict[str, str]:
    """What this device is called by when it enrols: its profile, where it takes one only; that it takes canaries."""
    profile = {"profile": setup.profiles[0]} if len(setup.profiles) == 1 else {}
    return {**profile, **({"canary": "yes"} if setup.is_canary else {}), **setup.attributes}


def _server(setup: Setup, disk: Disk, http: Http, identity: Identity | None) -> Server:
    if identity is None:
        if not setup.models:
            raise UsageError("a device without a server needs to know what to run; give --model NAME, or --server and --token.")
        return NoServer(disk, setup.models)
    key = load_key(disk)
    if key is None:
        raise AgentError(f"{setup.folder} has an identity and no key.pem; restore it, or enrol anew with a fresh token.")
    server = ControlServer(disk, http, identity, key)
    if not setup.is_offline:
        return server
    known = server.known_assignment().models
    return NoServer(disk, setup.models or tuple(known), known)


def _source(setup: Setup, disk: Disk, http: Http, clock: Clock, identity: Identity | None) -> RepositorySource:
    place = setup.repository or (None if identity is None else identity.repository)
    if place is None:
        raise UsageError("say where artifacts come from: --repo with an address, a folder or a .tar file.")
    if "://" in place and not place.startswith(("http://", "https://")):
        raise UsageError(f"--repo {place} is of a kind that is not known; give an http(s) address, a folder or a .tar file.")
    return RepositorySource(disk, origin_at(place, http), clock, _root(setup, disk), is_canary=setup.is_canary)


def _root(setup: Setup, disk: Disk) -> bytes | None:
    """The root that came with the device: from its enrolment, or from the file that the user names the first time."""
    kept = first_root(disk)
    if kept is not None or setup.root is None:
        return kept
    try:
        data = setup.root.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read the root {setup.root}: {error.strerror}; give the repository's root.json.") from error
    ensure_folder(disk, "trust")
    write_durable(disk, FIRST_ROOT, data)
    return data
