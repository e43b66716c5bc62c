"""A process that dies while it writes to the control plane's database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from edgewright.fleet.control.database import Database
from sqlalchemy import event


class Died(Exception):
    """The process is gone."""


@contextlib.contextmanager
def dying_at(database: Database, moment: int) -> Iterator[list[int]]:
    """At the `moment`th statement or commit that writes the process dies; what was not committed is lost."""
    seen = [0]

    def count(*_: object) -> None:
        seen[0] += 1
        if seen[0] == moment:
            raise Died

    def statement(connection: object, cursor: object, text: str, *_: object) -> None:
        if text.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            count()

    engine = database._engine
    for name, hook in (("before_cursor_execute", statement), ("commit", count)):
        event.listen(engine, name, hook)
    try:
        yield seen
    finally:
        for name, hook in (("before_cursor_execute", statement), ("commit", count)):
            event.remove(engine, name, hook)
