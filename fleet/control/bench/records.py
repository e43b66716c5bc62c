"""A measuring as it is kept: the artifact, and a run for each device, number of threads and batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from ...protocol.bench_job import End, Outcome
from ...protocol.offer import Offer
from ..tables import BENCH_RUNS, BENCHES, DEVICES
from .worth import Worth, worth

State = Literal["waiting", "taken", "measured", "refused", "failed", "cancelled", "expired", "revoked"]
OPEN: frozenset[State] = frozenset({"waiting", "taken"})
_WHY: dict[State, str] = {
    "waiting": "the device has not asked yet",
    "taken": "the device has it",
    "cancelled": "it was cancelled",
    "revoked": "the device was revoked",
    "refused": "the artifact was not signed any more",
}


@dataclass(frozen=True)
class Run:
    """One device's part. `why` says in a clause what a state without figures comes from; `outcome` is what the device told.

    `worth` is what its latency counts for, of a run that was measured. Times are seconds since 1970.
    """

    id: int
    device: str
    threads: int
    batch: int
    state: State
    why: str
    taken_at: float | None
    ended_at: float | None
    outcome: Outcome | None
    worth: Worth | None

    def to_json(self) -> dict[str, Any]:
        """JSON object; an outcome is told by its measurement, health and CPU."""
        told = None if self.outcome is None else self.outcome.to_json()
        return {
            **{
                name: getattr(self, name)
                for name in ("id", "device", "threads", "batch", "state", "why", "taken_at", "ended_at")
            },
            "measurement": None if told is None else told["measurement"],
            "health": None if told is None else {**told["health"], "serving": told["serving"]},
            "cpu": None if told is None else {"arch": told["cpu"]["arch"], "model": told["cpu"]["model"]},
            "is_emulated": told is not None and told["is_emulated"],
            "measured_on": None if self.worth is None else self.worth.measured_on,
            "worth": "" if self.worth is None else self.worth.why,
        }


@dataclass(frozen=True)
class Bench:
    """A measuring that a person asked for; `offer` is what was signed of the artifact then."""

    id: int
    name: str
    sha256: str
    query: str
    threads: tuple[int, ...]
    batches: tuple[int, ...]
    windows: int
    made_at: float
    made_by: str
    expires_at: float
    cancelled_at: float | None
    cancelled_by: str | None
    offer: Offer
    runs: tuple[Run, ...]

    @property
    def is_ended(self) -> bool:
        """Whether no run is open."""
        return all(run.state not in OPEN for run in self.runs)


def load(connection: Connection, number: int, now: float) -> Bench | None:
    """The measuring of that number, or None."""
    row = connection.execute(select(BENCHES).where(BENCHES.c.id == number)).first()
    return None if row is None else _bench(connection, row, now)


def load_all(connection: Connection, now: float, sha256: str | None, limit: int) -> list[Bench]:
    """Measurings, the newest first, of all artifacts or of one."""
    asked = select(BENCHES).order_by(BENCHES.c.id.desc()).limit(limit)
    rows = connection.execute(asked if sha256 is None else asked.where(BENCHES.c.sha256 == sha256)).all()
    return [_bench(connection, row, now) for row in rows]


def _bench(connection: Connection, row: Row[Any], now: float) -> Bench:
    offer = Offer.from_json(json.loads(row.offer))
    joined = select(BENCH_RUNS, DEVICES.c.revoked_at).join(DEVICES, DEVICES.c.device == BENCH_RUNS.c.device)
    runs = connection.execute(joined.where(BENCH_RUNS.c.bench == row.id).order_by(BENCH_RUNS.c.id)).all()
    return Bench(
        **{
            name: getattr(row, name)
            for name in ("id", "name", "sha256", "query", "windows", "made_at", "made_by", "expires_at")
        },
        threads=tuple(json.loads(row.threads)),
        batches=tuple(json.loads(row.batches)),
        cancelled_at=row.cancelled_at,
        cancelled_by=row.cancelled_by,
        offer=offer,
        runs=tuple(_run(item, row, offer, now) for item in runs),
    )


def _run(row: Row[Any], bench: Row[Any], offer: Offer, now: float) -> Run:
    outcome = None if row.outcome is None else Outcome.from_json(json.loads(row.outcome))
    state = state_of(
        row.result, row.taken_at, row.revoked_at is not None, bench.cancelled_at is not None, bench.expires_at <= now
    )
    why = outcome.why if outcome is not None else _WHY.get(state, "")
    if state == "expired":
        why = "the device never asked" if row.taken_at is None else "the device took it, and told nothing in time"
    found = worth(offer, outcome) if outcome is not None and outcome.end == "measured" else None
    return Run(row.id, row.device, row.threads, row.batch, state, why, row.taken_at, row.ended_at, outcome, found)


def state_of(result: End | None, taken_at: float | None, is_revoked: bool, is_cancelled: bool, is_late: bool) -> State:
    """State of a run: what the device told, else why nothing comes of it any more, else how far it is."""
    if result is not None:
        return result
    ends: Sequence[tuple[bool, State]] = ((is_cancelled, "cancelled"), (is_revoked, "revoked"), (is_late, "expired"))
    for is_so, state in ends:
        if is_so:
            return state
    return "waiting" if taken_at is None else "taken"
