"""Metrics of drift, and a real Prometheus that scrapes them and fires the rules of docs/fleet/prometheus."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from control_plane import Control
from drift_world import World
from edgewright.fleet.control.drift.store import Drift
from edgewright.fleet.control.metrics import Counts, text
from edgewright.fleet.control.people import People
from edgewright.fleet.control.polls import Polls
from edgewright.fleet.control.store import Store
from fleets import MODEL

CONFIGURATION = Path(__file__).parents[4] / "docs" / "fleet" / "prometheus"
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs Prometheus, Debian's package `prometheus`"
)


def metrics(database):
    polls = Polls(database, Store(database))
    with database.reading() as connection:
        return text(connection, polls, Counts())


def test_metrics_tell_of_measures_and_scopes_and_never_of_a_device(world):
    assert "edgewright_drift_distance{" not in metrics(world.database)
    world.hour()
    world.hour({5: 2.0})
    told = metrics(world.database)
    assert not any(device in told for device in world.devices)
    assert 'edgewright_drift_alerts{model="digits",severity="moderate",scope_kind="device"} 1\n' in told
    distance = re.search(r'edgewright_drift_distance\{model="digits",version="3",measure="input x1\[0\]"\} ([0-9.]+)', told)
    (trend,) = [item for item in world.drift.measures(MODEL) if item.measure == "input x1[0]"]
    assert float(distance[1]) == pytest.approx(trend.newest.distance, abs=1e-6)
    assert f"edgewright_drift_judged_until_timestamp_seconds {trend.points[-1][0] + 3600}.0\n" in told


class MovedClock:
    """The clock of a server that runs, moved like a simulated one."""

    def __init__(self, clock):
        self._clock = clock

    def now(self):
        return self._clock.now()

    def set_wall(self, now):
        self._clock.ahead_s += now - self._clock.now()

    def advance(self, seconds):
        self._clock.ahead_s += seconds


@needs_prometheus
def test_a_real_prometheus_scrapes_the_server_and_fires_the_alert(tmp_path):
    control = Control(tmp_path / "data")
    try:
        world = World(control.database, MovedClock(control.clock), 4)
        world.hour()
        with Prometheus(tmp_path / "prometheus", control) as prometheus:
            prometheus.wait_for(lambda: prometheus.value('edgewright_devices{revoked="no"}') == 4)
            assert prometheus.alerts() == {}
            world.hour(world.everybody(0.8))
            prometheus.wait_for(lambda: "EdgewrightDriftSevere" in prometheus.alerts())
            alert = prometheus.alerts()["EdgewrightDriftSevere"]
            assert (alert["state"], alert["labels"]["model"]) == ("firing", MODEL)
            assert alert["annotations"]["summary"] == "digits drifts severely: 1 alerts are open."
            assert prometheus.value('edgewright_drift_distance{measure="input x1[0]",version="3"}') > 0.2
            for _ in range(24):
                world.hour()
            assert Drift(control.database).alerts() == []
            prometheus.wait_for(lambda: prometheus.alerts() == {})
    finally:
        control.close()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Debian's package `prometheus`")
def test_prometheus_own_checks_find_nothing(world):
    world.hour(world.everybody(0.8))
    told = metrics(world.database)
    found = subprocess.run(["promtool", "check", "metrics"], check=False, input=told, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    subprocess.run(["promtool", "check", "rules", str(CONFIGURATION / "alerts.yml")], check=True, capture_output=True)


class Prometheus:
    """Prometheus as docs/fleet/prometheus sets it up, looking every second; use it as a context."""

    def __init__(self, folder, control):
        folder.mkdir()
        secret = People(control.database).make("prometheus", "viewer", 1.0, "test")
        (folder / "edgewright.token").write_text(secret)
        shutil.copy(CONFIGURATION / "alerts.yml", folder)
        told = (CONFIGURATION / "prometheus.yml").read_text()
        assert "127.0.0.1:8440" in told
        told = told.replace("127.0.0.1:8440", control.url.removeprefix("http://")).replace("30s", "1s")
        (folder / "prometheus.yml").write_text(told)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder

    def __enter__(self):
        command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        self._log = (self.folder / "log.txt").open("wb")
        self._process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{self.port}"], cwd=self.folder, stderr=self._log
        )
        return self

    def __exit__(self, *given):
        self._process.terminate()
        self._process.wait(30)
        self._log.close()

    def wait_for(self, is_so):
        for _ in range(600):
            try:
                if is_so():
                    return
            except OSError:  # it does not listen yet
                assert self._process.poll() is None, (self.folder / "log.txt").read_text()
            time.sleep(0.2)
        raise AssertionError((self.folder / "log.txt").read_text())

    def alerts(self):
        return {item["labels"]["alertname"]: item for item in self._get("alerts")["alerts"]}

    def value(self, query):
        found = self._get("query?" + urllib.parse.urlencode({"query": query}))["result"]
        return float(found[0]["value"][1]) if found else None

    def _get(self, what):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{what}", timeout=10) as answer:
            return json.load(answer)["data"]
