"""Whole updates as stories: what runs, what starts next, what the server hears."""

from __future__ import annotations

import pytest
from agent.world import MODEL, World, artifact
from edgewright.core.canonical import digest
from edgewright.core.errors import NetworkError, StoreError, VerificationError
from edgewright.fleet.agent import slots
from edgewright.fleet.protocol.assignment import Wanted
from edgewright.fleet.protocol.report import Answer, Report, Result
from simulated import SimulatedDisk


@pytest.fixture
def world() -> World:
    """A device that runs version 1."""
    made = World(SimulatedDisk())
    made.repository.publish(artifact(1))
    made.settle()
    assert made.running() == made.current() == artifact(1)
    made.server.reports.clear()
    return made


def test_a_new_version_is_taken_and_told_by_itself(world: World) -> None:
    new = world.repository.publish(artifact(2))
    world.settle()
    assert world.running() == world.current() == artifact(2)
    states = [report.state for report in world.server.reports]
    assert states[:5] == ["Download", "ArtifactInstall", "ArtifactReboot", "ArtifactCommit", "ArtifactCommit_Leave"]
    (success,) = [report for report in world.server.reports if report.result is not None]
    assert (success.result, success.running, success.target) == ("SUCCESSFUL", new.sha256, new.sha256)
    before = [report for report in world.server.reports if report.state in states[:3]]
    assert all(report.running != new.sha256 for report in before)
    assert world.disk.names("downloads") == []


def test_the_version_before_stays_in_the_other_slot_and_serves_again_without_a_download(world: World) -> None:
    old = world.repository.publish(artifact(1))
    world.repository.publish(artifact(2))
    world.settle()
    world.source.fetched.clear()
    world.server.wanted[MODEL] = Wanted(MODEL, old.sha256, old.name)
    world.settle()
    assert world.running() == world.current() == artifact(1)
    assert world.source.fetched == []


@pytest.mark.parametrize("word", ["mute", "wrong", "failing"])
def test_a_version_that_is_not_healthy_is_rolled_back_once(world: World, word: str) -> None:
    bad = world.repository.publish(artifact(2, word))
    world.settle(polls=4)
    assert world.running() == world.current() == artifact(1)
    assert world.server.results() == ["FAILED_ROLLBACK_COMPLETE"]
    assert len(world.serving.alive) == 1
    failed = next(report for report in world.server.reports if report.result)
    assert failed.running != bad.sha256 == failed.target
    assert failed.why
    world.restart().recover()
    world.settle(polls=2)
    assert world.server.results() == ["FAILED_ROLLBACK_COMPLETE"]


def test_a_failed_version_is_tried_again_when_its_attempt_rises(world: World) -> None:
    bad = world.repository.publish(artifact(2, "wrong"))
    world.server.wanted[MODEL] = Wanted(MODEL, bad.sha256, attempt=1)
    world.settle(polls=3)
    assert len(world.server.results()) == 1
    world.server.wanted[MODEL] = Wanted(MODEL, bad.sha256, attempt=2)
    world.settle(polls=3)
    assert len(world.server.results()) == 2


def test_a_better_version_follows_a_failed_one(world: World) -> None:
    world.repository.publish(artifact(2, "failing"))
    world.settle()
    world.repository.publish(artifact(3))
    world.settle()
    assert world.running() == artifact(3)
    assert world.server.results() == ["FAILED_ROLLBACK_COMPLETE", "SUCCESSFUL"]


def test_a_first_version_that_fails_leaves_nothing() -> None:
    world = World(SimulatedDisk())
    world.repository.publish(artifact(1, "wrong"))
    world.settle()
    assert world.running() is world.current() is None
    assert world.server.results() == ["FAILED_ROLLBACK_COMPLETE"]
    assert world.disk.names(f"models/{MODEL}/slots/a") == world.disk.names(f"models/{MODEL}/slots/b") == []
    world.repository.publish(artifact(2))
    world.settle()
    assert world.running() == artifact(2)


@pytest.mark.parametrize(
    ("state", "result"),
    [
        ("Download", "FAILED_NO_STATE_CHANGE"),
        ("ArtifactInstall", "FAILED_NO_STATE_CHANGE"),
        ("ArtifactReboot", "FAILED_ROLLBACK_COMPLETE"),
        ("ArtifactCommit", "FAILED_ROLLBACK_COMPLETE"),
    ],
)
def test_the_server_takes_the_deployment_back(world: World, state: str, result: Result) -> None:
    world.repository.publish(artifact(2))
    world.server.aborts_in = {state}
    world.settle()
    assert world.running() == world.current() == artifact(1)
    assert world.server.results() == [result]


@pytest.mark.parametrize("state", ["ArtifactInstall", "ArtifactReboot", "ArtifactCommit"])
def test_who_cannot_tell_does_not_commit(world: World, state: str) -> None:
    world.repository.publish(artifact(2))
    world.server.deaf_in = {state}
    world.settle()
    assert world.running() == world.current() == artifact(1)
    world.server.deaf_in = set()
    world.settle()
    assert world.running() == artifact(2)


def test_the_end_is_told_later_when_nobody_hears_it(world: World) -> None:
    new = world.repository.publish(artifact(2))
    world.server.deaf_in = {"ArtifactCommit_Leave", "Idle"}
    world.settle()
    assert world.running() == artifact(2)
    assert world.server.results() == []
    world.restart().recover()
    world.server.deaf_in = set()
    world.settle()
    (end,) = [report for report in world.server.reports if report.result]
    assert (end.result, end.running) == ("SUCCESSFUL", new.sha256)


def test_a_log_of_reports_that_cannot_be_written_holds_no_update_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(report: Report) -> Answer:
        raise StoreError("cannot write the log of reports: No space left on device; free some space.")

    monkeypatch.setattr(world.server, "report", refuse)
    world.repository.publish(artifact(2))
    world.settle(polls=4)
    assert world.running() == world.current() == artifact(1)
    assert world.agent.models[MODEL].record.update is None


def test_a_download_survives_an_outage_and_gives_up_after_enough(world: World) -> None:
    world.repository.publish(artifact(2))
    world.source.faults = [NetworkError("reset.")] * 2
    world.settle()
    assert world.running() == artifact(2)
    world.repository.publish(artifact(3))
    world.source.faults = [NetworkError("reset.")] * 4
    world.settle()
    assert world.running() == artifact(2)
    assert world.server.results()[-1] == "FAILED_NO_STATE_CHANGE"


def test_a_mirror_that_lies_is_tried_three_times(world: World) -> None:
    world.repository.publish(artifact(2))
    world.source.faults = [VerificationError("not what was signed.")] * 10
    world.settle(polls=6)
    assert world.running() == artifact(1)
    assert world.server.results() == ["FAILED_NO_STATE_CHANGE"] * 3


def test_an_update_ends_at_its_deadline_of_time_that_the_agent_ran(world: World) -> None:
    bad = world.repository.publish(artifact(2))
    world.server.wanted[MODEL] = Wanted(MODEL, bad.sha256, deadline_s=5.0)
    world.clock.set_wall(0.0)
    world.settle()
    assert world.running() == artifact(1)
    assert world.server.results() == ["FAILED_ROLLBACK_COMPLETE"]


def test_another_assignment_ends_a_trial(world: World) -> None:
    first, second = world.repository.publish(artifact(2)), world.repository.publish(artifact(3))
    world.server.wanted[MODEL] = Wanted(MODEL, first.sha256)
    world.agent.poll()
    while world.agent.models[MODEL].record.update.progress.state != "ArtifactVerifyReboot":  # type: ignore[union-attr]
        world.agent.step()
    world.server.wanted[MODEL] = Wanted(MODEL, second.sha256)
    world.settle(polls=2)
    assert world.running() == artifact(3)
    assert world.server.results() == ["FAILED_ROLLBACK_COMPLETE", "SUCCESSFUL"]


def test_what_does_not_fit_is_refused_with_a_reason(world: World) -> None:
    alien = world.repository.publish(artifact(2), arch="aarch64")
    world.settle()
    assert world.server.results() == []
    world.server.wanted[MODEL] = Wanted(MODEL, alien.sha256)
    world.settle(polls=3)
    assert world.server.results() == ["REJECTED"]
    assert "aarch64" in next(report.why for report in world.server.reports if report.result)
    assert world.running() == artifact(1)


def test_a_full_disk_ends_the_update_and_frees_what_it_took(world: World) -> None:
    assert isinstance(world.disk, SimulatedDisk)
    big = artifact(2) + bytes(60_000)
    world.repository.publish(big)
    world.disk.capacity = 40_000
    world.settle()
    assert world.running() == world.current() == artifact(1)
    assert world.server.results() == ["FAILED_NO_STATE_CHANGE"]
    world.disk.capacity = None
    world.settle()
    assert world.running() == big


def test_a_journal_that_cannot_be_written_stops_the_update_and_not_the_model(world: World) -> None:
    assert isinstance(world.disk, SimulatedDisk)
    world.repository.publish(artifact(2))
    world.agent.poll()

    def refuse(kind: str, path: str) -> None:
        if "journal" in path:
            raise StoreError("cannot write the journal: Input/output error; the disk is failing, replace it.")

    world.disk.refuse = refuse
    for _ in range(20):
        world.agent.step()
    assert world.running() == world.current() == artifact(1)
    world.disk.refuse = lambda kind, path: None
    world.settle()
    assert world.running() == world.current() == artifact(2)


def test_an_interruption_that_cannot_be_recorded_yet_is_none_the_less_one(world: World) -> None:
    assert isinstance(world.disk, SimulatedDisk)
    world.repository.publish(artifact(2))
    world.agent.poll()
    while world.agent.models[MODEL].record.update.progress.state != "ArtifactCommit":  # type: ignore[union-attr]
        world.clock.advance(world.agent.step() or 0.0)
    agent = world.restart()

    def refuse(kind: str, path: str) -> None:
        if kind == "write_range" and "journal" in path:
            raise StoreError("cannot write the journal: Input/output error; the disk is failing, replace it.")

    world.disk.refuse = refuse
    agent.recover()
    assert agent.step() is not None
    assert world.running() == world.current() == artifact(1)
    world.disk.refuse = lambda kind, path: None
    agent.step()
    assert world.running() == world.current() == artifact(1)
    assert agent.models[MODEL].record.update.progress.result == "FAILED_ROLLBACK_COMPLETE"  # type: ignore[union-attr]


def test_a_full_disk_still_serves_after_a_restart(world: World) -> None:
    assert isinstance(world.disk, SimulatedDisk)
    world.disk.capacity = 0
    world.restart().recover()
    assert world.running() == artifact(1)


def test_a_rotten_artifact_is_never_served(world: World) -> None:
    world.repository.publish(artifact(2))
    world.settle()
    world.disk.write(f"models/{MODEL}/current/artifact.ewa", b"good 9 and hostile")
    world.restart().recover()
    assert world.running() == artifact(1)
    world.settle()
    assert world.running() == world.current() == artifact(2)


def test_a_version_that_rots_before_its_success_is_told_is_no_success(world: World) -> None:
    new = world.repository.publish(artifact(2))
    world.server.deaf_in = {"ArtifactCommit_Leave"}
    world.settle()
    world.disk.write(f"models/{MODEL}/current/artifact.ewa", b"rotten")
    world.server.deaf_in = set()
    world.server.reports.clear()
    world.restart().recover()
    world.agent.poll()
    (end,) = [report for report in world.server.reports if report.result]
    assert (end.result, end.target) == ("FAILED_ROLLBACK_COMPLETE", new.sha256)
    assert end.running not in (None, new.sha256)


def test_both_artifacts_rotten_are_downloaded_again(world: World) -> None:
    world.repository.publish(artifact(2))
    world.settle()
    for slot in slots.SLOTS:
        world.disk.write(slots.artifact_path(MODEL, slot), b"rotten")
    world.restart().recover()
    assert world.running() is None
    world.settle()
    assert world.running() == world.current() == artifact(2)


def test_a_rollback_to_a_rotten_version_is_told_and_mended(world: World) -> None:
    world.repository.publish(artifact(2, "failing"))
    world.agent.poll()
    while world.agent.models[MODEL].record.update.progress.state != "ArtifactVerifyReboot":  # type: ignore[union-attr]
        world.agent.step()
    world.disk.write(f"models/{MODEL}/current/artifact.ewa", b"rotten")
    world.settle()
    assert world.server.results() == ["FAILED_UNABLE_TO_ROLLBACK"]
    world.settle()
    assert world.running() == world.current() == artifact(1)


def test_a_version_that_does_not_start_any_more_gives_way_to_the_one_before(world: World) -> None:
    world.repository.publish(artifact(2))
    world.settle()
    world.restart()
    world.serving.broken = {digest(artifact(2))}
    world.agent.recover()
    assert world.running() == world.current() == artifact(1)
    world.server.reports.clear()
    world.settle(polls=4)
    assert world.running() == world.current() == artifact(1)
    assert world.server.results() == ["FAILED_ROLLBACK_COMPLETE"]


def test_a_worker_that_is_gone_is_started_again_at_the_next_poll(world: World) -> None:
    generation = world.serving.running(MODEL)
    assert generation is not None
    world.serving.stop(generation)
    world.agent.poll()
    assert world.running() == artifact(1)


def test_models_of_one_device_go_their_own_ways(world: World) -> None:
    world.server.wanted["words"] = Wanted("words")
    world.repository.publish(artifact(2, "failing"))
    world.repository.publish(artifact(5), "words")
    world.settle()
    assert world.running() == artifact(1)
    assert world.running("words") == world.current("words") == artifact(5)


def test_a_poll_without_news_writes_and_tells_nothing(world: World) -> None:
    assert isinstance(world.disk, SimulatedDisk)
    world.settle()
    changes, told = len(world.disk.log), len(world.server.reports)
    world.settle(polls=5)
    assert len(world.disk.log) == changes
    assert len(world.server.reports) == told


def test_without_a_server_the_device_goes_on_with_what_it_has(world: World) -> None:
    world.server.is_away = True
    world.restart().recover()
    assert world.running() == artifact(1)
    world.settle(polls=3)
    assert world.running() == artifact(1)
