"""Measurings on the server: who gets them, what is taken once, what they count for."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from bench.outcomes import HEALTH, PI, PI_CPU, measured
from control.api.fleet import Fleet
from control.device import Device
from control_plane import Control
from edgewright.core.canonical import digest, dumps
from edgewright.core.errors import ProtocolError, UsageError
from edgewright.device_profiles.detect import Cpu
from edgewright.fleet.control.auth import NotAllowed
from edgewright.fleet.control.bench.merge import merged
from edgewright.fleet.control.bench.store import Benches
from edgewright.fleet.control.bench.worth import worth
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.polls import Polls
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import ARTIFACTS
from edgewright.fleet.protocol.bench_job import Next, Told
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.offer import Offer
from simulated import SimulatedClock
from sqlalchemy import update

SHA256 = digest(b"an artifact")
OFFER = Offer(
    "digits", 1, "raspberry-pi-4b", "aarch64", tuple(sorted(PI.isa)), "onnxruntime", "1.32.0", "int8", 1000, SHA256
)  # fmt: skip
NAME = "digits/raspberry-pi-4b/1.ewa"


class World:
    """A store with three devices and a signed artifact."""

    def __init__(self, database):
        self.database, self.clock = database, database.clock
        self.store, self.benches = Store(database), Benches(database)
        self.polls = Polls(database, self.store)
        secrets = [self.store.make_token(60.0, "test") for _ in range(3)]
        self.devices = sorted(self.store.enrol(Enrolment(one, bytes([n]) * 32, {})) for n, one in enumerate(secrets))
        sign(database)

    def ask(self, query="", **given):
        return self.benches.ask(SHA256, query, "test", **given)

    def hear(self, device, outcome=None):
        """What the device of that place gets for what it tells."""
        name = self.devices[device]
        return self.database.together(lambda connection: self.benches.hear(connection, name, Told(outcome))).job

    def run(self, device):
        """What a poll of the device tells of runs."""
        self.polls.look()
        return self.polls.answer(self.devices[device], None).run

    def states(self, number):
        return [run.state for run in self.benches.get(number).runs]


def sign(database):
    values = {
        "name": NAME, "model": "digits", "version": 1, "profile": OFFER.profile, "is_canary": False, "sha256": SHA256,
        "length": 1000, "offer": dumps(OFFER.to_json()).decode(), "first_seen_at": 0.0,
    }  # fmt: skip
    with database.transaction() as connection:
        connection.execute(ARTIFACTS.insert().values(**values))


@pytest.fixture
def world(tmp_path):
    with contextlib.closing(Database(str(tmp_path / "data"), SimulatedClock())) as database:
        yield World(database)


def test_from_the_question_to_the_figures(database):
    """On each database."""
    world = World(database)
    assert world.run(0) is None
    asked = world.ask(threads=(1, 2), batches=(1,), deadline_s=600.0)
    first, second = asked.runs[0].id, asked.runs[3].id
    assert (world.run(0), world.run(1)) == (first, asked.runs[1].id)
    job = world.hear(0)
    assert (job.run, job.sha256, job.name, job.threads, job.deadline_s) == (first, SHA256, NAME, 1, 600.0)
    assert world.states(asked.id)[:2] == ["taken", "waiting"]
    assert world.hear(0, measured(first, 2.0)).run == second == world.run(0)
    assert world.hear(0, measured(second, 1.0)) is None
    assert world.run(0) is None
    for device, milliseconds in ((1, 3.0), (2, 2.5)):
        run = world.hear(device).run
        world.hear(device, measured(run, milliseconds))
    found = world.benches.list(SHA256)[0]
    assert [run.state for run in found.runs] == ["measured"] * 4 + ["taken"] * 2
    assert {run.worth.measured_on for run in found.runs[:4]} == {"target"}
    one = next(item for item in merged(found.runs) if (item.threads, item.figure) == (1, "median_ms"))
    assert (one.devices, one.left_out, one.low, one.middle, one.high) == (3, 0, 2.0, 2.5, 3.0)


def test_an_outcome_counts_once(world):
    run = world.ask("", deadline_s=600.0).runs[0].id
    world.hear(0)
    world.hear(0, measured(run, 2.0))
    before = world.benches.get(1)
    world.clock.advance(10.0)
    assert world.hear(0, measured(run, 9.0)) is None
    assert world.benches.get(1) == before
    with pytest.raises(NotAllowed, match="own"):
        world.hear(1, measured(run, 9.0))
    assert world.hear(0, measured(999, 9.0)) is None


def test_what_is_cancelled_is_over(world):
    asked = world.ask()
    world.hear(0)
    world.benches.cancel(asked.id, "test")
    assert world.states(asked.id) == ["cancelled"] * 3
    assert (world.run(0), world.hear(0, measured(asked.runs[0].id))) == (None, None)
    assert world.states(asked.id) == ["cancelled"] * 3
    with pytest.raises(UsageError, match="ended"):
        world.benches.cancel(asked.id, "test")


def test_a_device_that_is_offline_or_silent(world):
    asked = world.ask(deadline_s=60.0)
    world.hear(0)
    world.clock.advance(61.0)
    assert [(run.state, run.why) for run in world.benches.get(asked.id).runs[:2]] == [
        ("expired", "the device took it, and told nothing in time"), ("expired", "the device never asked"),
    ]  # fmt: skip
    assert (world.run(0), world.hear(0, measured(asked.runs[0].id)), world.hear(1)) == (None, None, None)
    assert world.states(asked.id) == ["expired"] * 3


def test_a_revoked_device_is_asked_for_nothing(world):
    asked = world.ask()
    world.store.revoke(world.devices[0], "test")
    assert world.states(asked.id) == ["revoked", "waiting", "waiting"]
    assert {run.device for run in world.ask().runs} == set(world.devices[1:])


def test_what_is_not_signed_any_more_is_not_measured(world):
    asked = world.ask()
    with world.database.transaction() as connection:
        connection.execute(update(ARTIFACTS).values(gone_at=1.0))
    assert world.hear(0) is None
    run = world.benches.get(asked.id).runs[0]
    assert (run.state, run.why) == ("refused", "the artifact was not signed any more")
    with pytest.raises(UsageError, match="no artifact"):
        world.ask()


def test_what_cannot_be_asked(world):
    for given in ({"threads": ()}, {"threads": (1, 1)}, {"batches": (0,)}, {"windows": 0}, {"deadline_s": 1.0}):
        with pytest.raises(UsageError):
            world.ask(**given)
    with pytest.raises(UsageError, match="no device"):
        world.ask("site = nowhere")
    with pytest.raises(UsageError, match="runs to do already"):
        for _ in range(4):
            world.ask(threads=tuple(range(1, 17)), batches=(1, 2, 3, 4, 5))
    assert world.benches.get(99) is None


def test_only_the_profiles_cpu_is_the_target():
    good = measured(1)
    assert worth(OFFER, good).measured_on == "target"
    for cpu in (
        Cpu("aarch64", "Cortex-A76", PI.isa),
        Cpu("x86_64", "Cortex-A72", PI.isa),
        Cpu("aarch64", "Cortex-A72", PI.isa | {"asimddp"}),
        Cpu("aarch64", "Cortex-A72", frozenset()),
    ):
        found = worth(OFFER, replace(good, cpu=cpu))
        assert (found.measured_on, "does not run as" in found.why) == (None, True)
    assert "emulation" in worth(OFFER, replace(good, is_emulated=True)).why
    assert "no profile" in worth(replace(OFFER, profile="mine"), good).why
    assert "no profile" in worth(replace(OFFER, isa=("asimd",)), good).why


def test_what_was_disturbed_is_in_no_figure(world):
    asked = world.ask()
    outcomes = [
        measured(asked.runs[0].id, 2.0),
        measured(asked.runs[1].id, 9.0, health=replace(HEALTH, disturbed=("it became hot",))),
        measured(asked.runs[2].id, 8.0, is_emulated=True),
    ]
    for device, outcome in enumerate(outcomes):
        world.hear(device)
        world.hear(device, outcome)
    assert {(item.devices, item.left_out, item.high) for item in merged(world.benches.get(asked.id).runs)} >= {(1, 2, 2.0)}


def test_devices_and_people_over_http(tmp_path):
    """A real server: the header of polls, the signed route, the refusal of what is no outcome, a revoked device."""
    with contextlib.closing(Control(tmp_path / "data")) as control:
        sign(control.database)
        device = Device(tmp_path / "device")
        name = device.enrol(control)
        name = getattr(name, "device", name)
        server, benches = device.server, Benches(control.database)
        server.assignment()
        assert server.bench_waiting() is None
        asked = benches.ask(SHA256, f"device = {name}", "test")
        server.assignment()
        assert server.bench_waiting() == asked.runs[0].id
        job = server.bench(Told())
        assert Next(job).encode()
        with pytest.raises(ProtocolError):
            server._ask("POST", "/v1/bench", b'{"outcome":{"run":1}}')
        assert server.bench(Told(measured(job.run, cpu=PI_CPU))) is None
        assert benches.get(asked.id).runs[0].state == "measured"
        server.assignment()
        assert server.bench_waiting() is None
        control.store.revoke(name, "test")
        with pytest.raises(ProtocolError, match="revoked"):
            server.bench(Told())


def test_people_ask_look_and_cancel(tmp_path, clock):
    with Fleet(str(tmp_path / "data"), clock) as fleet:
        sha256 = fleet.ask("GET", "/artifacts", "viewer").json()["artifacts"][0]["sha256"]
        made = fleet.ask("POST", "/benches", "operator", json={"sha256": sha256, "query": "site = lab", "threads": [1, 2]})
        assert made.status_code == 200, made.text
        assert (len(made.json()["runs"]), made.json()["is_ended"]) == (4, False)
        assert fleet.ask("GET", "/benches/1", "viewer").json() == made.json()
        assert fleet.ask("GET", "/benches", "viewer", params={"sha256": sha256}).json()["benches"] == [made.json()]
        assert fleet.ask("POST", "/benches/1/cancel", "operator").json()["is_ended"] is True
        assert fleet.ask("POST", "/benches/1/cancel", "operator").status_code == 409
        assert fleet.ask("GET", "/benches/2", "viewer").status_code == 404
        assert fleet.ask("POST", "/benches", "operator", json={"sha256": "0" * 64, "query": ""}).status_code == 409
        actions = [item["action"] for item in fleet.ask("GET", "/audit", "viewer").json()["entries"]]
        assert actions[-2:] == ["ask-bench", "cancel-bench"]
