"""The artifacts that the signed repository offers, kept in the database: what a rollout can hand out."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, Row, insert, select, update

from ....core.canonical import dumps
from ....core.errors import EdgewrightError, ProtocolError, UnfinishedError
from ....core.manifest import HistogramBins
from ...protocol.bins import decode_bins
from ...protocol.offer import CANARY
from ...protocol.offered import Offered
from ..database import Database
from ..tables import ARTIFACTS

log = logging.getLogger("edgewright.control")


class Artifacts(Protocol):
    """Where offers come from: `fleet.trust.source.RepositorySource`, or something like it."""

    def refresh(self) -> None:
        """Learn what is signed now; raises EdgewrightError."""

    def offers(self) -> list[Offered]:
        """All verified offers."""

    def bins(self, offered: Offered) -> bytes | None:
        """The verified file of an offer's bins, or None where it has none; raises EdgewrightError."""


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
    bins = {item.name: _bins(source, item) for item in offers if _lacks_bins(item, known.get(item.name))}
    found = {name: data for name, data in bins.items() if data is not None}
    if not (fresh or gone or found):
        return
    with database.transaction() as connection:
        _write(connection, database, fresh, gone)
        for name, data in found.items():
            connection.execute(update(ARTIFACTS).where(ARTIFACTS.c.name == name).values(bins=data))


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


def _lacks_bins(item: Offered, row: Row[tuple[object, ...]] | None) -> bool:
    return item.offer.bins is not None and (row is None or row.bins is None or row.sha256 != item.sha256)


def _bins(source: Artifacts, item: Offered) -> bytes | None:
    """The file, or None where it cannot be had now; rollouts do without confidence until it can."""
    try:
        data = source.bins(item)
        if data is not None:
            decode_bins(data)
    except UnfinishedError:
        return None
    except ProtocolError as error:
        log.warning("the bins of %s are of no use: %s", item.name, error)
        return None
    except EdgewrightError as error:
        log.warning("the bins of %s cannot be had: %s", item.name, error)
        return None
    return data


def _write(connection: Connection, database: Database, fresh: Sequence[Offered], gone: Sequence[str]) -> None:
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
    for name in gone:
        connection.execute(update(ARTIFACTS).where(ARTIFACTS.c.name == name).values(gone_at=now))


def _offer(item: Offered) -> str:
    return dumps(item.offer.to_json()).decode()
