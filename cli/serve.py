"""`edgewright serve`: one artifact behind the Open Inference Protocol, without an agent."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from ..core.artifact_read import open_artifact
from ..core.canonical import dumps
from ..core.errors import RuntimeFailure, UsageError
from ..fleet.serve.generation import Generation
from ..fleet.serve.supervisor import Settings, Supervisor


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--socket", "path", type=click.Path(path_type=Path), help="Path of the unix socket to serve at.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the loopback interface to serve at; 0 for any free one.")
@click.option("--name", help="Name of the model in the protocol's paths; the artifact's own by default.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads of the runtime; the artifact's own by default.")
@click.option("--batch", type=click.IntRange(1, 1024), default=1, help="Run so many samples of different requests together.")
@click.option("--wait", "wait_ms", type=click.FloatRange(0, 1000), default=2.0, help="Milliseconds that a batch waits to fill.")
@click.option("--no-check", is_flag=True, help="Serve without running the artifact's test vectors first.")
@click.option("--json", "as_json", is_flag=True, help="Print where it is served as one JSON object.")
def serve(
    artifact: Path,
    path: Path | None,
    port: int | None,
    name: str | None,
    threads: int | None,
    batch: int,
    wait_ms: float,
    no_check: bool,
    as_json: bool,
) -> None:
    """Serve an ARTIFACT by the Open Inference Protocol v2, at a unix socket or a port, until Ctrl-C.

    Paths: v2/models/NAME/infer, v2/health/ready, metrics. A process of its own runs it, and is started again when it crashes.

    Example: edgewright serve dist/model-x86-64-avx2.ewa --socket /run/model.sock
    """
    if (path is None) == (port is None):
        raise UsageError("give where to serve: --socket PATH or --port N, one of them.")
    found = open_artifact(artifact)
    if batch > 1 and any(spec.shape[:1] != (None,) for spec in found.manifest.inputs):
        raise UsageError("this artifact's batch is fixed, and --batch needs one that is free; leave --batch away.")
    model = name or found.manifest.name
    place: Path | int = path.absolute() if path is not None else int(port or 0)
    settings = Settings(threads=threads, batch=batch, wait_ms=wait_ms, places={model: place})
    with _told_to_end() as is_over, tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
        supervisor = Supervisor(Path(folder), settings)
        try:
            generation = supervisor.start(model, artifact.absolute(), found.digest)
            if not no_check and not (health := supervisor.check(generation)).passed:
                raise RuntimeFailure(f"{artifact} is not served: {health.why.rstrip('.')}; --no-check serves it all the same.")
            supervisor.publish(generation)
            _tell(supervisor, generation, as_json)
            is_over.wait()
        finally:
            supervisor.close()


def _tell(supervisor: Supervisor, generation: Generation, as_json: bool) -> None:
    place = supervisor.place(generation.model)
    where = {"port": place} if isinstance(place, int) else {"socket": str(place)}
    if as_json:
        click.echo(dumps({"model": generation.model, "sha256": generation.sha256, "pid": generation.pid, **where}))
        return
    path = f"/v2/models/{generation.model}/infer"
    click.echo(f"serving {generation.model} at " + (f"http://127.0.0.1:{place}{path}" if "port" in where else f"{place}{path}"))


@contextlib.contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that what runs is finished in order."""
    event = threading.Event()

    def told(number: int, frame: FrameType | None) -> None:
        event.set()

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
