"""The engine of retrainings: opens them where a policy says so, and carries them on when their rollouts end or are signed."""

from __future__ import annotations

from ..database import Database
from .carrying import carry_on
from .records import load_all
from .triggers import fired

_SERVERS = ("canary", "to-sign", "rolling-out")  # states in which something is the server's


class RetrainEngine:
    """Works by steps that are one transaction each and decided anew in it: it may be killed, and several may run."""

    def __init__(self, database: Database, look_s: float = 5.0) -> None:
        """`look_s`: how often to look, in seconds."""
        self._database, self._look_s = database, look_s

    def tick(self) -> float:
        """Take all steps that are due; seconds until the next look. Raises StoreError when the database cannot be used."""
        fired(self._database)
        with self._database.reading() as connection:
            numbers = [item.id for item in load_all(connection, only_open=True) if item.state in _SERVERS]
        for number in numbers:
            with self._database.transaction() as connection:
                carry_on(connection, self._database, number)
        return self._look_s
