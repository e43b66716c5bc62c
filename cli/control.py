"""`edgewright control`: the smallest control plane, served and administered in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from ..core.canonical import digest, dumps
from ..core.clock import SystemClock
from ..core.errors import UsageError, VerificationError
from ..fleet.protocol.assignment import Wanted
from ..fleet.protocol.enrolment import Token

if TYPE_CHECKING:
    from ..fleet.control.store import Store

_ACTOR = "command line"
_DATA = click.option(
    "--data", "folder", required=True, type=click.Path(path_type=Path), help="Folder of the control plane's database."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
_DAY_S = 86400.0


@click.group()
def control() -> None:
    """Enrol devices, assign artifacts to them, and see what they say that they run.

    Example: edgewright control serve --data control/ --repository https://models.example.org/repo
    """


@control.command()
@_DATA
@click.option("--repository", required=True, help="Address of the signed repository that new devices are told.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8440, show_default=True, help="Port; 0 for any free one.")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False), help="Certificate (PEM); else plain HTTP.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="The certificate's key (PEM).")
def serve(folder: Path, repository: str, host: str, port: int, tls_cert: str | None, tls_key: str | None) -> None:
    """Serve devices until Ctrl-C.

    Example: edgewright control serve --data control/ --repository http://files.local/repo --port 8440
    """
    import uvicorn

    from ..fleet.control.app import make_app

    if urlsplit(repository).scheme not in ("http", "https"):
        raise UsageError(f"--repository {repository} is no address; give http(s)://HOST/PATH of the published folder.")
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together; give both or none.")
    store = _store(folder)
    app = make_app(store, SystemClock(), repository)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        lifespan="off",
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
        server_header=False,
        timeout_keep_alive=75,
        h11_max_incomplete_event_size=32 << 10,
    )
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    scheme = "https" if tls_cert else "http"
    click.echo(f"serving devices at {scheme}://{host}:{listener.getsockname()[1]}; database in {folder}; Ctrl-C ends it")
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # uvicorn has ended in order by then, and tells the signal again
    finally:
        store.database.close()


@control.command()
@_DATA
@click.option(
    "--root", required=True, type=click.Path(path_type=Path), help="The repository's root.json, which the device shall trust."
)
@click.option("--days", type=click.FloatRange(0.001, 365), default=7.0, show_default=True, help="For how long it is good.")
@_JSON
def token(folder: Path, root: Path, days: float, as_json: bool) -> None:
    """Print a one-time token for a new device.

    Example: edgewright control token --data control/ --root repo/metadata/1.root.json
    """
    try:
        root_sha256 = digest(root.read_bytes())
    except OSError as error:
        raise VerificationError(
            f"cannot read the root {root}: {error.strerror}; give the file that `repo init` named."
        ) from error
    store = _store(folder)
    made = Token(store.make_token(days * _DAY_S, _ACTOR), root_sha256)
    store.database.close()
    click.echo(dumps({"days": days, "token": str(made)}) if as_json else str(made))


@control.command()
@click.argument("device")
@click.argument("model")
@_DATA
@click.option("--sha256", help="The artifact by the SHA-256 of its file.")
@click.option("--follow", is_flag=True, help="The newest signed version that fits the device, now and later.")
@click.option("--deadline", "deadline_s", type=click.FloatRange(1.0), help="Seconds that an update may take.")
@_JSON
def assign(
    device: str, model: str, folder: Path, sha256: str | None, follow: bool, deadline_s: float | None, as_json: bool
) -> None:
    """Assign an artifact of MODEL to a DEVICE; again, to let it try once more what failed.

    Example: edgewright control assign 4f1d... digits --follow --data control/
    """
    if (sha256 is None) != follow:
        raise UsageError("say what shall run: --sha256 DIGEST or --follow, one of them.")
    if sha256 is not None and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
        raise UsageError(f"--sha256 {sha256!r} is no SHA-256; give 64 hexadecimal digits, as `edgewright repo status` shows.")
    store = _store(folder)
    store.assign(device, Wanted(model, sha256, deadline_s=deadline_s), _ACTOR)
    wanted = store.assignment_of(device).models[model]
    store.database.close()
    if as_json:
        click.echo(dumps({"device": device, **wanted.to_json()}))
        return
    what = "the newest that fits" if wanted.sha256 is None else wanted.sha256[:12]
    click.echo(f"{device} runs {what} of {model} from its next poll on (attempt {wanted.attempt})")


@control.command()
@click.argument("device")
@click.argument("model")
@_DATA
@_JSON
def abort(device: str, model: str, folder: Path, as_json: bool) -> None:
    """Take the deployment of MODEL to a DEVICE back: an update before its commit rolls back, a later one stays.

    Example: edgewright control abort 4f1d... digits --data control/
    """
    store = _store(folder)
    store.abort(device, model, _ACTOR)
    store.database.close()
    click.echo(dumps({"device": device, "is_aborted": True, "model": model}) if as_json else f"{model} on {device}: taken back")


@control.command()
@click.argument("device")
@_DATA
@_JSON
def revoke(device: str, folder: Path, as_json: bool) -> None:
    """Refuse a DEVICE from now on.

    Example: edgewright control revoke 4f1d... --data control/
    """
    store = _store(folder)
    store.revoke(device, _ACTOR)
    store.database.close()
    click.echo(dumps({"device": device, "is_revoked": True}) if as_json else f"{device} is revoked")


@control.command()
@_DATA
@_JSON
def devices(folder: Path, as_json: bool) -> None:
    """List devices: what is assigned, what they say that they run.

    Example: edgewright control devices --data control/
    """
    store = _store(folder)
    found = store.devices()
    store.database.close()
    if as_json:
        click.echo(dumps({"devices": found}))
        return
    if not found:
        click.echo("no device has enrolled; `edgewright control token` prints what one needs.")
    for item in found:
        notes = [item["facts"].get("arch", "?"), item["facts"].get("host", "")]
        click.echo(f"{item['device']}  {' '.join(filter(None, notes))}{'  revoked' if item['is_revoked'] else ''}")
        for model, told in sorted(item["models"].items()):
            click.echo(f"  {model:<20} {_line(told)}")


def _line(told: dict[str, Any]) -> str:
    wanted, said = told.get("wanted"), told.get("said")
    parts = []
    if wanted is not None:
        what = "newest" if wanted["sha256"] is None else wanted["sha256"][:12]
        parts.append(f"wanted {what}{' (taken back)' if wanted['is_aborted'] else ''}")
    if said is not None:
        result = f" {said['result']}" if said["result"] else ""
        why = f": {said['why']}" if said["why"] else ""
        parts.append(f"runs {(said['running'] or 'nothing')[:12]}  {said['state']}{result}{why}")
    return "  ".join(parts) or "-"


def _store(folder: Path) -> Store:
    from ..fleet.control.database import Database
    from ..fleet.control.store import Store

    return Store(Database(str(folder), SystemClock()))
