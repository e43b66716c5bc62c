"""Bring a database's tables to the newest form, within the transaction of who asks."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from ....core.errors import UsageError
from ..tables import SCHEMA

_FIRST = "0001"


def migrate(connection: Connection) -> None:
    """All changes that the database has not seen; raises UsageError for one that a newer version of this program made."""
    has = set(inspect(connection).get_table_names())
    told = "alembic_version" in has
    if told and connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == SCHEMA:
        return
    # Alembic is imported where there is something to change: to open a database takes a twentieth of the time without.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    script = ScriptDirectory(str(Path(__file__).parent))
    environment = EnvironmentContext(Config(), script, fn=lambda found, _: script._upgrade_revs("head", found))
    environment.configure(connection=connection)
    try:
        if not told and "devices" in has:  # made before there were migrations
            environment.get_context().stamp(script, _FIRST)
        environment.run_migrations()
    except CommandError as error:
        raise UsageError(
            f"the database was made by a newer version of Edgewright ({error}); install that version, or restore a backup."
        ) from error
