"""Who may use the page and the commands: names with a role and a secret that runs out.

A secret is 32 random bytes, so that its SHA-256 tells nothing about it and needs no salt; the database keeps that only. It is
looked up by its digest: what the look-up's time may tell is of the digest of a guess, which brings nobody nearer to a secret.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from sqlalchemy import insert, select, update

from ...core.canonical import digest
from ...core.errors import UsageError, unknown
from .audit import record
from .database import Database
from .tables import PEOPLE

ROLES = ("viewer", "operator", "admin")  # each may what the ones before it may
MAX_DAYS = 3660.0  # ten years
PREFIX = "ew_"  # so that a secret is known for one where it does not belong
_SECRET = re.compile(r"ew_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,99}")
_DAY_S = 86400.0


@dataclass(frozen=True)
class Person:
    """Who asks, and as what."""

    name: str
    role: str


@dataclass(frozen=True)
class Known:
    """A person's row; times are seconds since 1970."""

    name: str
    role: str
    made_at: float
    expires_at: float
    revoked_at: float | None


class People:
    """People in the database. Safe for several threads; methods raise StoreError when it cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make(self, name: str, role: str, days: float, actor: str) -> str:
        """The secret of a new person, told this once; it is good for so many days.

        A name whose secret was revoked or has run out may be given anew. Raises UsageError for a name that is taken or is
        none, an unknown role, and days that are no time.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name[:100]!r} is no name; give 1 to 100 of letters, digits and . _ @ + - and spaces.")
        if role not in ROLES:
            raise UsageError(unknown("role", role, ROLES))
        if not 0 < days <= MAX_DAYS:
            raise UsageError(f"a secret is good for more than 0 and up to {MAX_DAYS:.0f} days, not {days:g}.")
        secret, now = PREFIX + secrets.token_urlsafe(32), self._database.clock.now()
        values = {
            "secret_sha256": digest(secret.encode()),
            "role": role,
            "made_at": now,
            "expires_at": now + days * _DAY_S,
            "revoked_at": None,
        }
        with self._database.transaction() as connection:
            known = connection.execute(select(PEOPLE).where(PEOPLE.c.name == name)).first()
            if known is None:
                connection.execute(insert(PEOPLE).values(name=name, **values))
            elif known.revoked_at is None and known.expires_at > now:
                raise UsageError(f"there is a {name!r} already; take another name, or revoke it first.")
            else:
                connection.execute(update(PEOPLE).where(PEOPLE.c.name == name).values(**values))
            record(connection, self._database, actor, "make-person", name, {"role": role, "days": days})
        return secret

    def find(self, secret: str) -> Person | None:
        """Whose secret it is; None for an unknown one, and for one that was revoked or has run out."""
        if not _SECRET.fullmatch(secret):
            return None
        with self._database.reading() as connection:
            row = connection.execute(select(PEOPLE).where(PEOPLE.c.secret_sha256 == digest(secret.encode()))).first()
        if row is None or row.revoked_at is not None or row.expires_at <= self._database.clock.now():
            return None
        return Person(row.name, row.role)

    def revoke(self, name: str, actor: str) -> None:
        """Refuse the person's secret from now on; raises UsageError for an unknown name."""
        with self._database.transaction() as connection:
            which = PEOPLE.c.name == name
            known = connection.execute(select(PEOPLE.c.revoked_at).where(which)).first()
            if known is None:
                raise UsageError(f"nobody is called {name[:100]!r}; list the people to see who there is.")
            if known.revoked_at is None:
                connection.execute(update(PEOPLE).where(which).values(revoked_at=self._database.clock.now()))
                record(connection, self._database, actor, "revoke-person", name, {})

    def listed(self) -> list[Known]:
        """Everyone, by name, also whose secret was revoked or has run out."""
        columns = (PEOPLE.c.name, PEOPLE.c.role, PEOPLE.c.made_at, PEOPLE.c.expires_at, PEOPLE.c.revoked_at)
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns)).all()
        return sorted((Known(*row) for row in rows), key=lambda known: known.name)
