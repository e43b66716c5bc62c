"""Windows of telemetry in the database: each once, and all of a device and an artifact in one tally.

Hundreds of devices send theirs in a second. So what comes at the same moment is kept by few statements, which are made once;
what came is kept as it came (an encoding is exactly one); the rest is arithmetic on counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, bindparam, insert, select

from ...core.errors import ProtocolError
from ..protocol.window import Batch, Window
from ..telemetry.ledger import Accepted, accept
from .database import Database
from .tables import STREAMS, TALLIES, WINDOWS

Stream = tuple[str, str]  # device, stream
Artifact = tuple[str, str, str]  # device, model, SHA-256

_AT_ONCE = 40  # keys of a look-up


def _looking_up(table: Table, *names: str) -> Select[Any]:
    """Rows of which each column is one of those given for it: more than are meant, found by the primary key.

    SQLite walks through all rows to find those whose columns together are one of some tuples.
    """
    return select(table).where(*(table.c[name].in_(bindparam(name, expanding=True)) for name in names))


_HIGHEST = _looking_up(STREAMS, "device", "stream")
_TALLIES = _looking_up(TALLIES, "device", "model", "sha256")
_WINDOW = insert(WINDOWS)


class WindowStore:
    """The tables WINDOWS, STREAMS and TALLIES, within transactions of who calls."""

    def __init__(self, database: Database) -> None:
        self._clock = database.clock
        stream, tally = database.upsert(STREAMS), database.upsert(TALLIES)
        self._put_stream = stream.on_conflict_do_update(
            index_elements=["device", "stream", "model"], set_={"highest": stream.excluded.highest}
        )
        self._put_tally = tally.on_conflict_do_update(
            index_elements=["device", "model", "sha256"],
            set_={"data": tally.excluded.data, "updated_at": tally.excluded.updated_at},
        )

    def take(self, connection: Connection, came: Sequence[tuple[str, Batch]]) -> list[Accepted | ProtocolError]:
        """Keep what is new of batches with the names of their devices; of each what that is, or why nothing of it is kept."""
        results = self._accept(connection, came)
        tallies = self._merge(connection, came, results)
        now, windows, streams = self._clock.now(), [], {}
        for (device, batch), found in zip(came, results, strict=True):
            if isinstance(found, ProtocolError) or not found.windows:
                continue
            streams[device, found.stream, found.model] = found.highest
            raw, place = dict(batch.windows), {"device": device, "stream": found.stream, "model": found.model}
            windows += [
                {
                    **place,
                    "sequence": sequence,
                    "sha256": window.sha256,
                    "start": window.start,
                    "end": window.end,
                    "received_at": now,
                    "data": raw[sequence],
                }
                for sequence, window in found.windows
            ]
        if windows:
            connection.execute(_WINDOW, windows)
            connection.execute(self._put_tally, [_row(key, data, now) for key, data in sorted(tallies.items())])
            put = [{"device": d, "stream": s, "model": m, "highest": streams[d, s, m]} for d, s, m in sorted(streams)]
            connection.execute(self._put_stream, put)
        return results

    @staticmethod
    def _accept(connection: Connection, came: Sequence[tuple[str, Batch]]) -> list[Accepted | ProtocolError]:
        known: dict[Stream, dict[tuple[str, str], int]] = {(device, batch.stream): {} for device, batch in came}
        for row in _rows(connection, _HIGHEST, ("device", "stream"), known):
            known[row.device, row.stream][row.stream, row.model] = row.highest
        results: list[Accepted | ProtocolError] = []
        for device, batch in came:
            highest = known[device, batch.stream]
            try:
                found = accept(batch, highest)
            except ProtocolError as error:
                results.append(error)
            else:
                highest[batch.stream, found.model] = found.highest
                results.append(found)
        return results

    @staticmethod
    def _merge(
        connection: Connection, came: Sequence[tuple[str, Batch]], results: list[Accepted | ProtocolError]
    ) -> dict[Artifact, bytes]:
        """Tallies with what is new; where a device's counts do not add up, all that it brought now is refused in `results`."""
        keys: dict[Artifact, None] = {}
        for (device, _), found in zip(came, results, strict=True):
            if isinstance(found, Accepted):
                keys.update(((device, found.model, window.sha256), None) for _, window in found.windows)
        rows = _rows(connection, _TALLIES, ("device", "model", "sha256"), keys)
        tallies = {(row.device, row.model, row.sha256): Window.decode(row.data) for row in rows}
        encoded: dict[Artifact, bytes] = {}
        wrong: dict[str, ProtocolError] = {}
        for (device, _), found in zip(came, results, strict=True):
            for _, window in found.windows if isinstance(found, Accepted) else ():
                key = (device, window.model, window.sha256)
                try:
                    tallies[key] = tallies[key].merge(window) if key in tallies else window
                except ProtocolError as error:
                    wrong[device] = error
        for key in keys:
            try:
                encoded[key] = tallies[key].encode()
            except ProtocolError as error:
                wrong[key[0]] = error
        for at, (device, _) in enumerate(came):
            results[at] = wrong.get(device, results[at])
        return {key: data for key, data in encoded.items() if key[0] not in wrong}


def _rows(
    connection: Connection, query: Select[Any], names: tuple[str, ...], keys: Collection[tuple[str, ...]]
) -> Iterator[Row[Any]]:
    """Rows of these keys, which are the values of `names`."""
    left = iter(keys)
    while some := set(islice(left, _AT_ONCE)):
        given = {name: sorted({key[at] for key in some}) for at, name in enumerate(names)}
        for row in connection.execute(query, given):
            if tuple(row._mapping[name] for name in names) in some:
                yield row


def _row(key: Artifact, data: bytes, now: float) -> dict[str, Any]:
    device, model, sha256 = key
    return {"device": device, "model": model, "sha256": sha256, "data": data, "first_at": now, "updated_at": now}
