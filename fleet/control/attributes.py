"""What a device is called by in queries, formed from the tables.

In this order, the later above the earlier: the facts that it told when it enrolled; what operators set; what the server forms
itself: `device`, `enrolled` (its time in UTC, as 2026-03-01T08:00:00Z), `seen_s` (seconds since it asked last), `model.NAME`
(the version that runs, or the begin of its SHA-256 where the repository never offered it), `revoked` (yes, or missing), `group`
(all groups whose query means it).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from ...core.errors import UsageError
from ..protocol.attribute import COMPUTED, MODEL_PREFIX, check_attribute, is_attribute_name
from ..rollout.query import Query, Values, parse
from .store import Store
from .tables import ARTIFACTS, ASSIGNMENTS, DEVICES, GROUPS, STATES

MAX_ATTRIBUTES = 64  # that operators set of one device
_PAGE = 500  # devices that are read at once
_WANTED = ("sha256", "name", "attempt", "deadline_s", "is_aborted", "rollout")
_SAID = ("running", "target", "state", "result", "why", "received_at")


@dataclass(frozen=True)
class Described:
    """A device: `facts` it told, `given` by operators, all its `attributes`; `models` by name: what is wanted, what it said.

    Times are seconds since 1970. `models[name]` has `wanted` and `said`, each a row of its table without the keys, or None.
    """

    device: str
    facts: Mapping[str, str]
    given: Mapping[str, str]
    attributes: Mapping[str, Values]
    enrolled_at: float
    seen_at: float | None
    revoked_at: float | None
    models: Mapping[str, Mapping[str, Mapping[str, Any] | None]]


def described(
    connection: Connection, now: float, *, after: str = "", only: Collection[str] | None = None
) -> Iterator[Described]:
    """Devices in the order of their names, from behind `after`; of `only` these where given. Read a piece at a time."""
    groups = [(row.name, parse(row.query)) for row in connection.execute(select(GROUPS).order_by(GROUPS.c.name))]
    versions: dict[str, int] = {
        row.sha256: row.version for row in connection.execute(select(ARTIFACTS.c.sha256, ARTIFACTS.c.version))
    }
    names = None if only is None else sorted(name for name in only if name > after)
    while names is None or names:
        query = select(DEVICES).where(DEVICES.c.device > after).order_by(DEVICES.c.device).limit(_PAGE)
        if names is not None:
            query, names = query.where(DEVICES.c.device.in_(names[:_PAGE])), names[_PAGE:]
        rows = connection.execute(query).all()
        if rows:
            models = _models(connection, [row.device for row in rows])
            yield from (_described(row, models.get(row.device, {}), versions, groups, now) for row in rows)
            after = rows[-1].device
        elif names is None:
            return


def attributes_of(connection: Connection, now: float, only: Collection[str] | None = None) -> dict[str, Mapping[str, Values]]:
    """Attributes of every device by name, or of those in `only`."""
    return {item.device: item.attributes for item in described(connection, now, only=only)}


def set_attributes(store: Store, device: str, values: Mapping[str, str], actor: str) -> None:
    """Let `values` be all that operators set of a device; raises UsageError for an unknown device or what is no attribute."""
    if len(values) > MAX_ATTRIBUTES:
        raise UsageError(f"a device has at most {MAX_ATTRIBUTES} attributes that operators set; these are {len(values)}.")
    for name, value in values.items():
        check_attribute(name, value)
    store.set_attributes(device, values, actor)


def _models(connection: Connection, names: list[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Wanted and said of these devices, by device and model."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    tables: tuple[tuple[str, Table, tuple[str, ...]], ...] = (("wanted", ASSIGNMENTS, _WANTED), ("said", STATES, _SAID))
    for kind, table, columns in tables:
        wanted = [table.c[column] for column in ("device", "model", *columns)]
        for device, model, *values in connection.execute(select(*wanted).where(table.c.device.in_(names))):
            of_model = found.setdefault(device, {}).setdefault(model, {"wanted": None, "said": None})
            of_model[kind] = dict(zip(columns, values, strict=True))
    return found


def _described(
    row: Row[Any],
    models: Mapping[str, Mapping[str, Any]],
    versions: Mapping[str, int],
    groups: list[tuple[str, Query]],
    now: float,
) -> Described:
    facts, given = json.loads(row.facts), json.loads(row.attributes)
    made: dict[str, Values] = {
        name: value
        for name, value in {**facts, **given}.items()
        if is_attribute_name(name) and name not in COMPUTED and not name.startswith(MODEL_PREFIX)
    }
    made["device"] = row.device
    made["enrolled"] = datetime.fromtimestamp(int(row.enrolled_at), timezone.utc).isoformat().replace("+00:00", "Z")
    if row.seen_at is not None:
        made["seen_s"] = str(max(0, round(now - row.seen_at)))
    if row.revoked_at is not None:
        made["revoked"] = "yes"
    for model, told in models.items():
        running = (told["said"] or {}).get("running")
        if running is not None:
            made[MODEL_PREFIX + model] = str(versions[running]) if running in versions else running[:12]
    member_of = tuple(name for name, query in groups if query.matches(made))
    if member_of:
        made["group"] = member_of
    return Described(row.device, facts, given, made, row.enrolled_at, row.seen_at, row.revoked_at, models)
