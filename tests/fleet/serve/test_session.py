"""The session inside an application: switches by itself, loses no call, frees what it left, survives a bad artifact."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgewright.core.errors import AgentError, ArtifactError, ProtocolError, RuntimeFailure
from edgewright.fleet.disk import RealDisk, replace_link
from edgewright.fleet.protocol.window import Window
from edgewright.fleet.serve.session import Session
from edgewright.fleet.telemetry import live
from tiny_artifact import answer

Build = Callable[..., Path]
X = np.arange(4, dtype=np.float32)[None]


def put(data: Path, slot: str, artifact: Path) -> None:
    """What the agent does: fill a slot, then switch the link."""
    folder = data / "models/m/slots" / slot
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "new").write_bytes(artifact.read_bytes())
    (folder / "new").rename(folder / "artifact.ewa")
    replace_link(RealDisk(data), f"slots/{slot}", "models/m/current")


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def windows(data: Path) -> list[Window]:
    """What the sessions of a data folder have counted, oldest first."""
    return [live.read(path) for path in live.finished(data / live.FOLDER)]


def test_a_session_of_an_artifact_answers_and_counts(build: Build) -> None:
    with Session("m", artifact=build(1.0)) as session:
        many = np.arange(12, dtype=np.float32).reshape(3, 4)
        for x in (X, many):
            np.testing.assert_array_equal(session.run({"x": x})["y"], answer(x, 1.0))
        with pytest.raises(RuntimeFailure, match="float64"):
            session.run({"x": X.astype(np.float64)})
        found = session.statistics()
        assert (found.requests, found.errors, sum(found.latency_counts)) == (3, 1, 2)
    with pytest.raises(RuntimeFailure, match="closed"):
        session.run({"x": X})


def test_beside_an_agent_each_generation_is_counted_for_its_telemetry(build: Build, tmp_path: Path) -> None:
    put(tmp_path, "a", build(0.0))
    with Session("m", data_dir=tmp_path, look_every_s=0.01) as session:
        first = session.sha256
        for _ in range(3):
            session.run({"x": X})
        put(tmp_path, "b", build(10.0))
        wait_for(lambda: session.sha256 != first)
        second = session.sha256
        session.run({"x": np.repeat(X, 2, axis=0)})
        with pytest.raises(RuntimeFailure):
            session.run({"x": X.astype(np.float64)})
    found = windows(tmp_path)
    assert [(window.sha256, window.requests, window.samples, sum(window.errors)) for window in found] == [
        (first, 3, 3, 0),
        (second, 1, 2, 1),
    ]
    # Inputs, outputs and confidence, in the order of the artifact's bins.
    assert [sum(counts) for counts in found[0].tensors] == [12, 9, 3]
    with Session("m", data_dir=tmp_path, counts=False) as session:
        session.run({"x": X})
    assert len(windows(tmp_path)) == 2


def test_switches_of_the_agent_are_followed_without_a_failed_call(build: Build, tmp_path: Path) -> None:
    put(tmp_path, "a", build(0.0))
    is_over = threading.Event()
    seen: set[float] = set()
    failures: list[str] = []
    with Session("m", data_dir=tmp_path, look_every_s=0.01) as session:

        def load() -> None:
            while not is_over.is_set():
                try:
                    seen.add(float((session.run({"x": X})["y"] - answer(X, 0.0))[0, 0]))
                except Exception as error:
                    failures.append(repr(error))

        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        old = weakref.ref(session._current().model)
        # The slot that the link names is filled again after two switches: another file under the same name.
        for offset, slot in ((10.0, "b"), (20.0, "a"), (30.0, "b")):
            put(tmp_path, slot, build(offset))
            wait_for(lambda: offset in seen)  # noqa: B023
        is_over.set()
        for thread in threads:
            thread.join()
        gc.collect()
        assert failures == []
        assert seen == {0.0, 10.0, 20.0, 30.0}
        assert old() is None


def test_a_bad_artifact_leaves_the_old_one_in_use(build: Build, tmp_path: Path) -> None:
    put(tmp_path, "a", build(1.0))
    with Session("m", data_dir=tmp_path, look_every_s=0.01) as session:
        before = session.sha256
        bad = tmp_path / "bad.ewa"
        bad.write_bytes(build(2.0).read_bytes()[:-1])
        put(tmp_path, "b", bad)
        wait_for(lambda: session.trouble is not None)
        assert "cannot be trusted" in str(session.trouble)
        np.testing.assert_array_equal(session.run({"x": X})["y"], answer(X, 1.0))
        os.unlink(tmp_path / "models/m/current")
        time.sleep(0.05)
        assert session.sha256 == before
        put(tmp_path, "b", build(3.0))
        wait_for(lambda: session.sha256 != before)
        assert session.trouble is None
        assert session.sha256.startswith(session.version)
        np.testing.assert_array_equal(session.run({"x": X})["y"], answer(X, 3.0))


def test_an_error_that_nobody_foresaw_does_not_end_the_looking(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a", build(1.0))
    with Session("m", data_dir=tmp_path, look_every_s=0.01) as session:

        def mistake() -> None:
            raise MemoryError("no more")

        with monkeypatch.context() as patch:
            patch.setattr(session, "_load", mistake)
            put(tmp_path, "b", build(2.0))
            wait_for(lambda: session.trouble is not None)
        assert session.trouble == "MemoryError: no more"
        put(tmp_path, "a", build(3.0))
        wait_for(lambda: session.trouble is None)
        np.testing.assert_array_equal(session.run({"x": X})["y"], answer(X, 3.0))


def test_what_cannot_be_opened_is_told(build: Build, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no artifact of 'm'"):
        Session("m", data_dir=tmp_path)
    with pytest.raises(AgentError, match="one of them"):
        Session("m")
    with pytest.raises(ProtocolError):
        Session("../m", data_dir=tmp_path)
    (tmp_path / "x.ewa").write_bytes(b"PK")
    with pytest.raises(ArtifactError):
        Session("m", artifact=tmp_path / "x.ewa")
