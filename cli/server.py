"""`edgewright server`: the control plane, and what is done in its data folder, whether it runs or not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ..core.canonical import dumps
from ..core.clock import SystemClock
from ..core.errors import UsageError, VerificationError
from .people import ROLES

if TYPE_CHECKING:
    from ..fleet.control.database import Database

_ACTOR = "command line"
_DAY_S = 86400.0
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")


def _where(command: Any) -> Any:
    """The options that say which database is meant."""
    folder = click.option("--data", "folder", type=click.Path(path_type=Path), help="Folder of the control plane.")
    database = click.option("--database", metavar="URL", help="postgresql://USER@HOST/NAME; by default SQLite in that folder.")
    return folder(database(command))


@click.group(invoke_without_command=True)
@_where
@click.option("--repository", help="Address of the signed repository, as devices are told it.")
@click.option("--root", type=click.Path(path_type=Path), help="The repository's root.json, which new devices shall trust.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8440, show_default=True, help="Port; 0 for any free one.")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False), help="Certificate (PEM); else plain HTTP.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="The certificate's key (PEM).")
@click.option(
    "--poll", "poll_s", type=click.FloatRange(1.0, 86400.0), default=300.0, show_default=True,
    help="Seconds between two polls of a device.",
)  # fmt: skip
@click.option("--alert-webhook", metavar="URL", help="Address that alerts of drift are posted to as JSON.")
@click.option(
    "--drift-window", "drift_window_s", type=click.IntRange(1, 604800), default=3600, show_default=True,
    help="Seconds of telemetry that drift is looked for in at once.",
)  # fmt: skip
@click.pass_context
def server(
    context: click.Context,
    folder: Path | None,
    database: str | None,
    repository: str | None,
    root: Path | None,
    host: str,
    port: int,
    tls_cert: str | None,
    tls_key: str | None,
    poll_s: float,
    alert_webhook: str | None,
    drift_window_s: int,
) -> None:
    """Serve devices, people and the page until Ctrl-C; or one of the commands below, in the data folder.

    \b
    Example: edgewright server token --data control/ --name me --role admin
    Example: edgewright server --data control/ --repository http://files.local/repo --root repo/metadata/1.root.json
    """
    if context.invoked_subcommand is not None:
        return
    from ..fleet.control.serving import Setup, serve

    if folder is None or repository is None or root is None:
        raise UsageError("give what to serve: --data FOLDER, --repository URL and --root FILE; see `edgewright server --help`.")
    setup = Setup(folder, repository, root, database, host, port, tls_cert, tls_key, poll_s, alert_webhook, drift_window_s)
    before = signal.signal(signal.SIGTERM, _interrupted)
    try:
        told = f"devices ask every {poll_s:g} s (--poll); data in {folder}; Ctrl-C ends it"
        serve(setup, lambda url: click.echo(f"serving devices and people at {url}; {told}"))
    finally:
        signal.signal(signal.SIGTERM, before)


@server.command()
@_where
@click.option("--name", required=True, help="Who it is for.")
@click.option("--role", type=click.Choice(ROLES), required=True, help="A viewer reads, an operator changes, an admin does all.")
@click.option("--days", type=click.FloatRange(0.001, 3660), default=90.0, show_default=True, help="For how long it is good.")
@_JSON
def token(folder: Path | None, database: str | None, name: str, role: str, days: float, as_json: bool) -> None:
    """Print a token for a person or a program; it is shown this once.

    Example: edgewright server token --data control/ --name me --role admin
    """
    from ..fleet.control.people import People

    with _opened(folder, database) as opened:
        secret = People(opened).make(name, role, days, _ACTOR)
    click.echo(dumps({"days": days, "name": name, "role": role, "token": secret}) if as_json else secret)


@server.command()
@_where
@click.argument("file", type=click.Path(path_type=Path))
@_JSON
def backup(folder: Path | None, database: str | None, file: Path, as_json: bool) -> None:
    """Copy the whole database into FILE, at one moment; the server may run meanwhile.

    Example: edgewright server backup control-monday.sqlite --data control/
    """
    from ..fleet.control.backup import backup as copy

    with _opened(folder, database, must_be=True) as opened:
        copy(opened, file)
    size = file.stat().st_size
    click.echo(dumps({"bytes": size, "file": str(file)}) if as_json else f"{file}: {size:,} bytes")


@server.command()
@_where
@click.argument("file", type=click.Path(path_type=Path))
@_JSON
def restore(folder: Path | None, database: str | None, file: Path, as_json: bool) -> None:
    """Bring the copy in FILE back into an empty database, of either kind; no server may run there.

    Example: edgewright server restore control-monday.sqlite --data new/
    """
    from ..fleet.control.backup import restore as bring

    with _opened(folder, database) as opened:
        was = bring(file, opened, _ACTOR)
    if as_json:
        click.echo(dumps({"audit": {"broken": was.broken, "count": was.count, "head": was.head}, "file": str(file)}))
        return
    click.echo(f"{file} is restored; the audit log held {was.count} entries, the last {was.head}")
    if was.broken is not None:
        click.echo(f"note: the audit log was not whole in the backup: {was.broken}")


@server.command()
@_where
@click.option("--older", "days", type=click.FloatRange(0.001), required=True, metavar="DAYS", help="What is older is removed.")
@_JSON
def prune(folder: Path | None, database: str | None, days: float, as_json: bool) -> None:
    """Remove old windows of telemetry and of drift, reports, and samples without a label; sums and the audit log stay.

    Example: edgewright server prune --older 90 --data control/
    """
    from ..fleet.control.backup import prune as remove

    with _opened(folder, database, must_be=True) as opened:
        counts = asdict(remove(opened, days * _DAY_S, _ACTOR))
    told = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in counts.items())
    click.echo(dumps(counts) if as_json else f"{told} removed")


@server.command()
@_where
@_JSON
def verify(folder: Path | None, database: str | None, as_json: bool) -> None:
    """Check that no entry of the audit log was changed or removed, and print the digest of the last.

    Example: edgewright server verify --data control/
    """
    from ..fleet.control.audit import verify as check

    with _opened(folder, database, must_be=True) as opened, opened.reading() as connection:
        found = check(connection)
    if found.broken is not None:
        raise VerificationError(f"the audit log is not whole behind {found.count} entries: {found.broken}")
    told = {"count": found.count, "head": found.head}
    click.echo(dumps(told) if as_json else f"{found.count} entries hold together; the last is {found.head}")


def _interrupted(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends as Ctrl-C does: in order."""
    raise KeyboardInterrupt


@contextmanager
def _opened(folder: Path | None, address: str | None, *, must_be: bool = False) -> Iterator[Database]:
    """The database that is meant; a new one is made in an empty folder, unless it `must_be` there."""
    from ..fleet.control.database import FILE, Database

    # Above the command the same options may stand: `edgewright server --data control/ token ...`.
    above = click.get_current_context().parent
    given = above.params if above is not None else {}
    where = address or folder or given.get("database") or given.get("folder")
    if where is None:
        raise UsageError("say which database is meant: --data FOLDER, or --database URL.")
    if must_be and "://" not in str(where) and not (Path(where) / FILE).is_file():
        raise UsageError(f"there is no control plane's database in {where}; look at the path.")
    opened = Database(str(where), SystemClock())
    try:
        yield opened
    finally:
        opened.close()
