"""`edgewright group`: queries over devices by name."""

from __future__ import annotations

import click

from ..core.canonical import dumps
from .remote import Remote, remote
from .table import table


@click.group()
def group() -> None:
    """Name queries: `group = NAME` then means whoever that query means.

    Example: edgewright group set beta 'site = "lab" and ram_mb >= 2000'
    """


@group.command("list")
@remote
def list_groups(server: Remote, as_json: bool) -> None:
    """List all groups.

    Example: edgewright group list
    """
    found = server.call("GET", "groups")
    if as_json:
        click.echo(dumps(found))
        return
    rows = [(item["name"], item["query"]) for item in found["groups"]]
    click.echo(table(("group", "query"), rows) if rows else "no group is there; `edgewright group set NAME QUERY` makes one.")


@group.command()
@click.argument("name")
@remote
def show(server: Remote, as_json: bool, name: str) -> None:
    """Show the query of the group NAME, and how many devices it means now.

    Example: edgewright group show beta
    """
    found = server.call("GET", "groups", name)
    if as_json:
        click.echo(dumps(found))
        return
    click.echo(f"{name}: {found['query'] or 'every device'} ({found['devices']} now)")


@group.command("set")
@click.argument("name")
@click.argument("query")
@remote
def set_group(server: Remote, as_json: bool, name: str, query: str) -> None:
    """Make the group NAME, or give it another QUERY.

    Example: edgewright group set beta 'site = "lab"'
    """
    found = server.call("PUT", "groups", name, body={"query": query})
    click.echo(dumps(found) if as_json else f"{name}: {found['query'] or 'every device'}")


@group.command()
@click.argument("name")
@remote
def remove(server: Remote, as_json: bool, name: str) -> None:
    """Forget the group NAME.

    Example: edgewright group remove beta
    """
    found = server.call("DELETE", "groups", name)
    click.echo(dumps(found) if as_json else f"{name} is removed")
