"""What runs now: for each profile the artifact of a model that most devices say they run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from ..tables import ARTIFACTS, DEVICES, STATES


@dataclass(frozen=True)
class Deployed:
    """An artifact that `devices` say they run: its name in the repository, digest, profile and version."""

    profile: str
    sha256: str
    name: str
    version: int
    devices: int

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return asdict(self)


def deployed(connection: Connection, model: str) -> list[Deployed]:
    """The artifact of each profile in use, by profile; of two that as many devices run the newer one."""
    rows = connection.execute(
        select(STATES.c.running, func.count().label("devices"))
        .join(DEVICES, DEVICES.c.device == STATES.c.device)
        .where(STATES.c.model == model, STATES.c.running.is_not(None), DEVICES.c.revoked_at.is_(None))
        .group_by(STATES.c.running)
    )
    count = {row.running: int(row.devices) for row in rows}
    order = ARTIFACTS.c.is_canary.desc(), ARTIFACTS.c.version
    known = connection.execute(select(ARTIFACTS).where(ARTIFACTS.c.model == model).order_by(*order))
    named = {row.sha256: row for row in known}
    found: dict[str, Deployed] = {}
    for sha256, devices in count.items():
        row = named.get(sha256)
        if row is None:
            continue
        here = Deployed(row.profile, sha256, row.name, int(row.version), devices)
        best = found.get(row.profile)
        if best is None or (here.devices, here.version) > (best.devices, best.version):
            found[row.profile] = here
    return [found[profile] for profile in sorted(found)]
