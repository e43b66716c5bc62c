"""`edgewright audit`: who changed what on a server."""

from __future__ import annotations

import itertools

import click

from ..core.canonical import dumps
from ..core.errors import VerificationError
from .remote import Remote, remote
from .table import stamp, table


@click.command()
@click.option("--after", type=click.IntRange(0), default=0, show_default=True, help="Entries behind this place only.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Entries at most.")
@click.option("--verify", is_flag=True, help="Check that no entry was changed or removed, and print the last digest.")
@remote
def audit(server: Remote, as_json: bool, after: int, limit: int, verify: bool) -> None:
    """Show the audit log: who changed what, each entry with the digest of the one before.

    Keep the digest that --verify prints elsewhere: with it, cutting entries off the end is seen too.

    Example: edgewright audit --after 120
    """
    if verify:
        found = server.call("GET", "audit", "verify")
        if found["broken"] is not None:
            raise VerificationError(f"the audit log is not whole behind {found['count']} entries: {found['broken']}")
        click.echo(dumps(found) if as_json else f"{found['count']} entries hold together; the last is {found['head']}")
        return
    pages = server.pages("entries", "audit", query={"after": after, "limit": min(limit, 1000)})
    entries = list(itertools.islice(pages, limit))
    if as_json:
        click.echo(dumps({"entries": entries}))
        return
    rows = [
        (str(item["place"]), stamp(item["at"]), item["actor"], item["action"], item["subject"], _details(item["details"]))
        for item in entries
    ]
    click.echo(table(("place", "UTC", "who", "what", "of", "details"), rows) if rows else "nothing was changed")


def _details(details: dict[str, object]) -> str:
    return " ".join(f"{name}={value if isinstance(value, str) else dumps(value).decode()}" for name, value in details.items())
