"""`edgewright bench --on`, through a real server, with devices that tell what they are told to."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import replace

import pytest
from bench.outcomes import HEALTH, measured
from click.testing import CliRunner
from control.device import Device
from control_plane import Control
from edgewright.cli.main import group
from edgewright.core.canonical import digest_file, dumps
from edgewright.core.errors import RuntimeFailure, UsageError
from edgewright.device_profiles.detect import Cpu
from edgewright.device_profiles.loader import load
from edgewright.fleet.control.people import People
from edgewright.fleet.control.tables import ARTIFACTS
from edgewright.fleet.protocol.bench_job import Told
from edgewright.fleet.protocol.offer import Offer
from edgewright.runtimes.bench.record import BenchReport
from tiny_artifact import write_tiny

AVX2 = load("x86-64-avx2")
CPU = Cpu("x86_64", "a CPU", AVX2.isa)


class World:
    def __init__(self, folder, control):
        self.control = control
        self.artifact = write_tiny(folder / "tiny.ewa")
        self.devices = [Device(folder / f"device-{number}") for number in range(3)]
        self.names = [device.enrol(control).device for device in self.devices]
        self.environment = {
            "EDGEWRIGHT_SERVER": control.url,
            "EDGEWRIGHT_TOKEN": People(control.database).make("ci", "operator", 1.0, "test"),
        }
        sha256 = digest_file(self.artifact)
        offer = Offer("tiny", 1, AVX2.name, "x86_64", tuple(sorted(AVX2.isa)), "onnxruntime", "1.32.0", "float32", 9, sha256)
        values = {
            "name": "tiny/x86-64-avx2/1.ewa", "model": "tiny", "version": 1, "profile": AVX2.name, "is_canary": False,
            "sha256": sha256, "length": 9, "offer": dumps(offer.to_json()).decode(), "first_seen_at": 0.0,
        }  # fmt: skip
        with control.database.transaction() as connection:
            connection.execute(ARTIFACTS.insert().values(**values))

    def ask(self, *arguments, file=None):
        return CliRunner().invoke(
            group, ["bench", str(file or self.artifact), *arguments], env=self.environment, catch_exceptions=True
        )

    def tell(self, *outcomes):
        """Let each device poll until it is asked to measure, and tell its outcome for each job."""
        threads = [
            threading.Thread(target=self._poll, args=(device, outcome))
            for device, outcome in zip(self.devices, outcomes, strict=False)
        ]
        for thread in threads:
            thread.start()
        return threads

    @staticmethod
    def _poll(device, outcome):
        server = device.server
        server.assignment()
        while server.bench_waiting() is None:
            time.sleep(0.05)
            server.assignment()
        job = server.bench(Told())
        while job is not None:
            job = server.bench(Told(replace(outcome, run=job.run)))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    with contextlib.closing(Control(folder / "data")) as control:
        yield World(folder, control)


def test_devices_measure_and_their_figures_are_one_report(world, tmp_path):
    threads = world.tell(
        measured(1, 2.0, cpu=CPU),
        measured(1, 3.0, cpu=CPU),
        measured(1, 9.0, cpu=CPU, is_emulated=True, health=replace(HEALTH, disturbed=("it became 85 degrees hot",))),
    )
    target = tmp_path / "bench.json"
    result = world.ask("--on", f"device in ({', '.join(world.names)})", "--batch", "1,8", "--json", str(target))
    for thread in threads:
        thread.join()
    assert result.exit_code == 0, result.output
    found = BenchReport.from_json(json.loads(target.read_text()))
    assert {(item.place, item.batch) for item in found.results} == {
        (place, batch) for place in (*world.names[:2], "emulated") for batch in (1, 8)
    }
    assert {item.measured_on for item in found.results} == {"target", None}
    assert all((item.measurement is None) == (item.place == "emulated") for item in found.results)
    assert {(item.figure, item.n, item.low, item.high) for item in found.spread} >= {("p50_ms", 2, 2.0, 3.0)}
    assert "85 degrees" in result.output


def test_what_no_device_measured_is_an_error(world):
    threads = world.tell(measured(1, end="refused", why="it is too hot", measurement=None))
    result = world.ask("--on", f"device:{world.names[0]}")
    threads[0].join()
    assert isinstance(result.exception, RuntimeFailure)
    assert "it is too hot" in result.output


def test_what_cannot_be_asked(world, tmp_path):
    (tmp_path / "model.onnx").touch()
    for arguments, file, said in (
        (["--on", "device:nobody"], None, "no device"),
        (["--on", "arch ="], None, "query"),
        (["--on", "device:x", "--operators"], None, "--operators"),
        (["--on", "device:x"], tmp_path / "model.onnx", "no artifact"),
        (["--on", "device:x", "--within", "1w"], None, "--within"),
        (["--on", ""], write_tiny(tmp_path / "other.ewa", 1.0), "no artifact"),
    ):
        found = world.ask(*arguments, file=file).exception
        assert isinstance(found, UsageError), arguments
        assert said in str(found)
