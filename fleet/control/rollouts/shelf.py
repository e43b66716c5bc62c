"""The artifacts that the signed repository offers, kept in the database: what a rollout can hand out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from sqlalchemy import Connection, Row, insert, select, update

from ....core.canonical import dumps
from ....core.errors import EdgewrightError, ProtocolError, UnfinishedError
from ....core.manifest import HistogramBins
from ...protocol.bins import decode_bins
from ...protocol.offer import CANARY
from ...protocol.offered import Offered, Signers
from ..audit import record
from ..database import Database
from ..tables import ARTIFACTS

log = logging.getLogger("edgewright.control")
REPOSITORY = "repository"  # who is written down in the audit log for what was signed


class Artifacts(Protocol):
    """Where offers come from: `fleet.trust.source.RepositorySource`, or something like it."""

    def refresh(self) -> None:
        """Learn what is signed now; raises EdgewrightError."""

    def offers(self) -> list[Offered]:
        """All verified offers."""

    def bins(self, offered: Offered) -> bytes | None:
        """The verified file of an offer's bins, or None where it has none; raises EdgewrightError."""

    def provenance(self, offered: Offered) -> bytes | None:
        """The verified file of an offer's provenance, or None where it has none; raises EdgewrightError."""

    def signers(self, offered: Offered) -> Signers:
        """Who signed it; raises EdgewrightError."""


@dataclass(frozen=True)
class Artifact:
    """An artifact that can be assigned: its name in the repository and digest, for which profile and architecture."""

    name: str
    sha256: str
    profile: str
    arch: str
    is_canary: bool


def learn(database: Database, source: Artifacts) -> None:
    """Bring the table up to what is signed; raises EdgewrightError where the repository cannot be read or trusted."""
    source.refresh()
    offers = source.offers()
    with database.reading() as connection:
        known = {row.name: row for row in connection.execute(select(ARTIFACTS))}
    fresh = [item for item in offers if _is_news(item, known.get(item.name))]
    gone = [name for name, row in known.items() if row.gone_at is None and name not in {item.name for item in offers}]
    signed = {item.name: source.signers(item) for item in fresh}
    beside: dict[str, dict[str, bytes]] = {}
    for kind, told in _BESIDE.items():
        for item in offers:
            if _lacks(kind, told, item, known.get(item.name)) and (data := _file(source, kind, item)) is not None:
                beside.setdefault(item.name, {})[kind] = data
    if not (fresh or gone or beside):
        return
    with database.transaction() as connection:
        _write(connection, database, fresh, gone, signed)
        for name, files in beside.items():
            connection.execute(update(ARTIFACTS).where(ARTIFACTS.c.name == name).values(**files))


def artifacts_of(connection: Connection, model: str, version: int) -> list[Artifact]:
    """What is signed of a version now; of one that is there in both roles, the one that every device takes."""
    rows = connection.execute(
        select(ARTIFACTS)
        .where(ARTIFACTS.c.model == model, ARTIFACTS.c.version == version, ARTIFACTS.c.gone_at.is_(None))
        .order_by(ARTIFACTS.c.is_canary.desc(), ARTIFACTS.c.name)
    )
    found = {
        row.profile: Artifact(row.name, row.sha256, row.profile, json.loads(row.offer)["arch"], row.is_canary) for row in rows
    }
    return [found[profile] for profile in sorted(found)]


def names_of(connection: Connection, model: str) -> dict[str, str]:
    """Name of each artifact of a model by its digest, of those that are signed now."""
    rows = connection.execute(
        select(ARTIFACTS.c.sha256, ARTIFACTS.c.name)
        .where(ARTIFACTS.c.model == model, ARTIFACTS.c.gone_at.is_(None))
        .order_by(ARTIFACTS.c.is_canary.desc(), ARTIFACTS.c.name)
    )
    return {row.sha256: row.name for row in rows}


def bins_of(connection: Connection, model: str) -> dict[str, Sequence[HistogramBins]]:
    """Bins of each artifact of a model by its digest, where there are any."""
    rows = connection.execute(
        select(ARTIFACTS.c.sha256, ARTIFACTS.c.bins).where(ARTIFACTS.c.model == model, ARTIFACTS.c.bins.is_not(None))
    )
    return {row.sha256: decode_bins(row.bins) for row in rows}


def _is_news(item: Offered, row: Row[tuple[object, ...]] | None) -> bool:
    return row is None or row.gone_at is not None or (row.sha256, row.offer) != (item.sha256, _offer(item))


def _lacks(kind: str, told: Callable[[Offered], object], item: Offered, row: Row[tuple[object, ...]] | None) -> bool:
    return told(item) is not None and (row is None or getattr(row, kind) is None or row.sha256 != item.sha256)


def _file(source: Artifacts, kind: str, item: Offered) -> bytes | None:
    """A file beside an artifact, or None where it cannot be had now: without its bins, rollouts do without confidence."""
    try:
        data = source.bins(item) if kind == "bins" else source.provenance(item)
        if data is not None:
            _CHECKS[kind](data)
    except UnfinishedError:
        return None
    except (ProtocolError, ValueError) as error:
        log.warning("the %s of %s cannot be read: %s", kind, item.name, error)
        return None
    except EdgewrightError as error:
        log.warning("the %s of %s cannot be had: %s", kind, item.name, error)
        return None
    return data


# What lies beside an artifact and is kept with it: where its offer tells of it, and what refuses a file that is none.
_BESIDE: dict[str, Callable[[Offered], object]] = {
    "bins": lambda item: item.offer.bins,
    "provenance": lambda item: item.offer.provenance,
}
_CHECKS: dict[str, Callable[[bytes], object]] = {"bins": decode_bins, "provenance": json.loads}


def _write(
    connection: Connection,
    database: Database,
    fresh: Sequence[Offered],
    gone: Sequence[str],
    signed: Mapping[str, Signers],
) -> None:
    now = database.clock.now()
    for item in fresh:
        values = {
            "model": item.offer.model,
            "version": item.offer.version,
            "profile": item.offer.profile,
            "is_canary": item.name.startswith(f"{CANARY}/"),
            "sha256": item.sha256,
            "length": item.length,
            "offer": _offer(item),
            "gone_at": None,
        }
        changed = connection.execute(update(ARTIFACTS).where(ARTIFACTS.c.name == item.name).values(**values))
        if changed.rowcount == 0:
            connection.execute(insert(ARTIFACTS).values(name=item.name, first_seen_at=now, **values))
        told = {name: values[name] for name in ("model", "version", "profile", "sha256")}
        record(connection, database, REPOSITORY, "learn-artifact", item.name, {**told, **asdict(signed[item.name])})
    for name in gone:
        connection.execute(update(ARTIFACTS).where(ARTIFACTS.c.name == name).values(gone_at=now))


def _offer(item: Offered) -> str:
    return dumps(item.offer.to_json()).decode()
