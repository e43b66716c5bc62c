"""Groups: queries by name, so that `group = beta` means whoever the query of `beta` means now."""

from __future__ import annotations

import re

from sqlalchemy import Connection, delete, func, select

from ...core.errors import UsageError
from ..rollout.query import parse
from .audit import record
from .database import Database
from .tables import GROUPS

MAX_GROUPS = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def groups(connection: Connection) -> dict[str, str]:
    """Queries of all groups by name, in the order of their names."""
    return {row.name: row.query for row in connection.execute(select(GROUPS).order_by(GROUPS.c.name))}


def set_group(database: Database, name: str, query: str, actor: str) -> None:
    """Make a group, or give it another query; raises UsageError for a name or query that is none."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name[:100]!r} is no name of a group; give letters, digits, '.', '_' and '-', 100 at most.")
    if "group" in parse(query).names():
        raise UsageError("the query of a group asks for no other group; write out what that one means.")
    with database.transaction() as connection:
        count = connection.execute(select(func.count()).select_from(GROUPS).where(GROUPS.c.name != name)).scalar_one()
        if count >= MAX_GROUPS:
            raise UsageError(f"there are {count} groups, and more are not kept; remove one that nobody uses.")
        connection.execute(
            database.upsert(GROUPS)
            .values(name=name, query=query)
            .on_conflict_do_update(index_elements=["name"], set_={"query": query})
        )
        database.touch(connection, ())
        record(connection, database, actor, "set-group", name, {"query": query})


def remove_group(database: Database, name: str, actor: str) -> None:
    """Forget a group; raises UsageError for one that is unknown."""
    with database.transaction() as connection:
        done = connection.execute(delete(GROUPS).where(GROUPS.c.name == name))
        if done.rowcount == 0:
            raise UsageError(f"no group is called {name!r}; `edgewright group list` lists them.")
        database.touch(connection, ())
        record(connection, database, actor, "remove-group", name, {})
