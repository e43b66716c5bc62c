"""Retrainings from the policy that opens one to the fleet that runs what came of it, on both databases."""

from __future__ import annotations

import json

import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.control import audit
from edgewright.fleet.control.retrain.engine import RetrainEngine
from edgewright.fleet.control.retrain.store import Retrainings
from edgewright.fleet.control.tables import ALERTS, DRIFT_WINDOWS, OUTCOMES, POLICIES
from edgewright.fleet.drift.verdict import Judged
from edgewright.fleet.protocol.offer import CANARY
from edgewright.fleet.protocol.window import LATENCY_BINS, Window
from edgewright.fleet.retrain.policy import Policy
from edgewright.fleet.rollout.plan import Plan, Stage
from rollout_world import SHA

CANARY_PLAN = Plan("digits", 2, "canary = yes", (Stage(),), observe_s=60.0, when_undecided="promote")
FLEET_PLAN = Plan("digits", 2, "", (Stage(),), observe_s=60.0, when_undecided="promote")
PUBLISHED = {"version": 2, "artifacts": {"pi": SHA[2]}, "canary": CANARY_PLAN.to_json(), "fleet": FLEET_PLAN.to_json()}
BEFORE_PUBLISH = ("collect", "train", "compile", "gate")


@pytest.fixture
def store(fleet):
    return Retrainings(fleet.database)


@pytest.fixture
def engine(fleet):
    return RetrainEngine(fleet.database)


def alert(fleet, severity="severe", sha256=SHA[1], windows=3, **changes):
    """What the drift engine writes down."""
    evidence = {"in_a_row": {severity: windows}, "sentence": "inputs drift.", "reach": 1.0}
    values = {
        "key": "digits|input x[3]|fleet", "model": "digits", "sha256": sha256, "measure": "input x[3]", "scope": "fleet",
        "severity": severity, "state": "open", "first_at": fleet.clock.now(), "last_at": fleet.clock.now(), "windows": windows,
        "evidence": json.dumps(evidence), **changes,
    }  # fmt: skip
    with fleet.database.transaction() as connection:
        connection.execute(ALERTS.insert().values(**values))


def actions(fleet, subject="retraining"):
    with fleet.database.reading() as connection:
        assert audit.verify(connection).broken is None
        return [entry.action for entry in audit.entries(connection, limit=1000) if entry.subject.startswith(subject)]


def work(store, number=1, worker="w", steps=BEFORE_PUBLISH):
    leased = store.lease(worker, ("digits",), 60.0, "ci")
    assert leased.retraining.id == number
    for step in steps:
        assert store.get(number).next == step
        store.note(number, worker, step, {"digest": step}, "ci")
    return leased


def publish(fleet, store, number=1, worker="w"):
    fleet.repository.offer(fleet.new, 2, role=CANARY)
    fleet.repository.publish(CANARY, "snapshot", "timestamp")
    store.note(number, worker, "publish", PUBLISHED, "ci")


def finish(fleet, rollout, devices):
    """Let a rollout's devices say that the new version runs, for long enough."""
    fleet.tick(61.0)
    fleet.runs(devices)
    for _ in range(3):
        fleet.tick(61.0)
    assert fleet.rollout(rollout).state == "completed"


def test_an_alert_leads_to_a_canary_and_a_signature_to_the_fleet(fleet, store, engine):
    store.set_policy("digits", "on: drift severe for 2 windows", "ann")
    alert(fleet)
    engine.tick()
    (opened,) = store.list()
    assert (opened.model, opened.state, opened.alert, opened.next) == ("digits", "waiting", 1, "collect")

    leased = work(store)
    assert [(item.profile, item.sha256, item.devices) for item in leased.deployed] == [("pi", SHA[1], 6)]
    publish(fleet, store)
    canary = store.get(1)
    assert (canary.state, canary.rollout) == ("canary", 1)
    finish(fleet, 1, fleet.devices[4:])
    assert fleet.members(number=1) == sorted(fleet.devices[4:], key=fleet.members(number=1).index)
    engine.tick()
    assert store.get(1).state == "to-sign"

    for _ in range(3):  # nothing goes to all devices before the offline keys signed it
        fleet.tick(61.0)
        engine.tick()
    assert (store.get(1).state, len(fleet.rollouts.list())) == ("to-sign", 1)
    fleet.repository.offer(fleet.new, 2)
    fleet.repository.publish()
    fleet.tick(61.0)
    engine.tick()
    assert (store.get(1).state, store.get(1).rollout) == ("rolling-out", 2)
    finish(fleet, 2, fleet.devices[:4])
    engine.tick()
    done = store.get(1)
    assert (done.state, done.next) == ("done", None)
    assert actions(fleet) == [
        "open-retraining", "lease-retraining", "retrain-collect", "retrain-train", "retrain-compile", "retrain-gate",
        "retrain-publish", "begin-canary", "canary-passed", "begin-release", "retraining-done",
    ]  # fmt: skip
    assert [item.step for item in done.steps] == ["begin", *BEFORE_PUBLISH, "publish", "canary", "rollout"]


def test_one_is_open_at_a_time_and_no_more_are_opened_than_the_policy_allows(fleet, store, engine):
    store.set_policy("digits", "on: drift severe; at most once a day", "ann")
    alert(fleet)
    for _ in range(3):
        engine.tick()
    assert len(store.list()) == 1
    with pytest.raises(UsageError, match="retraining 1"):
        store.open("digits", "", "ann")
    store.cancel(1, "ann")
    engine.tick()
    assert len(store.list()) == 1
    fleet.clock.advance(86_401.0)
    engine.tick()
    assert [item.state for item in store.list()] == ["cancelled", "waiting"]


@pytest.mark.parametrize(
    "changes", [{"severity": "moderate"}, {"windows": 1}, {"sha256": SHA[2]}, {"scope": "device 0123"}, {"state": "closed"}]
)
def test_what_the_policy_does_not_say_opens_nothing(fleet, store, engine, changes):
    store.set_policy("digits", "on: drift severe for 2 windows", "ann")
    alert(fleet, **changes)
    engine.tick()
    assert store.list() == []


def test_without_a_policy_only_a_person_opens_one(fleet, store, engine):
    alert(fleet)
    engine.tick()
    assert store.list() == []
    assert store.open("digits", "labels came", "ann") == 1
    assert store.get(1).made_by == "ann"
    with pytest.raises(UsageError, match="no device says"):
        store.open("speech", "", "ann")


def test_a_refused_one_says_why_and_changes_nothing_that_runs(fleet, store, engine):
    store.open("digits", "", "ann")
    work(store, steps=BEFORE_PUBLISH[:3])
    before = fleet.assigned(), [item.id for item in fleet.rollouts.list()]
    why = "top1 on the new data: the lower bound -0.2pt is not above 0."
    for _ in range(2):  # the answer was lost once
        assert store.end(1, "w", "refused", why, {}, "ci").why == why
    engine.tick()
    fleet.tick(61.0)
    assert (fleet.assigned(), [item.id for item in fleet.rollouts.list()]) == before
    assert store.get(1).state == "refused"
    assert actions(fleet)[-1] == "refuse-retraining"
    assert actions(fleet).count("refuse-retraining") == 1
    assert store.open("digits", "again", "ann") == 2


def test_a_lease_is_one_workers_until_it_is_silent(fleet, store):
    store.open("digits", "", "ann")
    first = work(store, worker="a", steps=("collect",))
    assert store.lease("b", ("digits",), 60.0, "ci") is None
    assert store.lease("a", ("digits",), 60.0, "ci").retraining.next == "train"
    fleet.clock.advance(59.0)
    store.beat(1, "a", 60.0)
    fleet.clock.advance(59.0)
    assert store.lease("b", ("digits",), 60.0, "ci") is None
    fleet.clock.advance(2.0)
    second = store.lease("b", ("digits",), 60.0, "ci")
    assert (second.retraining.next, second.until) == ("train", first.until)
    with pytest.raises(UsageError, match="taken up by b"):
        store.note(1, "a", "train", {}, "ci")
    with pytest.raises(UsageError, match="taken up by b"):
        store.beat(1, "a", 60.0)
    assert store.lease("c", ("speech",), 60.0, "ci") is None


def test_a_step_counts_once_and_another_result_takes_back_what_followed(fleet, store):
    store.open("digits", "", "ann")
    work(store, steps=("collect", "train", "compile"))
    entries = len(actions(fleet))
    store.note(1, "w", "train", {"digest": "train"}, "ci")
    assert len(actions(fleet)) == entries
    store.note(1, "w", "train", {"digest": "another"}, "ci")
    assert store.get(1).next == "compile"
    with pytest.raises(UsageError, match="compile is due"):
        store.note(1, "w", "publish", PUBLISHED, "ci")
    with pytest.raises(UsageError, match="for 'speech'"):
        store.note(1, "w", "publish", {**PUBLISHED, "canary": {**CANARY_PLAN.to_json(), "model": "speech"}}, "ci")


def test_a_published_one_is_rolled_out_once_however_often_it_is_told(fleet, store, engine):
    store.open("digits", "", "ann")
    work(store)
    publish(fleet, store)
    for _ in range(3):
        store.note(1, "w", "publish", PUBLISHED, "ci")
        engine.tick()
    assert len(fleet.rollouts.list()) == 1
    with pytest.raises(UsageError, match="is canary"):
        store.note(1, "w", "gate", {"digest": "another"}, "ci")


def test_a_canary_waits_for_the_rollout_before_it(fleet, store, engine):
    fleet.rollouts.create(Plan("digits", 9), "ann")
    store.open("digits", "", "ann")
    work(store)
    publish(fleet, store)
    assert (store.get(1).state, store.get(1).rollout) == ("canary", None)
    assert "rollout 1" in store.get(1).why
    fleet.rollouts.act(1, "abort", "ann")
    engine.tick()
    assert store.get(1).rollout == 2


def test_a_canary_that_fails_stops_it(fleet, store, engine):
    store.open("digits", "", "ann")
    work(store)
    publish(fleet, store)
    fleet.tick(61.0)
    fleet.fails(fleet.devices[4:])
    fleet.tick(61.0)
    assert fleet.rollout(1).state == "aborted"
    engine.tick()
    assert store.get(1).state == "stopped"
    assert fleet.rollout(1).why in store.get(1).why


def test_a_person_approves_what_the_policy_leaves_to_one(fleet, store):
    store.set_policy("digits", "on: drift severe; approve: canary by person, fleet by machine", "ann")
    store.open("digits", "", "ann")
    work(store)
    assert store.get(1).state == "to-approve"
    assert store.lease("w", ("digits",), 60.0, "ci") is None
    with pytest.raises(UsageError, match="ci worked on retraining 1"):
        store.approve(1, "ci")
    assert store.get(1).state == "to-approve"
    store.approve(1, "eve")
    with pytest.raises(UsageError, match="nothing of it waits"):
        store.approve(1, "eve")
    work(store, steps=())
    publish(fleet, store)
    assert [item.by for item in store.get(1).steps if item.step == "approve"] == ["eve"]


def test_a_worker_with_the_keys_signs_where_the_policy_says_so(fleet, store, engine):
    store.set_policy("digits", "on: drift severe; approve: fleet by machine", "ann")
    store.open("digits", "", "ann")
    work(store)
    publish(fleet, store)
    finish(fleet, 1, fleet.devices[4:])
    engine.tick()
    assert (store.get(1).state, store.get(1).next) == ("waiting", "sign")
    work(store, steps=("sign",))
    assert store.get(1).state == "to-sign"


def test_labels_that_tell_a_low_accuracy_open_one(fleet, store, engine):
    store.set_policy("digits", "on: accuracy < 0.9", "ann")
    hour = int(fleet.clock.now()) // 3600 * 3600
    window = Window("digits", SHA[1], hour, hour + 3600, 1, 10, 10, 0, (0, 0, 0, 0), (10, *[0] * (LATENCY_BINS - 1)), ())
    with fleet.database.transaction() as connection:
        connection.execute(
            DRIFT_WINDOWS.insert().values(
                model="digits", sha256=SHA[1], scope="fleet", start=hour, seconds=3600, data=window.encode(),
                judged=json.dumps(Judged(6, ()).to_json()),
            )
        )  # fmt: skip
        for right, count in ((1, 80), (0, 20)):
            connection.execute(
                OUTCOMES.insert().values(
                    model="digits", sha256=SHA[1], device="d", start=hour, predicted=0, label=1 - right, count=count
                )
            )
    engine.tick()  # 80 of 100: at most 0.862
    (opened,) = store.list()
    assert "0.800, at most 0.86" in opened.cause


def test_what_is_no_policy_model_or_lease_is_refused(fleet, store):
    for wrong in (
        lambda: store.set_policy("digits", "on: nothing", "ann"),
        lambda: store.remove_policy("digits", "ann"),
        lambda: store.lease("w", ("digits",), 0.0, "ci"),
        lambda: store.lease("w", ("digits",), 1e9, "ci"),
        lambda: store.cancel(7, "ann"),
        lambda: store.end(1, "w", "done", "why", {}, "ci"),
    ):
        with pytest.raises(UsageError):
            wrong()
    store.open("digits", "", "ann")
    work(store, steps=())
    with pytest.raises(UsageError, match="tell less"):
        store.note(1, "w", "collect", {"digest": "x" * 40_000}, "ci")
    store.cancel(1, "ann")
    with pytest.raises(UsageError, match="cancelled"):
        store.beat(1, "w", 60.0)
    with pytest.raises(UsageError, match="ended already"):
        store.cancel(1, "ann")


def test_policies_are_kept_as_they_are_read(fleet, store):
    store.set_policy("digits", "on: drift  severe", "ann")
    store.set_policy("digits", "on: drift minor", "eve")
    ((model, text, by),) = [(item.model, str(item.policy), item.by) for item in store.policies()]
    assert (model, by) == ("digits", "eve")
    assert text.startswith("on: drift minor; at most once a day")
    store.remove_policy("digits", "ann")
    assert store.policies() == []
    assert actions(fleet, "digits")[-3:] == ["set-policy", "set-policy", "remove-policy"]


def test_a_policy_that_cannot_be_read_stops_no_other_and_can_be_removed(fleet, store, engine):
    store.set_policy("digits", "on: drift severe", "ann")
    with fleet.database.transaction() as connection:
        connection.execute(POLICIES.insert().values(model="bad", text="on: accuracy < 1e-05", at=0.0, by="ann"))
    alert(fleet)
    engine.tick()
    assert [item.model for item in store.list()] == ["digits"]
    assert [(item.model, item.text, item.policy is None) for item in store.policies()] == [
        ("bad", "on: accuracy < 1e-05", True),
        ("digits", str(Policy.parse("on: drift severe")), False),
    ]
    store.remove_policy("bad", "ann")
    with fleet.database.transaction() as connection:
        connection.execute(POLICIES.update().values(text="on: accuracy < 1e-05"))
    work(store)
    assert store.get(1).next == "publish"  # as where there is no policy
