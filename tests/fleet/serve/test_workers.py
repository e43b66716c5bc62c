"""Workers as real processes: started, checked, switched under load, crashed, drained, left alone by their supervisor."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from edgewright.core.canonical import digest_file
from edgewright.core.child import child_command
from edgewright.core.errors import AgentError, ProtocolError, RuntimeFailure, VerificationError
from edgewright.fleet.serve.channel import Channel, pair
from edgewright.fleet.serve.client import Client
from edgewright.fleet.serve.generation import Generation
from edgewright.fleet.serve.orders import Orders
from edgewright.fleet.serve.sockets import listen_unix
from edgewright.fleet.serve.supervisor import Settings, Supervisor
from edgewright.fleet.telemetry import live, sample_file
from edgewright.fleet.telemetry.sampling import FOLDER as SAMPLES
from tiny_artifact import answer

Build = Callable[..., Path]
X = np.ones((1, 4), np.float32)


@pytest.fixture
def supervisor(short: Path) -> Iterator[Supervisor]:
    made = Supervisor(short / "run", Settings(backoff_s=(0.05, 0.2)))
    yield made
    made.close()


def start(supervisor: Supervisor, path: Path) -> Generation:
    return supervisor.start("m", path, digest_file(path))


def client(supervisor: Supervisor) -> Client:
    return Client(supervisor.place("m"), "m")


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_there(pid: int) -> bool:
    """Until all of its threads have ended, and it was waited for: only then are its connections closed."""
    return Path(f"/proc/{pid}").exists()


def test_a_generation_is_private_until_it_is_published(supervisor: Supervisor, build: Build) -> None:
    generation = start(supervisor, build(1.0))
    assert supervisor.running("m") is None
    public, private = supervisor.place("m"), supervisor.private_socket(generation)
    assert isinstance(public, Path)
    assert not public.exists()
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    with Client(private, "m") as asked:
        np.testing.assert_array_equal(asked.infer({"x": X})["y"], answer(X, 1.0))
    health = supervisor.check(generation)
    assert (health.passed, health.samples) == (True, 5)
    assert health.p50_ms is not None
    supervisor.publish(generation)
    assert stat.S_IMODE(public.stat().st_mode) == 0o660
    assert supervisor.running("m") == generation
    with client(supervisor) as asked:
        np.testing.assert_array_equal(asked.infer({"x": X})["y"], answer(X, 1.0))
    wait_for(lambda: sum(supervisor.statistics(generation).confidence) == 2)  # counted a moment after the answer
    found = supervisor.statistics(generation)
    # Of the test vectors none is a client's request.
    assert (found.requests, found.errors, found.crashes, sum(found.latency_counts)) == (2, 0, 0, 2)
    assert len(found.latency_counts) == len(found.latency_edges_ms) + 1
    assert found.confidence_reference == (2, 3, 4, 5, 0)
    with client(supervisor) as asked:
        # Who breaks the protocol says nothing of the model; who asks for another model's inputs does.
        assert asked.ask("POST", "/v2/models/m/infer", [b"{"])[0] == 400
        with pytest.raises(ProtocolError, match="unknown model input"):
            asked.infer({"z": X})
    found = supervisor.statistics(generation)
    assert (found.requests, found.errors) == (3, 1)
    supervisor.stop(generation)
    assert supervisor.running("m") is None
    assert not is_there(generation.pid)
    with pytest.raises(RuntimeFailure, match="has ended"):
        supervisor.statistics(generation)
    supervisor.stop(generation)


def test_workers_leave_windows_of_counts_for_the_telemetry(short: Path, build: Build) -> None:
    supervisor = Supervisor(short / "run", Settings(telemetry=short / live.FOLDER))
    generation = start(supervisor, build(1.0))
    assert supervisor.check(generation).passed
    supervisor.publish(generation)
    with client(supervisor) as asked:
        for _ in range(3):
            asked.infer({"x": X})
    supervisor.close()
    window = live.read(*live.finished(short / live.FOLDER))
    assert (window.model, window.sha256, window.requests, sum(window.errors)) == ("m", generation.sha256, 3, 0)
    assert [sum(counts) for counts in window.tensors] == [12, 9, 3]


def test_a_window_ends_while_its_worker_serves(short: Path, build: Build) -> None:
    supervisor = Supervisor(short / "run", Settings(telemetry=short / live.FOLDER, window_s=0.2))
    supervisor.publish(start(supervisor, build(1.0)))
    with client(supervisor) as asked:
        asked.infer({"x": X})
        wait_for(lambda: any(live.finished(short / live.FOLDER)))
    assert live.read(*live.finished(short / live.FOLDER)).requests == 1
    supervisor.close()


def test_hard_examples_are_kept_where_somebody_agreed_and_a_shadow_disagrees(short: Path, build: Build) -> None:
    """The shadow's scores are the model's, so that only what the model is unsure of is hard."""
    sampling = {"consent": "a tester", "below": 0.5, "shadow": str(build(9.0))}
    settings = Settings(telemetry=short / live.FOLDER, sampling=sampling)
    supervisor = Supervisor(short / "run", settings)
    supervisor.publish(start(supervisor, build(1.0)))
    sure, unsure = np.array([[9, 9, 9, 9]], np.float32), np.zeros((1, 4), np.float32)
    with client(supervisor) as asked:
        for x in (sure, unsure):
            asked.infer({"x": x})
    supervisor.close()
    (kept,) = (short / SAMPLES).rglob("*.npz")
    arrays, about = sample_file.unpack(kept.read_bytes())
    assert about["consent"] == "a tester"
    assert any(np.array_equal(array, unsure) for array in arrays.values())


@pytest.mark.parametrize(
    "sampling", [{"consent": " "}, {"consent": "a", "shadow": "/missing.ewa"}, {"consent": "a", "redact": "json:nothing"}]
)
def test_samples_that_cannot_be_kept_cost_no_answer(short: Path, build: Build, sampling: dict[str, str]) -> None:
    supervisor = Supervisor(short / "run", Settings(telemetry=short / live.FOLDER, sampling=sampling))
    supervisor.publish(start(supervisor, build(1.0)))
    with client(supervisor) as asked:
        assert asked.infer({"x": np.zeros((1, 4), np.float32)})
    supervisor.close()
    assert not list((short / SAMPLES).rglob("*.npz"))


def test_another_file_than_the_one_that_was_verified_is_refused(supervisor: Supervisor, build: Build, short: Path) -> None:
    with pytest.raises(VerificationError, match="SHA-256"):
        supervisor.start("m", build(1.0), "0" * 64)
    damaged = short / "damaged.ewa"
    data = bytearray(build(1.0).read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    with pytest.raises(VerificationError, match="cannot be trusted"):
        start(supervisor, damaged)
    with pytest.raises(ProtocolError):
        supervisor.start("../m", build(1.0), "0" * 64)
    assert list((short / "run").rglob("*.sock*")) == []


def test_an_artifact_that_answers_otherwise_fails_its_check(supervisor: Supervisor, build: Build) -> None:
    health = supervisor.check(start(supervisor, build(1.0, wrong=True)))
    assert not health.passed
    assert "outside the tolerance" in health.why


def test_switches_under_load_lose_no_request_and_no_connection(supervisor: Supervisor, build: Build) -> None:
    """Clients that keep their connection and clients that open new ones, over several generations."""
    supervisor.publish(start(supervisor, build(0.0)))
    is_over = threading.Event()
    failures: list[str] = []
    seen: set[float] = set()
    reconnects: list[int] = []

    def load(keeps: bool) -> None:
        asked = client(supervisor)
        connects = 0
        x = np.random.default_rng(0).integers(0, 9, (1, 4)).astype(np.float32)
        while not is_over.is_set():
            try:
                if not keeps:
                    asked.close()
                connects += asked._sock is None
                got = asked.infer({"x": x})["y"]
                seen.add(float((got - answer(x, 0.0))[0, 0]))
            except Exception as error:
                failures.append(repr(error))
            time.sleep(0.005)
        reconnects.append(connects if keeps else 1)
        asked.close()

    threads = [threading.Thread(target=load, args=(keeps,)) for keeps in (True, True, False)]
    for thread in threads:
        thread.start()
    pids = set()
    for offset in (10.0, 20.0):
        generation = start(supervisor, build(offset))
        supervisor.publish(generation)
        wait_for(lambda: offset in seen)  # noqa: B023
        pids.add(generation.pid)
    is_over.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert seen == {0.0, 10.0, 20.0}
    assert reconnects == [1, 1, 1]
    assert sum(map(is_there, pids)) == 1


def test_a_request_that_is_half_sent_is_answered_by_the_generation_that_has_begun_it(
    supervisor: Supervisor, build: Build
) -> None:
    supervisor.publish(start(supervisor, build(1.0)))
    body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[0,0,0,0]}]}'
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(str(supervisor.place("m")))
        sock.sendall(head + body[:20])
        generation = start(supervisor, build(2.0))
        publishing = threading.Thread(target=supervisor.publish, args=(generation,))
        publishing.start()
        wait_for(lambda: supervisor.running("m") == generation)
        sock.sendall(body[20:])
        assert b'"data":[1.0,1.0,1.0]' in sock.recv(4096)
        publishing.join()
        sock.sendall(head + body)
        assert b'"data":[2.0,2.0,2.0]' in sock.recv(4096)


def test_a_worker_that_crashes_is_started_again_and_counted(supervisor: Supervisor, build: Build) -> None:
    generation = start(supervisor, build(1.0))
    supervisor.publish(generation)
    with client(supervisor) as asked:
        asked.infer({"x": X})
        assert supervisor.statistics(generation).requests == 1
        for crash in (1, 2):
            now = supervisor.running("m")
            assert now is not None
            os.kill(now.pid, signal.SIGKILL)
            wait_for(lambda: not is_there(now.pid))  # noqa: B023
            # The socket stays open: a client that comes meanwhile waits, and is answered.
            np.testing.assert_array_equal(asked.infer({"x": X})["y"], answer(X, 1.0))
            wait_for(lambda: supervisor.running("m") not in (None, now))  # noqa: B023
            assert supervisor.statistics(generation).crashes == crash
    again = supervisor.running("m")
    assert again is not None
    assert (again.number, again.sha256) == (generation.number, generation.sha256)
    assert again.pid != generation.pid
    assert supervisor.statistics(generation).requests >= 2


def test_one_that_crashes_before_it_is_public_does_not_come_back(supervisor: Supervisor, build: Build) -> None:
    public, tried = start(supervisor, build(1.0)), start(supervisor, build(2.0))
    supervisor.publish(public)
    os.kill(tried.pid, signal.SIGKILL)
    with pytest.raises(RuntimeFailure):
        supervisor.check(tried)
    with pytest.raises(RuntimeFailure):
        supervisor.publish(tried)
    assert supervisor.running("m") == public
    with pytest.raises(RuntimeFailure):
        supervisor.statistics(tried)
    with client(supervisor) as asked:
        np.testing.assert_array_equal(asked.infer({"x": X})["y"], answer(X, 1.0))


def test_one_whose_file_is_damaged_is_given_up_and_another_takes_over(
    supervisor: Supervisor, build: Build, short: Path
) -> None:
    path = short / "mine.ewa"
    path.write_bytes(build(1.0).read_bytes())
    generation = start(supervisor, path)
    supervisor.publish(generation)
    path.write_bytes(b"rotten")
    os.kill(generation.pid, signal.SIGKILL)
    wait_for(lambda: supervisor.running("m") is None)
    with pytest.raises(RuntimeFailure, match="has ended"):
        supervisor.statistics(generation)
    supervisor.publish(start(supervisor, build(2.0)))
    with client(supervisor) as asked:
        np.testing.assert_array_equal(asked.infer({"x": X})["y"], answer(X, 2.0))


def test_one_that_cannot_be_started_again_is_given_up(supervisor: Supervisor, build: Build, short: Path) -> None:
    generation = start(supervisor, build(1.0))
    supervisor.publish(generation)
    (short / "run" / "private").rename(short / "elsewhere")
    os.kill(generation.pid, signal.SIGKILL)
    wait_for(lambda: supervisor.running("m") is None)


def test_a_device_without_handles_left_starts_no_worker_and_says_so(supervisor: Supervisor, build: Build, short: Path) -> None:
    path = build(1.0)
    sha256 = digest_file(path)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    for free in (0, 2, 3, 4):  # of a pair, a socket, and those that a process begins with
        taken: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            for handle in taken[:free]:
                os.close(handle)
            with pytest.raises(AgentError, match="can be started on this device now"):
                supervisor.start("m", path, sha256)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for handle in taken[free:]:
                os.close(handle)
    assert list((short / "run").rglob("*.sock*")) == []


def test_a_model_may_be_called_as_a_generation_of_another(supervisor: Supervisor) -> None:
    private = supervisor.private_socket(Generation("m", 1, "0" * 64, 0))
    assert all(private != supervisor.place(model) for model in ("m-1", "private", "m"))
    assert private.parent.is_dir()


def orders(path: Path, short: Path) -> tuple[subprocess.Popen[bytes], Channel]:
    """A worker without a supervisor: its process and the end of the channel that a supervisor would hold."""
    ours, theirs = pair()
    with theirs, listen_unix(short / "p.sock", 0o600) as private:
        text = Orders("m", str(path), digest_file(path), theirs.fileno(), private.fileno()).text()
        process = subprocess.Popen(
            child_command("edgewright.fleet.serve.worker", text), pass_fds=[theirs.fileno(), private.fileno()]
        )
    channel = Channel(ours)
    assert channel.receive(60) == ({"ready": True}, [])
    return process, channel


def until_refused(place: Path) -> None:
    """Wait until nobody listens there any more."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            try:
                sock.connect(str(place))
            except ConnectionRefusedError:
                return
        time.sleep(0.02)
    raise AssertionError("it still listens")


def test_a_worker_ends_with_its_supervisor_and_answers_what_it_has_begun(build: Build, short: Path) -> None:
    process, channel = orders(build(1.0), short)
    body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[0,0,0,0]}]}'
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(str(short / "p.sock"))
        sock.sendall(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:9])
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        channel.close()
        until_refused(short / "p.sock")
        sock.sendall(body[9:])
        said = b"".join(iter(lambda: sock.recv(4096), b""))
    assert b'"data":[1.0,1.0,1.0]' in said
    assert b"Connection: close" in said
    assert process.wait(30) == 1


def test_a_kept_connection_without_a_successor_is_told_that_it_closes(build: Build, short: Path) -> None:
    process, channel = orders(build(1.0), short)
    with Client(short / "p.sock", "m") as asked:
        asked.infer({"x": X})
        channel.send({"do": "drain", "seconds": 5.0})
        time.sleep(0.1)
        _, fields, _ = asked.ask("GET", "/v2/health/ready")
        assert fields["connection"] == "close"
    assert channel.receive(30) == ({"answer": True}, [])
    assert process.wait(30) == 0


def test_a_worker_imports_numpy_and_its_runtime_and_a_supervisor_neither(build: Build, short: Path) -> None:
    code = """
import sys
from pathlib import Path
{what}
heavy = {{"numpy", "onnxruntime", "openvino", "ai_edge_litert", "onnx", "onnx_ir", "torch", "tensorflow", "pandas", "scipy"}}
print(sorted(heavy & {{name.partition(".")[0] for name in sys.modules}}))
"""
    worker = f"""
from edgewright.fleet.serve import worker
from edgewright.fleet.serve.model import LoadedModel
LoadedModel(Path({str(build(1.0))!r}))
"""
    supervisor = f"""
from edgewright.fleet.serve.supervisor import Supervisor
path = Path({str(build(1.0))!r})
import hashlib
supervisor = Supervisor(Path({str(short / "run")!r}))
generation = supervisor.start("m", path, hashlib.sha256(path.read_bytes()).hexdigest())
assert supervisor.check(generation).passed
supervisor.publish(generation)
supervisor.statistics(generation)
supervisor.close()
"""
    for what, expected in ((worker, "['numpy', 'onnxruntime']"), (supervisor, "[]")):
        done = subprocess.run([sys.executable, "-c", code.format(what=what)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
