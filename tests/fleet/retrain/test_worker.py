"""The worker against a real control plane and a real repository: what it does, and that a kill anywhere doubles nothing."""

from __future__ import annotations

import pytest
from edgewright.cli.retrain import _worked
from edgewright.core.canonical import digest_file
from edgewright.core.errors import EdgewrightError
from edgewright.fleet.retrain.worker import told_of
from loop import MODEL, PROFILE, Gun, Killed, Loop, TinyMaker

STEPS = ["collect", "train", "compile", "gate"]


@pytest.fixture
def loop(tmp_path):
    found = Loop(tmp_path)
    yield found
    found.close()


def test_what_waits_is_trained_published_as_a_canary_and_rolled_out(loop):
    maker = TinyMaker()
    assert loop.worker(maker).work() is None
    loop.retrainings.open(MODEL, "labels came", "ann")
    ended = loop.worker(maker).work()
    assert (ended.number, ended.state, maker.calls) == (1, "published", STEPS)
    (canary,) = loop.published()
    assert (canary.role, canary.offer.version) == ("canary", 2)
    found = loop.retrainings.get(1)
    assert (found.state, found.artifacts) == ("canary", {PROFILE: canary.sha256})
    assert found.step("collect").details["labelled"] == {"earlier": 0, "left_out": 0, "new": 10}
    loop.run(found.rollout, canary.sha256)
    assert loop.retrainings.get(1).state == "to-sign"
    assert loop.worker(maker).work() is None


def test_the_next_one_begins_with_the_source_of_the_last(loop):
    loop.retrainings.open(MODEL, "", "ann")
    loop.worker().work()
    (canary,) = loop.published()
    for device in loop.devices:
        loop.says(device, canary.sha256)
    loop.retrainings.cancel(1, "ann")
    loop.engine().tick()
    loop.retrainings.open(MODEL, "", "ann")
    ended = loop.worker().work()
    assert ended.state == "published", ended
    source = loop.folder / "work" / "jobs" / "2" / "source.onnx"
    assert source.read_bytes() == b"the first source" + b"trained" * 2
    # Samples of the version before are the old world by now.
    assert loop.retrainings.get(2).step("collect").details["labelled"] == {"earlier": 10, "left_out": 0, "new": 0}


@pytest.mark.parametrize("step", STEPS)
def test_a_gate_that_refuses_leaves_everything_as_it_is(loop, step):
    loop.retrainings.open(MODEL, "", "ann")
    ended = loop.worker(TinyMaker(refuses=step)).work()
    assert (ended.state, ended.why) == ("refused", "the new one is no better.")
    found = loop.retrainings.get(1)
    assert (found.state, found.why) == ("refused", "the new one is no better.")
    assert loop.published() == []
    assert loop.control.store.devices()[0]["models"][MODEL]["said"]["running"] == loop.first


def test_what_the_training_gets_wrong_is_the_reason(loop):
    class Broken(TinyMaker):
        def train(self, folder, source):
            raise EdgewrightError("the training 'mine:train' failed.")

    loop.retrainings.open(MODEL, "", "ann")
    assert loop.worker(Broken()).work().state == "failed"
    assert loop.retrainings.get(1).why == "the training 'mine:train' failed."


def test_an_error_that_nobody_expected_ends_the_retraining_and_not_the_worker(loop, caplog):
    class Broken(TinyMaker):
        def train(self, folder, source):
            raise IndexError("Target 7 is out of bounds.")

    loop.retrainings.open(MODEL, "", "ann")
    ended = loop.worker(Broken()).work()
    assert ended.state == "failed"
    assert loop.retrainings.get(1).why == ended.why
    assert "IndexError: Target 7 is out of bounds;" in ended.why
    assert "Traceback" in caplog.text
    assert loop.worker().work() is None


def test_what_fails_before_a_retraining_is_known_is_tried_again(caplog):
    class Confused:
        calls = 0

        def work(self):
            self.calls += 1
            if self.calls == 3:
                raise Killed
            raise KeyError("retraining")

    with pytest.raises(Killed):
        _worked(Confused(), once=False, wait_s=0.0)
    assert caplog.text.count("KeyError: 'retraining'") == 2
    with pytest.raises(KeyError):
        _worked(Confused(), once=True, wait_s=0.0)


def test_another_source_than_the_deployed_ones_is_refused(loop):
    loop.source.write_bytes(b"another")
    loop.retrainings.open(MODEL, "", "ann")
    ended = loop.worker().work()
    assert ended.state == "failed"
    assert "give it as source" in ended.why


def test_a_worker_that_was_too_slow_publishes_nothing(loop):
    class Slow(TinyMaker):
        def judge(self, folder, artifacts, deployed):
            loop.control.clock.ahead_s += 1000.0
            other = loop.worker(TinyMaker(refuses="collect"), name="other", work="elsewhere").work()
            assert other.state == "refused"
            return super().judge(folder, artifacts, deployed)

    loop.retrainings.open(MODEL, "", "ann")
    assert loop.worker(Slow()).work().state == "lost"
    assert loop.published() == []
    assert loop.retrainings.get(1).state == "refused"


def operations(loop):
    """How many operations an undisturbed run has."""
    gun = Gun()
    loop.retrainings.open(MODEL, "", "ann")
    loop.worker(gun=gun).work()
    return gun.count


def test_killed_before_and_after_each_of_its_operations_it_does_nothing_twice(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = Loop(tmp_path / "whole")
    try:
        count = operations(whole)
        expected, sha256 = whole.actions(), [item.sha256 for item in whole.published()]
    finally:
        whole.close()
    assert count > 20
    loop = Loop(tmp_path)
    try:
        loop.retrainings.open(MODEL, "", "ann")
        for at in range(1, count + 1):
            # Each life begins anew, and ends an operation later than the one before, or comes to its end.
            try:
                loop.worker(gun=Gun(at)).work()
            except Killed:
                continue
        loop.worker().work()
        assert [item.sha256 for item in loop.published()] == sha256
        assert loop.actions() == expected
        assert len(_rollouts(loop)) == 1
    finally:
        loop.close()


def test_a_record_without_its_files_is_done_again(loop):
    loop.retrainings.open(MODEL, "", "ann")
    with pytest.raises(Killed):
        loop.worker(gun=Gun(12)).work()
    (loop.folder / "work" / "jobs" / "1" / "source.onnx").write_bytes(b"damaged")
    maker = TinyMaker()
    assert loop.worker(maker).work().state == "published"
    assert "train" in maker.calls
    (item,) = loop.published()
    assert loop.retrainings.get(1).artifacts[PROFILE] == item.sha256


def test_a_worker_stops_where_a_person_is_asked(loop):
    loop.retrainings.set_policy(MODEL, "on: drift severe; approve: canary by person", "ann")
    loop.retrainings.open(MODEL, "", "ann")
    ended = loop.worker().work()
    assert (ended.number, ended.state) == (1, "to-approve")
    assert loop.worker().work() is None
    assert (loop.retrainings.get(1).state, loop.published()) == ("to-approve", [])
    loop.retrainings.approve(1, "ann")
    assert loop.worker().work().state == "published"


def test_what_was_judged_beside_another_version_is_judged_again(loop):
    loop.retrainings.set_policy(MODEL, "on: drift severe; approve: canary by person", "ann")
    loop.retrainings.open(MODEL, "", "ann")
    assert loop.worker().work().state == "to-approve"
    assert loop.retrainings.get(1).step("gate").details["beside"] == {PROFILE: loop.first}
    second = loop.runs_another(2)
    loop.retrainings.approve(1, "ann")
    # The samples are of an earlier version by now, and what was approved was never beside the one that runs.
    maker = TinyMaker()
    assert loop.worker(maker).work().state == "to-approve"
    assert maker.calls == STEPS
    found = loop.retrainings.get(1)
    assert (found.state, found.step("gate").details["beside"]) == ("to-approve", {PROFILE: second})
    assert found.step("collect").details["labelled"] == {"earlier": 10, "left_out": 0, "new": 0}
    loop.retrainings.approve(1, "bob")
    maker = TinyMaker()
    assert loop.worker(maker).work().state == "published"
    assert maker.calls == []


def test_with_the_offline_keys_a_worker_signs_for_all(loop):
    loop.retrainings.set_policy(MODEL, "on: drift severe; approve: fleet by machine", "ann")
    loop.retrainings.open(MODEL, "", "ann")
    loop.worker().work()
    (canary,) = loop.published()
    loop.run(loop.retrainings.get(1).rollout, canary.sha256)
    with pytest.raises(EdgewrightError, match="no offline keys"):
        loop.worker().work()
    for at in range(1, 12):
        try:
            loop.worker(gun=Gun(at), signs=True).work()
        except Killed:
            continue
    loop.worker(signs=True).work()
    assert sorted((item.role, item.offer.version, item.sha256) for item in loop.published()) == [
        ("canary", 2, canary.sha256), ("targets", 2, canary.sha256),
    ]  # fmt: skip
    loop.run(2, canary.sha256)
    loop.run(2, canary.sha256)
    assert loop.retrainings.get(1).state == "done"
    assert loop.actions()[-3:] == ["retrain-sign", "begin-release", "retraining-done"]


def test_details_that_are_too_long_are_told_by_their_digest():
    told = told_of({"short": 1, "long": ["x" * 100] * 1000})
    assert (told["short"], told["long"]) == (1, "left out, too long")
    assert len(told["digest"]) == 64


def test_the_same_number_of_another_server_is_another_job(loop):
    loop.retrainings.open(MODEL, "", "ann")
    job = loop.folder / "work" / "jobs" / "1"
    job.mkdir(parents=True)
    (job / "job.json").write_text('{"model":"tiny","until":1.0}')
    (job / "train.json").write_text('{"details":{},"files":{},"refusal":null}')
    maker = TinyMaker()
    assert loop.worker(maker).work().state == "published"
    assert maker.calls == STEPS
    assert digest_file(job / "deployed" / f"{PROFILE}.ewa") == loop.first


def _rollouts(loop):
    with loop.database.reading() as connection:
        return connection.exec_driver_sql("SELECT id FROM rollouts").all()
