"""A trusted target that offers an artifact: what a source of artifacts hands to whoever chooses among them."""

from __future__ import annotations

from dataclasses import dataclass

from .offer import Offer


@dataclass(frozen=True)
class Offered:
    """A verified target: its name in the repository, the SHA-256 and bytes of the file, and what its signers say of it."""

    name: str
    sha256: str
    length: int
    offer: Offer


@dataclass(frozen=True)
class Signers:
    """Who speaks for a role: the ids of its keys, and how many of these have to sign."""

    role: str
    keys: tuple[str, ...]
    threshold: int
