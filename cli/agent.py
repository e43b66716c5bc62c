"""`edgewright agent`: what runs on a device, from the first enrolment to every later update."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.canonical import dumps
from ..core.errors import UsageError
from ..fleet.protocol.attribute import check_attribute
from ..fleet.telemetry.live import WINDOW_S
from ..fleet.telemetry.sampling import Sampling

if TYPE_CHECKING:
    from ..fleet.agent.agent import Agent


@click.command()
@click.option("--data", "folder", required=True, type=click.Path(path_type=Path), help="The device's data folder.")
@click.option("--server", help="Address of the control plane; needed with a token.")
@click.option("--token", help="One-time token of `edgewright devices enrol`; a fresh one enrols anew.")
@click.option("--repo", "repository", help="Take artifacts from here: an http(s) address, a folder, a .tar file.")
@click.option("--root", type=click.Path(path_type=Path), help="The repository's root.json; needed once, without a server.")
@click.option("--model", "models", multiple=True, help="Without a server: follow the newest of this model; can be given again.")
@click.option("--profile", "profiles", multiple=True, help="Take artifacts of these device profiles only.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="What the server knows it by: site=lab.")
@click.option("--offline", is_flag=True, help="Ask no server: go on with what was assigned, from --repo.")
@click.option("--canary", is_flag=True, help="Take artifacts too that only the canary role signed.")
@click.option("--ca", "ca_file", type=click.Path(path_type=Path), help="PEM file of the authorities to trust for https.")
@click.option("--socket", "sockets", multiple=True, metavar="MODEL=PATH|PORT", help="Where a model is served; run/MODEL.sock.")
@click.option(
    "--poll", "poll_s", type=click.FloatRange(0.1), default=300.0, show_default=True,
    help="Seconds between polls, until a server tells its own period.",
)  # fmt: skip
@click.option(
    "--trial", "trial_s", type=click.FloatRange(0.0), default=300.0, show_default=True,
    help="Seconds that a new version serves before it is committed.",
)  # fmt: skip
@click.option(
    "--window", "window_s", type=click.FloatRange(1.0, 86400.0), default=WINDOW_S, show_default=True,
    help="Seconds that are counted together before they are told.",
)  # fmt: skip
@click.option("--new-key", is_flag=True, help="With --once: give an enrolled device a new key.")
@click.option("--samples-consent", metavar="WHO", help="Keep hard examples on the device; names who agreed to it.")
@click.option("--samples-below", type=click.FloatRange(0, 1), help="Confidence under which an example is hard.  [0.5]")
@click.option("--samples-share", type=click.FloatRange(0, 1), help="Keep this share of all examples too, at random.  [0]")
@click.option("--samples-upload", is_flag=True, help="They may leave the device: send them to the server.")
@click.option("--samples-day-kb", type=click.IntRange(0), help="Kilobytes of examples a day.  [1024]")
@click.option("--samples-redact", metavar="MODULE:FUNCTION", help="What of an example may be kept: arrays by name in and out.")
@click.option("--samples-shadow", type=click.Path(path_type=Path), help="Artifact whose disagreement makes an example hard.")
@click.option("--once", is_flag=True, help="Poll once, carry out what is due, tell what runs, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print what runs as one JSON object.")
@click.option("--verbose", is_flag=True, help="Log every transition.")
def agent(
    folder: Path,
    server: str | None,
    token: str | None,
    repository: str | None,
    root: Path | None,
    models: tuple[str, ...],
    profiles: tuple[str, ...],
    attributes: tuple[str, ...],
    offline: bool,
    canary: bool,
    ca_file: Path | None,
    sockets: tuple[str, ...],
    poll_s: float,
    trial_s: float,
    window_s: float,
    new_key: bool,
    samples_consent: str | None,
    samples_below: float | None,
    samples_share: float | None,
    samples_upload: bool,
    samples_day_kb: int | None,
    samples_redact: str | None,
    samples_shadow: Path | None,
    once: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Run this device: download, verify, switch, serve, roll back, report. SIGTERM and Ctrl-C end it; the data folder has all.

    \b
    Example: edgewright agent --server https://control.example.org --token ... --data /var/lib/edgewright
    Example: edgewright agent --repo /media/usb/repo.tar --root root.json --model digits --data /var/lib/edgewright
    """
    from ..fleet.agent.assembly import Setup, assembled
    from ..fleet.agent.health import Policy
    from ..fleet.agent.rhythm import Rhythm

    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    if as_json and not once:
        raise UsageError("--json prints what runs at the end of --once; give both, or look at the logs.")
    if new_key and not once:
        raise UsageError("--new-key is done once; give --once with it, and stop the agent meanwhile.")
    if token is not None and server is None:
        raise UsageError("--token is for a server; give --server with it.")
    if offline and repository is None:
        raise UsageError("--offline needs a place to take artifacts from; give --repo with a folder or a .tar file.")
    setup = Setup(
        folder=folder,
        server=server,
        token=token,
        repository=repository,
        root=root,
        models=models,
        profiles=profiles,
        attributes=dict(_attribute(item) for item in attributes),
        is_offline=offline,
        is_canary=canary,
        replaces_key=new_key,
        ca_file=ca_file,
        places=dict(_place(item) for item in sockets),
        window_s=window_s,
        sampling=_sampling(
            samples_consent,
            below=samples_below,
            share=samples_share,
            upload=samples_upload or None,
            day_bytes=None if samples_day_kb is None else samples_day_kb << 10,
            redact=samples_redact,
            shadow=None if samples_shadow is None else str(samples_shadow.absolute()),
        ),
        rhythm=Rhythm(poll_s=poll_s, first_s=min(10.0, poll_s)),
        policy=Policy(trial_s=trial_s),
    )
    with assembled(setup) as found:
        if not once:
            click.echo(_greeting(folder, models))
            found.run()
            return
        found.run_once()
        rows = _rows(found)
    if as_json:
        click.echo(dumps({"models": rows}))
        return
    for row in rows:
        version = "nothing" if row["running"] is None else f"version {row['version']} ({row['running'][:12]})"
        click.echo(f"{row['model']}: runs {version}{'' if not row['why'] else '; ' + row['why']}")


def _greeting(folder: Path, models: tuple[str, ...]) -> str:
    """Who this is, and whom it follows: afterwards a quiet agent is one that is well."""
    from ..fleet.agent.identity import load_identity
    from ..fleet.disk import RealDisk

    identity = load_identity(RealDisk(folder))
    who = f"following {', '.join(models)}" if identity is None else f"device {identity.device} of {identity.server}"
    return f"{who}; data in {folder}; it says only what goes wrong (--verbose: all); Ctrl-C ends it"


def _rows(found: Agent) -> list[dict[str, Any]]:
    return [
        {
            "model": name,
            "running": running,
            "version": None if (model := found.models.get(name)) is None or model.current is None else model.current.version,
            "why": found.remark(name),
        }
        for name, running in sorted(found.ran.items())
    ]


def _sampling(consent: str | None, **given: Any) -> Sampling | None:
    options = {name: value for name, value in given.items() if value is not None}
    if consent is None:
        if options:
            raise UsageError("examples are kept only where somebody agreed to it; give --samples-consent WHO.")
        return None
    return Sampling(consent, **options)


def _attribute(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise UsageError(f"--attribute {text[:100]!r} is not NAME=VALUE.")
    check_attribute(name, value)
    return name, value


def _place(text: str) -> tuple[str, Path | int]:
    model, sign, place = text.partition("=")
    if not (model and sign and place):
        raise UsageError(f"--socket {text!r} is not MODEL=PATH or MODEL=PORT.")
    if not place.isdecimal():
        return model, Path(place).absolute()
    if len(place) > 5 or int(place) > 65535:
        raise UsageError(f"--socket {text[:100]!r} names a port that none is; ports go up to 65535.")
    return model, int(place)
