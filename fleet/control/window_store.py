"""Windows of telemetry in the database: each once, and all of a device and an artifact in one tally.

Hundreds of devices send theirs in a second. So the statements are made once, the bytes that came are kept as they came (an
encoding is exactly one), and the rest is arithmetic on counts.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select

from ..protocol.window import Batch, Window, merge_all
from ..telemetry.ledger import Accepted, accept
from .database import Database
from .tables import STREAMS, TALLIES, WINDOWS

_HIGHEST = select(STREAMS.c.model, STREAMS.c.highest).where(
    STREAMS.c.device == bindparam("device"), STREAMS.c.stream == bindparam("stream")
)
_TALLY = select(TALLIES.c.data).where(
    TALLIES.c.device == bindparam("device"), TALLIES.c.model == bindparam("model"), TALLIES.c.sha256 == bindparam("sha256")
)
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

    def take(self, connection: Connection, device: str, batch: Batch) -> Accepted:
        """Keep what of a batch is new, and say what that is; raises ProtocolError, and then nothing of it is kept."""
        known = connection.execute(_HIGHEST, {"device": device, "stream": batch.stream}).all()
        found = accept(batch, {(batch.stream, row.model): row.highest for row in known})
        if not found.windows:
            return found
        now, came = self._clock.now(), dict(batch.windows)
        place = {"device": device, "stream": found.stream, "model": found.model}
        rows = [
            {
                **place,
                "sequence": sequence,
                "sha256": window.sha256,
                "start": window.start,
                "end": window.end,
                "received_at": now,
                "data": came[sequence],
            }
            for sequence, window in found.windows
        ]
        connection.execute(_WINDOW, rows)
        self._add(connection, device, [window for _, window in found.windows], now)
        connection.execute(self._put_stream, {**place, "highest": found.highest})
        return found

    def _add(self, connection: Connection, device: str, windows: list[Window], now: float) -> None:
        """Merge windows of one model into the device's tallies."""
        for sha256 in sorted({window.sha256 for window in windows}):
            fresh = [window for window in windows if window.sha256 == sha256]
            key = {"device": device, "model": fresh[0].model, "sha256": sha256}
            before = connection.execute(_TALLY, key).scalar()
            data = merge_all(fresh if before is None else [Window.decode(before), *fresh]).encode()
            connection.execute(self._put_tally, {**key, "data": data, "first_at": now, "updated_at": now})
