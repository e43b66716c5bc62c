"""Whom a rollout means: the devices of its query, each with the artifact that fits it, or why it is left out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, insert, select

from ....core.canonical import dumps
from ...protocol.assignment import Wanted
from ...rollout.membership import in_order, joiners, place_of, size_of
from ...rollout.plan import Plan
from ...rollout.query import Values, parse
from ..attributes import Described, described
from ..tables import MEMBERS
from .records import Rollout
from .shelf import Artifact, artifacts_of


@dataclass
class Population:
    """Artifact by device, and by device why it is left out; `running` have it already; `of_stage` are devices by query."""

    fitting: dict[str, Artifact] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    of_stage: dict[str, list[str]] = field(default_factory=dict)

    def sizes(self, plan: Plan) -> list[int]:
        """How many devices each stage reaches, earlier stages' included, were it to begin now."""
        groups = [[device for device in self.of_stage[stage.query] if device not in self.running] for stage in plan.stages]
        return [size_of(stage, len(group)) for stage, group in zip(plan.stages, groups, strict=True)]


def population(connection: Connection, now: float, plan: Plan, only: Collection[str] | None = None) -> Population:
    """All devices that the plan means, or those of `only` among them."""
    artifacts = artifacts_of(connection, plan.model, plan.version)
    wanted, stages = parse(plan.query), {stage.query: parse(stage.query) for stage in plan.stages}
    found = Population(of_stage={query: [] for query in stages})
    for item in described(connection, now, only=only):
        if not wanted.matches(item.attributes):
            continue
        artifact = "it was revoked" if item.revoked_at is not None else _fitting(item, plan, artifacts)
        if isinstance(artifact, str):
            found.left_out[item.device] = artifact
            continue
        found.fitting[item.device] = artifact
        said = item.models.get(plan.model, {}).get("said")
        if said is not None and said["running"] == artifact.sha256:
            found.running.add(item.device)
        for query, parsed in stages.items():
            if parsed.matches(item.attributes):
                found.of_stage[query].append(item.device)
    return found


def join_stage(connection: Connection, rollout: Rollout, stage: int, found: Population) -> int:
    """Write down the members that a stage adds; how many they are."""
    told, members = rollout.plan.stages[stage], _members(connection, rollout)
    meant = [device for device in found.of_stage[told.query] if device in members or device not in found.running]
    ordered = in_order(rollout.id, rollout.plan.seed, meant)
    return _insert(connection, rollout, stage, joiners(told, ordered, members), found)


def late(rollout: Rollout, found: Population) -> list[str]:
    """Devices of a population that came after the stage began and join it: those whose places lie within its share."""
    stage, seed = rollout.plan.stages[rollout.stage], rollout.plan.seed
    if stage.count is not None:
        return []
    meant = [device for device in found.of_stage[stage.query] if device not in found.running]
    return in_order(rollout.id, seed, [device for device in meant if place_of(rollout.id, seed, device) < stage.share])


def join_late(connection: Connection, rollout: Rollout, found: Population) -> int:
    """Write down devices that came after the stage began; how many they are."""
    return _insert(connection, rollout, rollout.stage, late(rollout, found), found)


def _members(connection: Connection, rollout: Rollout) -> set[str]:
    return set(connection.execute(select(MEMBERS.c.device).where(MEMBERS.c.rollout == rollout.id)).scalars())


def _insert(connection: Connection, rollout: Rollout, stage: int, devices: Sequence[str], found: Population) -> int:
    rows = []
    for device in devices:
        artifact = found.fitting[device]
        wanted = Wanted(rollout.model, artifact.sha256, artifact.name, 0, rollout.plan.deadline_s)
        place = place_of(rollout.id, rollout.plan.seed, device)
        told = {"stage": stage, "place": place, "wanted": dumps(wanted.to_json()).decode()}
        rows.append({"rollout": rollout.id, "device": device, **told})
    if rows:
        connection.execute(insert(MEMBERS), rows)
    return len(rows)


def _fitting(item: Described, plan: Plan, artifacts: Sequence[Artifact]) -> Artifact | str:
    """The artifact of a device, or in one clause why there is none."""
    profile, arch = _text(item.attributes.get("profile")), _text(item.attributes.get("arch"))
    if profile:
        for artifact in artifacts:
            if artifact.profile == profile:
                return artifact
        return f"nothing is signed of version {plan.version} for {profile}"
    fitting = [artifact for artifact in artifacts if artifact.arch == arch]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        return f"nothing is signed of version {plan.version} for {arch or 'a device that tells no arch'}"
    names = ", ".join(artifact.profile for artifact in fitting)
    return f"{names} fit; set its attribute profile to one of them"


def _text(values: Values | None) -> str:
    return values if isinstance(values, str) else ""
