"""`edgewright devices`: who they are, what runs on them, tokens for new ones."""

from __future__ import annotations

from typing import Any

import click

from ..core.canonical import dumps
from ..core.errors import UsageError
from .remote import Remote, remote
from .table import since, table

_SHORT = 12  # digits of a digest that are shown


@click.group()
def devices() -> None:
    """See devices and what they say that they run, call them by attributes, enrol, assign, revoke.

    Example: edgewright devices list --where 'site = "lab" and ram_mb >= 2000'
    """


@devices.command("list")
@click.option("--where", default="", metavar="QUERY", help="Which devices; all by default.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Devices at most.")
@remote
def list_devices(server: Remote, as_json: bool, where: str, limit: int) -> None:
    """List the devices that a query means.

    Example: edgewright devices list --where 'arch = aarch64 and not group = beta'
    """
    found: list[dict[str, Any]] = []
    for item in server.pages("devices", "devices", query={"where": where, "limit": min(limit, 1000)}):
        if len(found) == limit:
            break
        found.append(item)
    if as_json:
        click.echo(dumps({"devices": found}))
        return
    if not found:
        click.echo("no device has enrolled; `edgewright devices enrol` prints what one needs." if not where else "none")
        return
    rows = [_row(item) for item in found]
    click.echo(table(("device", "name", "profile", "seen", "models"), rows))


@devices.command()
@click.argument("device")
@remote
def show(server: Remote, as_json: bool, device: str) -> None:
    """Show all that is known of a DEVICE.

    Example: edgewright devices show 4f1d...
    """
    found = server.call("GET", "devices", device)
    if as_json:
        click.echo(dumps(found))
        return
    rows = [(name, ", ".join(value) if isinstance(value, list) else value) for name, value in found["attributes"].items()]
    click.echo(table(("attribute", "value"), sorted(rows)))
    lines = [(model, _wanted(told), _said(told), (told["said"] or {}).get("why", "")) for model, told in _models(found)]
    if lines:
        click.echo()
        click.echo(table(("model", "wanted", "runs", "why"), lines))


@devices.command("set")
@click.argument("device")
@click.argument("attributes", nargs=-1, required=True, metavar="NAME=VALUE...")
@remote
def set_attributes(server: Remote, as_json: bool, device: str, attributes: tuple[str, ...]) -> None:
    """Set attributes of a DEVICE; NAME= without a value forgets one.

    Example: edgewright devices set 4f1d... site=lab room=
    """
    given: dict[str, str] = server.call("GET", "devices", device)["set"]
    for item in attributes:
        name, sign, value = item.partition("=")
        if not sign or not name:
            raise UsageError(f"{item[:100]!r} is not NAME=VALUE.")
        if value:
            given[name] = value
        else:
            given.pop(name, None)
    found = server.call("PUT", "devices", device, "attributes", body={"attributes": given})
    if as_json:
        click.echo(dumps(found))
        return
    shown = " ".join(f"{name}={value}" for name, value in sorted(found["attributes"].items()))
    click.echo(f"{device}: {shown or 'no attributes are set'}")


@devices.command()
@click.argument("device")
@remote
def revoke(server: Remote, as_json: bool, device: str) -> None:
    """Refuse a DEVICE from now on; needs the role admin.

    Example: edgewright devices revoke 4f1d...
    """
    found = server.call("POST", "devices", device, "revoke")
    click.echo(dumps(found) if as_json else f"{device} is revoked")


@devices.command()
@click.option("--days", type=click.FloatRange(0.001, 365), default=7.0, show_default=True, help="For how long it is good.")
@remote
def enrol(server: Remote, as_json: bool, days: float) -> None:
    """Print a one-time token for a new device.

    Example: edgewright devices enrol --days 1
    """
    found = server.call("POST", "enrolment-tokens", body={"days": days})
    click.echo(dumps(found) if as_json else found["token"])


@devices.command()
@click.argument("device")
@click.argument("model")
@click.option("--sha256", help="The artifact by the SHA-256 of its file.")
@click.option("--follow", is_flag=True, help="The newest signed version that fits the device, now and later.")
@click.option("--deadline", "deadline_s", type=click.FloatRange(1.0), help="Seconds that an update may take.")
@remote
def assign(
    server: Remote, as_json: bool, device: str, model: str, sha256: str | None, follow: bool, deadline_s: float | None
) -> None:
    """Assign an artifact of MODEL to one DEVICE; again, to let it try once more what failed. Many: `edgewright rollout`.

    Example: edgewright devices assign 4f1d... digits --follow
    """
    if (sha256 is None) != follow:
        raise UsageError("say what shall run: --sha256 DIGEST or --follow, one of them.")
    if sha256 is not None and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
        raise UsageError(
            f"--sha256 {sha256[:100]!r} is no SHA-256; give 64 hexadecimal digits, as `edgewright repo status` shows."
        )
    found = server.call("PUT", "devices", device, "assignments", model, body={"sha256": sha256, "deadline_s": deadline_s})
    if as_json:
        click.echo(dumps(found))
        return
    what = "the newest that fits" if found["sha256"] is None else found["sha256"][:_SHORT]
    click.echo(f"{device} runs {what} of {model} from its next poll on (attempt {found['attempt']})")


@devices.command("take-back")
@click.argument("device")
@click.argument("model")
@remote
def take_back(server: Remote, as_json: bool, device: str, model: str) -> None:
    """Take the deployment of MODEL to a DEVICE back: an update before its commit rolls back, a later one stays.

    Example: edgewright devices take-back 4f1d... digits
    """
    found = server.call("DELETE", "devices", device, "assignments", model)
    click.echo(dumps(found) if as_json else f"{model} on {device}: taken back")


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    called = item["attributes"]
    models = []
    for model, told in _models(item):
        state = (told["said"] or {}).get("state", "Idle")
        models.append(f"{model} {_said(told)}{'' if state == 'Idle' else f' ({state})'}")
    name = called.get("name") or called.get("host", "")
    seen = "revoked" if item["is_revoked"] else since(item["seen_at"])
    return item["device"], name, called.get("profile") or called.get("arch", ""), seen, ", ".join(models)


def _models(item: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Models by name, each with the version that runs, where it is known."""
    return [
        (model, {**told, "version": item["attributes"].get(f"model.{model}")}) for model, told in sorted(item["models"].items())
    ]


def _wanted(told: dict[str, Any]) -> str:
    wanted = told["wanted"]
    if wanted is None:
        return ""
    what = "newest" if wanted["sha256"] is None else wanted["sha256"][:_SHORT]
    by = "" if wanted["rollout"] is None else f" by rollout {wanted['rollout']}"
    return f"{what}{by}{' (taken back)' if wanted['is_aborted'] else ''}"


def _said(told: dict[str, Any]) -> str:
    said = told["said"]
    if said is None or said["running"] is None:
        return "nothing"
    version = told["version"]  # digits, or the begin of the digest where it is not known
    return f"version {version}" if version is not None and len(version) < _SHORT else said["running"][:_SHORT]
