"""Labels that come late: of samples that devices sent, and of answers that somebody else knows the truth of.

A push is kept whole or not at all, and counts once, by the digest of what it says. What was answered beside what was true
becomes counts by hour (OUTCOMES), from which the accuracy is told. Of labelled samples those alone count there that were drawn
at random: hard ones are wrong more often than the model is.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from ...core.canonical import digest_json
from ...core.errors import UsageError
from ..protocol.bins import decode_bins
from ..protocol.measures import measures
from ..protocol.sample import RANDOM
from .audit import record
from .database import Database, in_parts
from .tables import ARTIFACTS, DEVICES, OUTCOMES, PUSHES, SAMPLES, WINDOWS

MAX_CLASS = 2**31 - 1
HOUR_S = 3600
_MAX_TIME = 2.0**40
_CLASS = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)

Outcomes = Counter[tuple[str, str, int, int, int]]  # SHA-256, device, hour, predicted, label


@dataclass(frozen=True)
class SampleLabel:
    """What is true of a sample, by its name: a class number, or a number where the model names no classes."""

    sample: str
    label: str


@dataclass(frozen=True)
class Outcome:
    """What a device answered at a time (seconds since 1970) beside what was true; `sha256` None: the artifact that ran then."""

    device: str
    at: float
    predicted: int
    label: int
    sha256: str | None = None


@dataclass(frozen=True)
class Pushed:
    """`is_new`: it was not known before; `changed` of the `rows` say something that was not said before."""

    digest: str
    rows: int
    is_new: bool
    changed: int


def push(database: Database, model: str, rows: Sequence[SampleLabel] | Sequence[Outcome], actor: str) -> Pushed:
    """Take labels of a model, all of them or none; the same again changes nothing.

    Raises UsageError that names the first row that is wrong (they count from 1), StoreError where the database cannot be used.
    """
    if not rows:
        raise UsageError("there are no labels in it; give at least one row.")
    for number, row in enumerate(rows, start=1):
        if isinstance(row, Outcome) and not 0 <= row.at <= _MAX_TIME:
            raise UsageError(f"row {number}: {row.at!r} is no time; give seconds since 1970, or a date and time.")
    told = [list(vars(row).values()) for row in rows]
    key = digest_json({"kind": type(rows[0]).__name__, "model": model, "rows": told})
    with database.reading() as connection:  # what takes long stands before the transaction, in which others wait
        known = connection.execute(select(PUSHES.c.rows).where(PUSHES.c.digest == key)).first()
        if known is not None:
            return Pushed(key, known.rows, False, 0)
        classes = _classes(connection, model)
        answers = _count(connection, model, [row for row in rows if isinstance(row, Outcome)], classes)
    with database.transaction() as connection:
        known = connection.execute(select(PUSHES.c.rows).where(PUSHES.c.digest == key)).first()
        if known is not None:
            return Pushed(key, known.rows, False, 0)
        if isinstance(rows[0], SampleLabel):
            labels = [row for row in rows if isinstance(row, SampleLabel)]
            changed, counted = _label(connection, model, labels, classes, database.clock.now(), actor)
        else:
            changed, counted = len(rows), answers
        _add(connection, database, model, counted)
        connection.execute(insert(PUSHES).values(digest=key, at=database.clock.now(), by=actor, rows=len(rows)))
        record(connection, database, actor, "push-labels", model, {"changed": changed, "digest": key, "rows": len(rows)})
    return Pushed(key, len(rows), True, changed)


def _label(
    connection: Connection, model: str, rows: Sequence[SampleLabel], classes: dict[str, int], now: float, actor: str
) -> tuple[int, Outcomes]:
    """Label samples: how many have another label than before, and what of it counts."""
    columns = [column for column in SAMPLES.c if column.name != "data"]
    known: dict[str, Row[Any]] = {}
    for some in in_parts(sorted({row.sample for row in rows})):
        which = SAMPLES.c.model == model, SAMPLES.c.id.in_(some)
        known |= {row.id: row for row in connection.execute(select(*columns).where(*which))}
    wanted: dict[str, str] = {}
    counted: Outcomes = Counter()
    for number, row in enumerate(rows, start=1):
        sample = known.get(row.sample)
        if sample is None:
            raise UsageError(f"row {number}: {model!r} has no sample {row.sample[:64]}; `edgewright labels list` names them.")
        if wanted.setdefault(row.sample, row.label) != row.label:
            raise UsageError(f"row {number}: the sample {row.sample[:12]} has another label in a row before; give it one.")
        _check_label(number, row.label, sample.predicted is not None, classes.get(sample.sha256))
    changes = []
    for name, label in wanted.items():
        sample = known[name]
        if sample.label == label:
            continue
        changes.append({"of": name, "to": label})
        if sample.predicted is not None and RANDOM in json.loads(sample.reasons):
            hour = int(sample.at) // HOUR_S * HOUR_S
            if sample.label is not None:
                counted[sample.sha256, sample.device, hour, sample.predicted, int(sample.label)] -= 1
            counted[sample.sha256, sample.device, hour, sample.predicted, int(label)] += 1
    if changes:
        put = {"label": bindparam("to"), "labelled_at": now, "labelled_by": actor}
        connection.execute(update(SAMPLES).where(SAMPLES.c.id == bindparam("of")).values(put), changes)
    return len(changes), counted


def _check_label(number: int, label: str, is_class: bool, classes: int | None) -> None:
    """Raise UsageError unless a label is a class number, or a finite number where the model names no classes."""
    if _CLASS.fullmatch(label):
        _check_class(number, "label", int(label), classes)
        return
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    if is_class or not math.isfinite(value) or len(label) > 40:
        raise UsageError(
            f"row {number}: the label {label[:40]!r} is no class number; name classes with --classes, or number them."
        )


def _check_class(number: int, what: str, value: int, classes: int | None) -> None:
    most = MAX_CLASS + 1 if classes is None else classes
    if not 0 <= value < most:
        raise UsageError(f"row {number}: the {what} {value} is none of the model's classes; they run from 0 to {most - 1}.")


def _count(connection: Connection, model: str, rows: Sequence[Outcome], classes: dict[str, int]) -> Outcomes:
    """Counts of rows that name what was answered themselves."""
    devices = {row.device for row in rows}
    known = set()
    for some in in_parts(sorted(devices)):
        known |= set(connection.execute(select(DEVICES.c.device).where(DEVICES.c.device.in_(some))).scalars())
    ran = _ran(connection, model, [row for row in rows if row.sha256 is None])
    counted: Outcomes = Counter()
    for number, row in enumerate(rows, start=1):
        if row.device not in known:
            raise UsageError(f"row {number}: no device {row.device[:64]!r} has enrolled; `edgewright devices list` names them.")
        sha256 = ran.get((row.device, row.at), "") if row.sha256 is None else row.sha256
        for what, value in (("predicted class", row.predicted), ("label", row.label)):
            _check_class(number, what, value, classes.get(sha256))
        counted[sha256, row.device, int(row.at) // HOUR_S * HOUR_S, row.predicted, row.label] += 1
    return counted


def _ran(connection: Connection, model: str, rows: Sequence[Outcome]) -> dict[tuple[str, float], str]:
    """By device and time: of which artifact it counted requests then, by its clock; of several the one that began last."""
    times: dict[str, set[float]] = {}
    for row in rows:
        times.setdefault(row.device, set()).add(row.at)
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for some in in_parts(sorted(times)):
        query = select(WINDOWS.c.device, WINDOWS.c.start, WINDOWS.c.end, WINDOWS.c.sha256).where(
            WINDOWS.c.device.in_(some), WINDOWS.c.model == model
        )
        for found in connection.execute(query.order_by(WINDOWS.c.start, WINDOWS.c.sequence)):
            spans.setdefault(found.device, []).append((found.start, found.end, found.sha256))
    return {
        (device, at): sha256 for device, asked in times.items() for at, sha256 in _within(spans.get(device, []), sorted(asked))
    }


def _within(spans: Sequence[tuple[int, int, str]], times: Sequence[float]) -> Iterator[tuple[float, str]]:
    """Each of the rising times with the last of the spans (by rising start) that hold it, in one pass over both."""
    begun: list[tuple[int, int, str]] = []  # those that ended under a later one are left until it has ended too
    place = 0
    for at in times:
        while place < len(spans) and spans[place][0] <= at:
            begun.append(spans[place])
            place += 1
        while begun and begun[-1][1] < at:
            begun.pop()
        if begun:
            yield at, begun[-1][2]


def _classes(connection: Connection, model: str) -> dict[str, int]:
    """Number of classes of each artifact of a model, where its bins tell."""
    rows = connection.execute(
        select(ARTIFACTS.c.sha256, ARTIFACTS.c.bins).where(ARTIFACTS.c.model == model, ARTIFACTS.c.bins.is_not(None))
    )
    told = {row.sha256: [item for item in measures(decode_bins(row.bins)) if item.kind == "prediction"] for row in rows}
    return {sha256: len(found[0].edges) - 1 for sha256, found in told.items() if found}


def _add(connection: Connection, database: Database, model: str, counted: Outcomes) -> None:
    """Add to the counts; what falls to zero is no row any more."""
    rows = [
        dict(zip(("sha256", "device", "start", "predicted", "label"), key, strict=True)) | {"model": model, "count": count}
        for key, count in sorted(counted.items())
        if count
    ]
    if not rows:
        return
    add = database.upsert(OUTCOMES)
    keys = [column.name for column in OUTCOMES.primary_key]
    put = add.on_conflict_do_update(index_elements=keys, set_={"count": OUTCOMES.c.count + add.excluded.count})
    connection.execute(put, rows)
    if min(counted.values()) < 0:
        connection.execute(delete(OUTCOMES).where(OUTCOMES.c.model == model, OUTCOMES.c["count"] <= 0))
