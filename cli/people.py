"""`edgewright people`: who may ask a server for what."""

from __future__ import annotations

import click

from ..core.canonical import dumps
from .remote import Remote, remote
from .table import stamp, table

ROLES = ("viewer", "operator", "admin")


@click.group()
def people() -> None:
    """Give tokens to people and programs, and refuse them; needs the role admin. The first: `edgewright server token`.

    Example: edgewright people add ci --role operator --days 30
    """


@people.command("list")
@remote
def list_people(server: Remote, as_json: bool) -> None:
    """List who has a token.

    Example: edgewright people list
    """
    found = server.call("GET", "people")
    if as_json:
        click.echo(dumps(found))
        return
    rows = [
        (item["name"], item["role"], stamp(item["expires_at"]), "" if item["revoked_at"] is None else stamp(item["revoked_at"]))
        for item in found["people"]
    ]
    click.echo(table(("name", "role", "expires, UTC", "revoked, UTC"), rows))


@people.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="A viewer reads, an operator changes, an admin does all.")
@click.option("--days", type=click.FloatRange(0.001, 3660), default=90.0, show_default=True, help="For how long it is good.")
@remote
def add(server: Remote, as_json: bool, name: str, role: str, days: float) -> None:
    """Print a token for NAME; it is shown this once.

    Example: edgewright people add anna --role operator
    """
    found = server.call("POST", "people", body={"name": name, "role": role, "days": days})
    click.echo(dumps(found) if as_json else found["token"])


@people.command()
@click.argument("name")
@remote
def revoke(server: Remote, as_json: bool, name: str) -> None:
    """Refuse the token of NAME from now on.

    Example: edgewright people revoke anna
    """
    found = server.call("DELETE", "people", name)
    click.echo(dumps(found) if as_json else f"the token of {name} is refused")
