"""What ran on a device at a time and where it came from, of a fleet that an alert led through a retraining to a new version."""

from __future__ import annotations

import json

import pytest
from commands import Asked, edgewright
from edgewright.core.errors import UsageError
from edgewright.fleet.control.lineage import explain
from edgewright.fleet.control.retrain.engine import RetrainEngine
from edgewright.fleet.control.tables import ALERTS
from loop import MODEL, PROFILE, Loop


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A loop that came to its end: version 1, then version 2 on all; when it began, and when it was done."""
    loop = Loop(tmp_path_factory.mktemp("loop"))
    clock = loop.control.clock
    begun = clock.now()
    loop.retrainings.set_policy(MODEL, "on: drift severe", "ann")
    with loop.database.transaction() as connection:
        connection.execute(
            ALERTS.insert().values(
                key="k", model=MODEL, sha256=loop.first, measure="input x[3]", scope="fleet", severity="severe", state="open",
                first_at=begun, last_at=begun, windows=3, evidence=json.dumps({"in_a_row": {"severe": 3}}),
            )
        )  # fmt: skip
    clock.ahead_s += 100.0
    RetrainEngine(loop.database).tick()
    loop.worker().work()
    (canary,) = loop.published()
    loop.run(1, canary.sha256)
    job = loop.folder / "work" / "jobs" / "1"
    edgewright("publish", job / f"{PROFILE}.ewa", "--repo", loop.repo)
    loop.engine().tick()
    RetrainEngine(loop.database).tick()
    loop.run(2, canary.sha256)
    assert loop.retrainings.get(1).state == "done"
    yield loop, begun, clock.now(), canary.sha256
    loop.close()


def explained(loop, device, at, model=None):
    with loop.database.reading() as connection:
        return explain(connection, device, at, model)


def test_before_and_after(told):
    loop, begun, done, sha256 = told
    for device in loop.devices:
        (before,) = explained(loop, device, begun)
        assert (before.sha256, before.artifact["version"], before.retrainings) == (loop.first, 1, ())
        (after,) = explained(loop, device, done)
        assert (after.sha256, after.artifact["version"]) == (sha256, 2)
        assert after.retrainings[0]["id"] == 1
        assert after.alert["measure"] == "input x[3]"
        assert f"({sha256[:12]})" in after.sentence


def test_the_whole_chain_of_a_device_of_the_fleet(told):
    loop, _, done, sha256 = told
    (found,) = explained(loop, loop.devices[3], done)
    assert found.rollout["id"] == 2
    assert found.assigned.actor == "rollout 2"
    assert found.artifact["is_canary"] is False
    assert [(event.details["role"], len(event.details["keys"])) for event in found.signed] == [("canary", 1), ("targets", 1)]
    assert found.provenance["subject"][0]["digest"]["sha256"] == sha256
    materials = found.provenance["predicate"]["buildDefinition"]["resolvedDependencies"]
    train = next(step for step in found.retrainings[0]["steps"] if step["step"] == "train")
    assert materials[0]["digest"]["sha256"] == train["details"]["source"]
    (canary,) = explained(loop, loop.devices[0], done)
    assert canary.rollout["id"] == 1


def test_what_is_not_known_is_said(told):
    loop, begun, done, _ = told
    (early,) = explained(loop, loop.devices[0], begun - 1e6)
    assert early.sha256 is None
    assert "not enrolled yet" in early.sentence
    (other,) = explained(loop, loop.devices[0], done, "speech")
    assert (other.sha256, other.artifact) == (None, None)
    with pytest.raises(UsageError, match="no device is called"):
        explained(loop, "nobody", done)


def test_the_command_tells_it_in_lines_and_as_json(told, tmp_path):
    loop, begun, done, sha256 = told
    asked = Asked(loop.control, tmp_path / "token", role="viewer")
    device = loop.devices[3]
    lines = asked("explain", device, "--at", repr(done))
    for part in (
        "version 2",
        "retraining 1",
        "input x[3] in fleet, severe",
        "targets keys",
        "top1 >= -1pt: passed",
        "made from",
    ):
        assert part in lines
    (found,) = json.loads(asked("explain", device, "--json"))["explained"]
    assert found["sha256"] == sha256
    assert "version 1" in asked("explain", device, "--at", repr(begun))
    with pytest.raises(UsageError, match="is no time"):
        asked("explain", device, "--at", "yesterday")
    with pytest.raises(UsageError, match="no device is called"):
        asked("explain", "nobody")
