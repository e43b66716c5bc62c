"""The process that measures, really started."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewright.core.canonical import digest_file
from edgewright.fleet.agent.bench.child import answer
from edgewright.fleet.agent.bench.order import Order
from edgewright.fleet.agent.bench.process import Process
from edgewright.runtimes.bench.measurement import Measurement
from tiny_artifact import write_tiny

NAME = "ab" * 32  # as in a device's downloads


def ended(process: Process) -> Mapping[str, Any]:
    while (told := process.told()) is None:
        time.sleep(0.02)
    return told


def test_it_measures_the_artifact_that_was_signed(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / NAME)
    process = Process(Order(str(path), digest_file(path), 1, 1, 1).text())
    found = Measurement.from_json(ended(process)["measurement"])
    process.stop()
    assert (len(found.window_ms), found.threads, found.runtime) == (1, 1, "onnxruntime")
    assert 0 < found.p50_ms <= found.p99_ms


def test_it_runs_nothing_else(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / NAME)
    other = answer(Order(str(path), "ab" * 32, 1, 1, 1))
    assert other == {"error": "the file is not the artifact that was signed; it is not run."}
    assert "No such file" in answer(Order(str(tmp_path / "none.ewa"), "ab" * 32, 1, 1, 1))["error"]
    batch = answer(Order(str(path), digest_file(path), 1, 8, 1))
    assert "batches of 1, not of 8" in batch["error"]
    assert batch["error"].startswith("the artifact takes")


def test_one_that_is_stopped_or_dies_says_so(tmp_path: Path) -> None:
    process = Process("no order")
    assert "exit code 1" in ended(process)["error"]
    process.stop()
    path = write_tiny(tmp_path / NAME)
    process = Process(Order(str(path), digest_file(path), 1, 1, 100).text())
    assert process.told() is None
    process.stop()
    assert not Path(f"/proc/{process.pid}").exists()
