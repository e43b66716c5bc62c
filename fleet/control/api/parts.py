"""What the routes of the people's API work on."""

from __future__ import annotations

from dataclasses import dataclass

from ..database import Database
from ..people import People
from ..rollouts.store import Rollouts
from ..store import Store


@dataclass(frozen=True)
class Parts:
    """`root_sha256` is the digest of the root.json that new devices shall trust; without it no tokens for devices are made."""

    database: Database
    store: Store
    people: People
    rollouts: Rollouts
    root_sha256: str | None = None
