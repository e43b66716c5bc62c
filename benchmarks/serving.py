"""What serving costs: `python -m benchmarks.serving [--switches 200] [--minutes 60] [--rate 200] [--json FILE]`.

1. Overhead of one request over the runtime's own call (onnxruntime's `session.run`), measured in turns, p50 and p99: in a
   `Session`, and over a unix socket in binary, for 4 kB of input and for a 224 x 224 x 3 image of float32. Beside the image
   stands what moving its bytes to another process over a bare unix socket takes, and the part of the processor's time that
   4 kB do not need: the share of copying.
2. Switches between two generations under an open loop: a request every 1/rate seconds whatever the answers do, its latency
   from the moment when it was due. Failed requests, p99 in steady state and while switching, resident memory of worker and
   supervisor after the first and the last switches.

All programs share the machine's cores; the load average is printed, for it is part of every figure. The overhead in processor
time is what this program and the worker used of the clock of their processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from edgewright.core.artifact import ArtifactContent, TestVectors
from edgewright.core.artifact_write import write_artifact
from edgewright.core.canonical import digest_file
from edgewright.core.executor import TensorSpec
from edgewright.core.manifest import (
    DataRecord,
    GateRecord,
    Manifest,
    RuntimeRecord,
    SourceRecord,
    TargetRecord,
    Tolerance,
)
from edgewright.core.resident import resident_bytes
from edgewright.fleet.serve.client import Client
from edgewright.fleet.serve.session import Session
from edgewright.fleet.serve.supervisor import Supervisor
from edgewright.runtimes.onnxruntime.run import session_options

CLASSES = 10
SHAPES: Mapping[str, tuple[int, ...]] = {"4 kB": (1, 1024), "224x224x3": (1, 224, 224, 3)}
CLIENTS = 8


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--switches", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no switch after so long")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {"cores": os.cpu_count(), "load": os.getloadavg()}
    with tempfile.TemporaryDirectory(prefix="ew-") as name:
        folder = Path(name)
        for size, shape in SHAPES.items():
            found[size] = overheads(folder, shape, given.runs)
            print(size, json.dumps(found[size], indent=2), flush=True)
        small, large = (found[size]["socket_overhead_processor_us"] for size in SHAPES)
        found["share_of_bytes_in_processor_time"] = 1 - small / large
        if given.switches:
            found["switches"] = switches(folder, given.switches, given.rate, given.minutes)
            print("switches", json.dumps(found["switches"], indent=2))
    found["load after"] = os.getloadavg()
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


def overheads(folder: Path, shape: tuple[int, ...], runs: int) -> dict[str, float]:
    """Microseconds, each the difference of medians of calls made in turns."""
    path = artifact(folder / f"{len(shape)}.ewa", shape, 0.0)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    bare = onnxruntime.InferenceSession(model_bytes(shape, 0.0), session_options(1), providers=["CPUExecutionProvider"])
    supervisor = Supervisor(folder / "run")
    generation = supervisor.start("m", path, digest_file(path))
    supervisor.publish(generation)
    place = supervisor.place("m")
    assert isinstance(place, Path)
    with Session("m", artifact=path) as session, Client(place, "m") as client, Echo(x.nbytes) as echo:
        calls: dict[str, Callable[[], Any]] = {
            "runtime": lambda: bare.run(["y"], {"x": x}),
            "session": lambda: session.run({"x": x}),
            "socket": lambda: client.infer({"x": x}),
            "bytes": lambda: echo.move(x),
        }
        for call in calls.values():
            for _ in range(50):
                call()
        times = in_turns(calls, runs)
    busy = processor_seconds(generation.pid)
    own = time.process_time()
    with Client(place, "m") as client:
        for _ in range(runs):
            client.infer({"x": x})
    both = (time.process_time() - own + processor_seconds(generation.pid) - busy) / runs * 1e6
    own = time.process_time()
    for _ in range(runs):
        bare.run(["y"], {"x": x})
    alone = (time.process_time() - own) / runs * 1e6
    supervisor.close()
    middle = {name: float(np.median(values)) * 1e6 for name, values in times.items()}
    slow = {name: float(np.quantile(values, 0.99)) * 1e6 for name, values in times.items()}
    return {
        "runtime_p50_us": middle["runtime"],
        "session_overhead_p50_us": middle["session"] - middle["runtime"],
        "session_overhead_p99_us": slow["session"] - slow["runtime"],
        "socket_overhead_p50_us": middle["socket"] - middle["runtime"],
        "socket_overhead_p99_us": slow["socket"] - slow["runtime"],
        "socket_overhead_processor_us": both - alone,
        "bytes_over_a_bare_socket_p50_us": middle["bytes"],
        "share_of_copying": middle["bytes"] / (middle["socket"] - middle["runtime"]),
    }


def in_turns(calls: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return times


_ECHO = """
import socket, sys
sock, size = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
while True:
    buffer, there = memoryview(bytearray(size)), 0
    while there < size:
        count = sock.recv_into(buffer[there:])
        if count == 0:
            sys.exit()
        there += count
    sock.sendall(b"ok")
"""


class Echo:
    """A process that takes a number of bytes from a unix socket into one buffer and answers a few: no protocol, no model."""

    def __init__(self, size: int) -> None:
        """Start the process."""
        self._sock, theirs = socket.socketpair()
        command = [sys.executable, "-c", _ECHO, str(theirs.fileno()), str(size)]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()

    def move(self, array: np.ndarray[Any, Any]) -> None:
        """Send the array and wait for the answer."""
        self._sock.sendall(array.reshape(-1).view(np.uint8).data)
        assert self._sock.recv(64)

    def __enter__(self) -> Echo:
        """Close at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close."""
        self._sock.close()
        self._process.wait()


def switches(folder: Path, count: int, rate: float, minutes: float) -> dict[str, Any]:
    shape = SHAPES["4 kB"]
    paths = [artifact(folder / f"s{index}.ewa", shape, float(index)) for index in range(2)]
    supervisor = Supervisor(folder / "switching")
    supervisor.publish(supervisor.start("m", paths[0], digest_file(paths[0])))
    place = supervisor.place("m")
    load = OpenLoop(place, shape, rate)
    load.start()
    time.sleep(15.0)
    steady = load.take()
    resident: list[int] = []
    workers: list[int] = []
    marks: list[tuple[float, float]] = []
    end = time.monotonic() + minutes * 60
    for index in range(1, count + 1):
        if time.monotonic() > end:
            break
        print(f"switch {index} of {count}", end="\r", file=sys.stderr)
        path = paths[index % 2]
        begin = time.perf_counter()
        generation = supervisor.start("m", path, digest_file(path))
        assert supervisor.check(generation).passed
        loaded = time.perf_counter()
        supervisor.publish(generation)
        marks.append((loaded - begin, time.perf_counter() - loaded))
        time.sleep(0.2)
        workers.append(resident_bytes(generation.pid))
        resident.append(resident_bytes(os.getpid()))
    switching = load.take()
    failures, unsent = load.stop()
    supervisor.close()
    edge = max(1, min(10, len(workers) // 10))
    steady_p99, switching_p99 = np.quantile(steady, 0.99), np.quantile(switching, 0.99)
    return {
        "switches": len(marks),
        "requests": len(steady) + len(switching),
        "failed": len(failures),
        "failures": failures[:5],
        "due_but_not_sent": unsent,
        "steady_p50_ms": float(np.median(steady)) * 1e3,
        "steady_p99_ms": float(steady_p99) * 1e3,
        "switching_p50_ms": float(np.median(switching)) * 1e3,
        "switching_p99_ms": float(switching_p99) * 1e3,
        "p99_ratio": float(switching_p99 / steady_p99),
        "start_and_check_s": float(np.median([mark[0] for mark in marks])),
        "publish_ms": float(np.median([mark[1] for mark in marks])) * 1e3,
        "worker_mib_first": float(np.median(workers[:edge])) / 2**20,
        "worker_mib_last": float(np.median(workers[-edge:])) / 2**20,
        "supervisor_and_load_mib_first": float(np.median(resident[:edge])) / 2**20,
        "supervisor_and_load_mib_last": float(np.median(resident[-edge:])) / 2**20,
    }


class OpenLoop:
    """Requests that are due at fixed times, on a few kept connections."""

    def __init__(self, place: Path | int, shape: tuple[int, ...], rate: float) -> None:
        """Prepare; `start` begins."""
        self._place, self._rate = place, rate
        self._x = np.zeros(shape, np.float32)
        self._due: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._latencies: list[float] = []
        self._failures: list[str] = []
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(CLIENTS)]
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def start(self) -> None:
        """Begin."""
        for thread in (*self._threads, self._clock):
            thread.start()

    def take(self) -> Sequence[float]:
        """Latencies in seconds since the last time."""
        with self._lock:
            taken, self._latencies = self._latencies, []
        return taken

    def stop(self) -> tuple[list[str], int]:
        """End, and tell what failed, and how many requests were due and never sent: the machine is too slow for the rate."""
        self._is_over.set()
        self._clock.join()
        unsent = 0
        with contextlib.suppress(queue.Empty):
            while True:
                self._due.get_nowait()
                unsent += 1
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads:
            thread.join()
        return self._failures, unsent

    def _tick(self) -> None:
        due = time.perf_counter()
        while not self._is_over.is_set():
            due += 1 / self._rate
            time.sleep(max(0.0, due - time.perf_counter()))
            self._due.put(due)

    def _ask(self) -> None:
        with Client(self._place, "m") as client:
            while (due := self._due.get()) is not None:
                try:
                    client.infer({"x": self._x})
                except Exception as error:  # every failure is the figure
                    self._failures.append(repr(error))
                with self._lock:
                    self._latencies.append(time.perf_counter() - due)


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def model_bytes(shape: tuple[int, ...], offset: float) -> bytes:
    """A model that reads all of its input and costs little: the figures are of what is around it."""
    kind = onnx.TensorProto.FLOAT
    weights = np.random.default_rng(0).normal(size=(shape[-1], CLASSES)).astype(np.float32)
    nodes = [onnx.helper.make_node("MatMul", ["m", "w"], ["s"]), onnx.helper.make_node("Add", ["s", "b"], ["y"])]
    if len(shape) > 2:
        axes = onnx.numpy_helper.from_array(np.arange(1, len(shape) - 1), "axes")
        nodes.insert(0, onnx.helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=0))
    else:
        nodes[0].input[0] = "x"
    initializers = [onnx.numpy_helper.from_array(weights, "w")]
    initializers.append(onnx.numpy_helper.from_array(np.full(CLASSES, offset, np.float32), "b"))
    if len(shape) > 2:
        initializers.append(axes)
    graph = onnx.helper.make_graph(
        nodes,
        "cheap",
        [onnx.helper.make_tensor_value_info("x", kind, shape)],
        [onnx.helper.make_tensor_value_info("y", kind, (1, CLASSES))],
        initializers,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def artifact(path: Path, shape: tuple[int, ...], offset: float) -> Path:
    data = model_bytes(shape, offset)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    y = session.run(["y"], {"x": x})[0]
    manifest = Manifest(
        name="m",
        source=SourceRecord("cheap.onnx", "onnx", "0" * 64),
        data=DataRecord("none", "1" * 64),
        pipeline="",
        precision="float32",
        target=TargetRecord("x86-64-avx2", "x86_64", ("avx2",), 1),
        runtime=RuntimeRecord("onnxruntime", onnxruntime.__version__),
        entry="model.onnx",
        inputs=(TensorSpec("x", "float32", shape),),
        outputs=(TensorSpec("y", "float32", (1, CLASSES)),),
        gates=(GateRecord("none", "passed"),),
        versions={},
        measured_on=None,
    )
    vectors = TestVectors({"x": x}, {"y": y}, {"y": Tolerance(1e-4, 1e-4)}, "onnxruntime")
    write_artifact(path, ArtifactContent(manifest, {"model.onnx": data}, vectors, {}))
    return path


if __name__ == "__main__":
    main()
