"""Counting in real files: right counts, windows, kills of who counts, a disk that refuses, and the updater's side of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from edgewright.calibration.confidence import Confidence
from edgewright.core.artifact_read import open_artifact
from edgewright.core.errors import NetworkError, ProtocolError
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.disk import RealDisk
from edgewright.fleet.protocol.window import LATENCY_EDGES_MS, Batch, Window, merge_all
from edgewright.fleet.telemetry import live
from edgewright.fleet.telemetry.binning import Bins
from edgewright.fleet.telemetry.collect import Collector
from edgewright.fleet.telemetry.counting import Counter
from edgewright.fleet.telemetry.ledger import accept
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tiny_artifact import write_tiny

EDGES = (-1.0, 0.0, 0.5, 2.0)


class Server:
    def __init__(self):
        self.highest, self.windows = {}, []

    def send_telemetry(self, frames):
        found = accept(Batch.decode(frames), self.highest)
        self.windows += [one for _, one in found.windows]
        self.highest[found.stream, found.model] = found.highest
        return found.highest


@pytest.fixture
def artifact(tmp_path):
    return open_artifact(write_tiny(tmp_path / "tiny.ewa"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / live.FOLDER


def counter(artifact, folder, **options):
    return Counter(folder, artifact.manifest, artifact.digest, "tiny", artifact.test_vectors.outputs, **options)


def collected(folder):
    server = Server()
    Collector(RealDisk(folder.parents[1]), "boot").send(server)
    return server.windows


@given(arrays(np.float64, st.integers(0, 50), elements=st.one_of(st.sampled_from(EDGES), st.floats(-3, 4))))
def test_bins_count_as_numpys_histogram_does(values):
    bins = Bins(HistogramBins("x", "input", EDGES, (0,) * (len(EDGES) + 1)))
    inside, _ = np.histogram(values, EDGES)
    expected = [np.count_nonzero(values < EDGES[0]), *inside, np.count_nonzero(values > EDGES[-1])]
    assert bins.count(values).tolist() == expected


def test_what_is_not_a_number_lies_above():
    bins = Bins(HistogramBins("x", "input", EDGES, (0,) * (len(EDGES) + 1)))
    assert bins.count(np.array([np.nan, np.inf, -np.inf])).tolist() == [1, 0, 0, 0, 2]


def test_confidence_is_the_probability_or_the_softmax():
    scores = np.array([[1.0, 3.0], [1000.0, 0.0]])
    shares = np.array([[0.2, 0.8], [1.0, 0.0]])
    assert Confidence(shares).of(shares).tolist() == [0.8, 1.0]
    assert np.allclose(Confidence(scores).of(scores), [1 / (1 + np.exp(-2.0)), 1.0])
    assert np.allclose(Confidence(None).of(scores), [1 / (1 + np.exp(-2.0)), 1.0])


def test_requests_are_counted_in_the_artifacts_bins(artifact, folder):
    counting = counter(artifact, folder)
    x = np.array([[0.0, 1.0, 2.0, 3.0]], np.float32)
    y = np.array([[1.0, 2.0, 3.0]], np.float32)
    for _ in range(20):
        counting.offer({"x": x}, {"y": y}, 0.002)
    counting.fail("runtime")
    counting.close()
    (window,) = collected(folder)
    assert (window.model, window.sha256) == ("tiny", artifact.digest)
    assert (window.requests, window.samples, window.unseen, window.errors) == (20, 20, 0, (0, 0, 1, 0))
    place = next(at for at, edge in enumerate(LATENCY_EDGES_MS) if edge >= 2.0)
    assert window.latency[place] == 20
    for bins, counts in zip(artifact.manifest.histograms, window.tensors, strict=True):
        values = {"input": x, "output": y, "confidence": y[:, :1]}[bins.kind]
        assert sum(counts) == 20 * values.size
    assert list(folder.iterdir()) == []


def test_of_a_large_tensor_a_part_is_counted(artifact, folder):
    counting = counter(artifact, folder)
    counting.offer({"x": np.zeros((5000, 4), np.float32)}, {"y": np.zeros((5000, 3), np.float32)}, 0.0)
    counting.close()
    (window,) = collected(folder)
    assert window.samples == 5000
    kinds = [bins.kind for bins in artifact.manifest.histograms]
    assert {sum(counts) for kind, counts in zip(kinds, window.tensors, strict=True) if kind != "confidence"} == {4096}


def test_windows_end_by_themselves(artifact, folder):
    counting = counter(artifact, folder, window_s=0.1)
    x, y = np.zeros((1, 4), np.float32), np.zeros((1, 3), np.float32)
    for _ in range(6):
        counting.offer({"x": x}, {"y": y}, 0.0)
        time.sleep(0.08)
    counting.close()
    windows = collected(folder)
    assert len(windows) >= 2
    assert merge_all(windows).requests == 6


def test_a_queue_that_is_full_costs_tensors_and_says_so(artifact, folder):
    counting = counter(artifact, folder)
    x, y = np.zeros((1, 4), np.float32), np.zeros((1, 3), np.float32)
    with counting._lock:  # the counting thread cannot go on
        counting._queue.extend([({"x": x}, {"y": y})] * 256)
    counting.offer({"x": x}, {"y": y}, 0.0)
    counting.close()
    (window,) = collected(folder)
    assert (window.requests, window.unseen) == (1, 1)


def test_inputs_that_do_not_fit_cost_their_counts_only(artifact, folder, caplog):
    counting = counter(artifact, folder)
    counting.offer({"other": np.zeros((1, 4), np.float32)}, {}, 0.0)
    counting.close()
    (window,) = collected(folder)
    assert (window.requests, window.unseen) == (1, 1)
    assert "could not be counted" in caplog.text


def test_a_disk_that_refuses_costs_no_request(artifact, tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    counting = counter(artifact, tmp_path / "file" / "below")
    counting.offer({"x": np.zeros((1, 4), np.float32)}, {"y": np.zeros((1, 3), np.float32)}, 0.0)
    counting.close()
    assert "not kept" in caplog.text


def test_nothing_waits_for_the_disk_while_a_request_is_counted(artifact, folder, monkeypatch):
    free = []
    counting = counter(artifact, folder, window_s=0.01)
    for name in ("create", "close"):
        plain = getattr(live, name)

        def note(*given, plain=plain):
            is_free = counting._lock.acquire(blocking=False)
            if is_free:
                counting._lock.release()
            free.append(is_free)
            return plain(*given)

        monkeypatch.setattr(live, name, note)
    requests = 0
    while len(free) < 4:
        counting.offer({"x": np.zeros((1, 4), np.float32)}, {"y": np.zeros((1, 3), np.float32)}, 0.0)
        requests += 1
        time.sleep(0.01)
    counting.close()
    assert all(free)
    assert merge_all(collected(folder)).requests == requests


COUNTS = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from edgewright.core.artifact_read import open_artifact
    from edgewright.fleet.telemetry.counting import Counter
    artifact = open_artifact(Path(sys.argv[1]))
    counting = Counter(Path(sys.argv[2]), artifact.manifest, artifact.digest, "tiny", artifact.test_vectors.outputs)
    x, y = np.zeros((1, 4), np.float32), np.zeros((1, 3), np.float32)
    for _ in range(int(sys.argv[3])):
        counting.offer({"x": x}, {"y": y}, 0.001)
    while counting._queue:
        time.sleep(0.01)
    print("counted", flush=True)
    time.sleep(60)
"""


def test_a_kill_of_who_counts_loses_nothing(artifact, tmp_path, folder):
    command = [sys.executable, "-c", textwrap.dedent(COUNTS), str(tmp_path / "tiny.ewa"), str(folder), "137"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "counted\n"
        assert collected(folder) == []  # its owner lives
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    (window,) = collected(folder)
    assert (window.requests, window.samples) == (137, 137)
    assert sum(window.latency) == 137


def test_what_a_restart_of_the_updater_finds_is_taken_once(artifact, folder):
    counting = counter(artifact, folder)
    counting.offer({"x": np.zeros((1, 4), np.float32)}, {"y": np.zeros((1, 3), np.float32)}, 0.0)
    counting.close()
    (path,) = folder.iterdir()
    data, disk = path.read_bytes(), RealDisk(folder.parents[1])
    assert Collector(disk, "one").spool.windows == 1
    path.write_bytes(data)  # the power was cut before the removal was durable
    assert Collector(disk, "two").spool.windows == 1


def test_a_server_without_a_network_keeps_everything(artifact, folder):
    counting = counter(artifact, folder)
    counting.offer({"x": np.zeros((1, 4), np.float32)}, {"y": np.zeros((1, 3), np.float32)}, 0.0)
    counting.close()

    class Nobody:
        def send_telemetry(self, frames):
            raise NetworkError("no network.")

    collector = Collector(RealDisk(folder.parents[1]), "boot")
    with pytest.raises(NetworkError):
        collector.send(Nobody())
    assert collector.spool.windows == 1
    assert [one.requests for one in collected(folder)] == [1]


def test_a_device_without_a_server_keeps_windows_untried(artifact, folder):
    counting = counter(artifact, folder)
    counting.offer({"x": np.zeros((1, 4), np.float32)}, {"y": np.zeros((1, 3), np.float32)}, 0.0)
    counting.close()
    server = Server()
    collector = Collector(RealDisk(folder.parents[1]), "boot", sends=False)
    collector.send(server)
    assert (server.windows, collector.spool.windows) == ([], 1)
    assert [one.requests for one in collected(folder)] == [1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-8],
        lambda data: data + b"x",
        lambda data: b"EWLIVE2\n" + data[8:],
        lambda data: data[:8] + b"\xff\xff\xff\x7f" + data[12:],
        lambda data: data[:-8] + b"\xff" * 8,
        lambda data: data.replace(b'"model":"tiny"', b'"model":"../y"'),
        lambda data: data.replace(b'"bins"', b'"pins"'),
        lambda data: data[:8] + (20_000).to_bytes(4, "little") + b"[" * 20_000 + data[12:],
        lambda data: b"",
    ],
)
def test_damaged_files_are_refused_and_go(artifact, folder, spoil, caplog):
    counting = counter(artifact, folder)
    counting.offer({"x": np.zeros((1, 4), np.float32)}, {"y": np.zeros((1, 3), np.float32)}, 0.0)
    counting.close()
    (path,) = folder.iterdir()
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ProtocolError):
        live.read(path)
    assert collected(folder) == []
    assert not path.exists()
    assert "a window is lost" in caplog.text


def test_files_of_others_are_left_alone(folder):
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "link-1-1-1.closed").symlink_to("/etc/passwd")
    assert collected(folder) == []
    assert len(list(folder.iterdir())) == 2


def test_the_ledger_counts_a_window_once():
    one, two = (
        Window("m", "ab" * 32, 0, 1, 1, number, 0, 0, (0,) * 4, (0,) * (len(LATENCY_EDGES_MS) + 1), ()) for number in (1, 2)
    )
    first = accept(Batch("s", ((3, one.encode()),)), {})
    assert (first.windows, first.highest) == (((3, one),), 3)
    again = accept(Batch("s", ((3, one.encode()), (5, two.encode()))), {("s", "m"): 3})
    assert (again.windows, again.highest) == (((5, two),), 5)
    other = accept(Batch("t", ((3, one.encode()),)), {("s", "m"): 3})
    assert len(other.windows) == 1
    with pytest.raises(ProtocolError, match="one model"):
        accept(Batch("s", ()), {})
