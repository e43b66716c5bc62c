"""Samples from devices: over HTTP, once each, with consent, within what a device may send a day."""

from __future__ import annotations

import json

import numpy as np
import pytest
from control.device import Device
from edgewright.core.canonical import digest
from edgewright.core.errors import ProtocolError
from edgewright.fleet.agent.identity import load_identity
from edgewright.fleet.control import samples as module
from edgewright.fleet.control.samples import Samples
from edgewright.fleet.control.store import Store
from edgewright.fleet.protocol.assignment import Wanted
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.report import Report
from edgewright.fleet.telemetry import sample_file
from edgewright.fleet.telemetry.samples import Sampler
from edgewright.fleet.telemetry.sampling import Sampling
from edgewright.fleet.telemetry.upload import NotTaken, Uploader


def sample(number=0, **changes):
    about = {
        "artifact": "ab" * 32, "at": 7200.0 + number, "confidence": 0.25, "consent": "A. Person", "model": "digits",
        "predicted": 1, "reasons": ["random"], "upload": True, **changes,
    }  # fmt: skip
    return sample_file.pack({"input.x": np.full((1, 4), number, np.float32)}, about)


@pytest.fixture
def enrolled(control, enrolled):
    """The device, which was assigned the model."""
    control.store.assign(load_identity(enrolled.disk).device, Wanted("digits", "ab" * 32), "test")
    return enrolled


def test_a_sample_is_kept_once_with_what_is_known_of_it(control, enrolled):
    data, server = sample(), enrolled.server
    assert server.send_sample(data)
    assert server.send_sample(data)  # its answer was lost
    (found,) = Samples(control.database).listed("digits")
    name = load_identity(enrolled.disk).device
    assert (found.id, found.device, found.model, found.sha256) == (digest(data), name, "digits", "ab" * 32)
    assert (found.at, found.confidence, found.predicted, found.reasons) == (7200.0, 0.25, 1, ("random",))
    assert (found.bytes, found.label) == (len(data), None)


def test_what_a_sampler_kept_reaches_the_server_and_leaves_the_device(control, enrolled, tmp_path):
    sure = np.array([[9.0, 0.0, 0.0]], np.float32)
    sampler = Sampler(tmp_path / "s", Sampling("A. Person", share=1.0, upload=True), "digits", "ab" * 32, "y", {"y": sure})
    for _ in range(3):
        sampler.offer({"x": np.ones((1, 4), np.float32)}, {"y": sure}, 0.0)
    sampler.close()
    assert Uploader(tmp_path / "s", enrolled.server).send() == 3
    assert list((tmp_path / "s").rglob("*.npz")) == []
    assert [item.reasons for item in Samples(control.database).listed("digits")] == [("random",)] * 3


@pytest.mark.parametrize(
    "data", [b"", b"no sample", sample(upload=False), sample(model="../x"), bytes((1 << 20) + 1), sample(model="faces")]
)
def test_what_is_none_or_may_not_leave_is_never_taken(control, enrolled, data):
    with pytest.raises(NotTaken, match="status 4"):
        enrolled.server.send_sample(data)
    assert Samples(control.database).listed("digits") == []
    assert Samples(control.database).listed("faces") == []


def test_a_device_that_reported_a_model_sends_samples_of_it(control, enrolled):
    with pytest.raises(NotTaken):
        enrolled.server.send_sample(sample(model="faces"))
    name = load_identity(enrolled.disk).device
    control.store.take(Report(name, "00000001-a", 1, "faces", None, None, "Idle", None, "", 0.0))
    assert enrolled.server.send_sample(sample(model="faces"))


def test_a_device_sends_no_more_than_it_may_in_a_day(control, enrolled, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "DAY_SAMPLES", 3)
    server = enrolled.server
    assert [server.send_sample(sample(number)) for number in range(5)] == [True, True, True, False, False]
    assert server.send_sample(sample(0))  # which is there already
    other = Device(tmp_path / "other")
    other.enrol(control)
    control.store.assign(load_identity(other.disk).device, Wanted("digits", "ab" * 32), "test")
    assert other.server.send_sample(sample(7))
    control.clock.ahead_s += 86400
    enrolled.clock.ahead_s += 86400
    assert server.send_sample(sample(8))
    monkeypatch.setattr(module, "DAY_BYTES", 2 * len(sample()))
    assert not server.send_sample(sample(9, consent="somebody with a long name" * 4))


def test_a_revoked_device_sends_nothing(control, enrolled):
    control.store.revoke(load_identity(enrolled.disk).device, "test")
    with pytest.raises(ProtocolError, match="status 403"):
        enrolled.server.send_sample(sample())


def test_samples_come_in_pages_and_by_state(database):
    samples, store = Samples(database), Store(database)
    devices = [store.enrol(Enrolment(store.make_token(60.0, "test"), bytes([number]) * 32, {})) for number in range(2)]
    for device in devices:
        store.assign(device, Wanted("digits", "ab" * 32), "test")
    with database.transaction() as connection:
        for number in range(5):
            data = sample(number)
            assert samples.keep(connection, devices[number % 2], module.About.read(data), data)
        some = [digest(sample(number)) for number in range(2)]
        connection.execute(module.SAMPLES.update().where(module.SAMPLES.c.id.in_(some)).values(label="1", labelled_at=9.0))
    names = sorted(digest(sample(number)) for number in range(5))
    assert [item.id for item in samples.listed("digits", limit=3)] == names[:3]
    assert [item.id for item in samples.listed("digits", after=names[2])] == names[3:]
    assert {item.id for item in samples.listed("digits", "labelled")} == set(some)
    assert {item.id for item in samples.listed("digits", "unlabelled")} == set(names) - set(some)
    assert {item.device for item in samples.listed("digits", device=devices[1])} == {devices[1]}
    assert samples.listed("other") == []
    assert [item.id for item, _ in samples.files("digits")] == sorted(some)
    assert list(samples.files("digits", labelled_until=8.0)) == []
    for item, data in samples.files("digits"):
        assert digest(data) == item.id
        assert json.loads(json.dumps(item.reasons)) == ["random"]
