"""Attacks on the serving socket: bytes that are no request, requests that lie about their size, clients that never finish.

Each gets a 4xx in one sentence or the end of its connection, in bounded time and memory, and the next client is served.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgewright.core.errors import ProtocolError
from edgewright.core.executor import TensorSpec
from edgewright.fleet.serve import head, oip
from edgewright.fleet.serve.client import Client, read_answer
from edgewright.fleet.serve.connection import Times
from edgewright.fleet.serve.model import LoadedModel
from edgewright.fleet.serve.refusal import Refusal
from edgewright.fleet.serve.server import Server
from edgewright.fleet.serve.service import Service
from edgewright.fleet.serve.sockets import listen_unix
from edgewright.fleet.serve.tally import Tally
from hypothesis import given
from hypothesis import strategies as st

INPUTS = (TensorSpec("x", "float32", (1, 4)), TensorSpec("n", "int64", (1,)))
OUTPUTS = (TensorSpec("y", "float32", (1, 3)),)
POST = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n"
BOUND = oip.limits(INPUTS).json
TIMES = Times(idle=1.0, request=0.5, send=0.5, last_call=0.1)
FEW = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    helpers = str(Path(__file__).parents[1] / "fleet")
    sys.path.append(helpers)
    from tiny_artifact import write_tiny

    sys.path.remove(helpers)
    folder = tmp_path_factory.mktemp("a")
    service = Service(LoadedModel(write_tiny(folder / "m.ewa"), "m"), Tally())
    server = Server(service.handle, service.bound, TIMES, FEW)
    listener = listen_unix(folder / "s")
    server.listen(listener)
    yield folder / "s"
    server.drain(None, 5.0)


@pytest.fixture
def served(place: Path) -> Iterator[Path]:
    """The socket; after the test a well-behaved client must be served."""
    yield place
    with Client(place, "m") as client:
        end = time.monotonic() + 10
        while client.ask("GET", "/v2/health/ready")[0] == 503:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert client.infer({"x": np.zeros((1, 4), np.float32)})["y"].shape == (1, 3)


def send(place: Path, data: bytes) -> bytes:
    """All that the server says until it closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        sock.connect(str(place))
        said = b""
        try:
            sock.sendall(data)
            while piece := sock.recv(65536):
                said += piece
        except (BrokenPipeError, ConnectionResetError):
            pass
        return said


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00" * 64 + b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /v2 HTTP/2.0\r\n\r\n", 400),
        (b"GET /v2\r\n\r\n", 400),
        (b"HEAD /v2 HTTP/1.1\r\n\r\n", 405),
        (b"CONNECT evil:80 HTTP/1.1\r\n\r\n", 405),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\nHost: x\n\r\n\r\n", 400),
        (POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400),
        (POST + b"Content-Length: +4\r\n\r\nabcd", 400),
        (POST + b"Content-Length: 0x4\r\n\r\nabcd", 400),
        (POST + b"Content-Length: 4, 4\r\n\r\nabcd", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", 411),
        (POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (POST + b"\r\n", 411),
        (POST + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", 415),
        (POST + b"Content-Length: 999999999999\r\n\r\n", 413),
        (b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n", 413),
        (POST + b"Inference-Header-Content-Length: 1e3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /v2 HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET /v2 HTTP/1.1\r\n" + b"A: " + b"b" * 40_000, 431),
    ],
)
def test_heads_that_two_readers_could_read_differently(served: Path, data: bytes, status: int) -> None:
    said = send(served, data)
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in said
    assert list(json.loads(said.partition(b"\r\n\r\n")[2])) == ["error"]


def test_a_head_cannot_put_lines_into_an_answer(served: Path) -> None:
    said = send(served, b"GET /v2/models/a%0d%0aSet-Cookie:%20x HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b"404" in said.split(b"\r\n")[0]
    assert b"\r\nSet-Cookie" not in said


@pytest.mark.parametrize("beginning", [b"", b"GE", POST + b"Content-Length: 70\r\n\r\n{"])
def test_a_client_that_never_finishes_is_let_go(served: Path, beginning: bytes) -> None:
    start = time.monotonic()
    said = send(served, beginning)
    assert time.monotonic() - start < 10
    assert said == b"" or said.startswith(b"HTTP/1.1 408 ")


def test_a_slow_drip_does_not_renew_its_time(served: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        sock.connect(str(served))
        start = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() - start < 10:
                sock.sendall(b"A")
                time.sleep(0.05)


def test_a_client_that_takes_no_answer_is_let_go(served: Path) -> None:
    """Many requests whose answers fill every buffer; no thread may wait for it for ever."""
    before = threading.active_count()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(str(served))
        sock.settimeout(3)
        with pytest.raises((TimeoutError, BrokenPipeError, ConnectionResetError)):
            while True:
                sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" * 100)
    end = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_more_connections_than_are_served_are_told_so(served: Path) -> None:
    for _ in range(20):  # on a busy machine the first may be idle for too long before the last is looked at
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) for _ in range(FEW + 1)]
            for sock in held:
                sock.connect(str(served))
            held[-1].settimeout(10)
            said = held[-1].recv(64)
        if said:
            break
    assert said.startswith(b"HTTP/1.1 503 ")


def test_a_process_without_handles_serves_again_once_it_has_some(served: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, limits[1]))
    held = []
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                held.append(os.dup(0))
        sock.connect(str(served))
        sock.sendall(b"GET /v2/health/live HTTP/1.1\r\n\r\n")
        time.sleep(0.2)
    finally:
        for handle in held:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    sock.settimeout(10)
    assert sock.recv(64).startswith(b"HTTP/1.1 200 ")
    sock.close()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"inputs":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":' + b"[" * 900 + b"]" * 900 + b"}]}",
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[' + b"9" * 6000 + b",1,1,1]}]}",
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1e999,1,1,1]}]}',
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[268435456,4],"parameters":{"binary_data_size":0}}]}',
        b'{"inputs":[{"name":"x","datatype":"BYTES","shape":[268435456],"parameters":{"binary_data_size":0}}]}',
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":-16}}]}',
        b'{"inputs":[' + b"{}," * 20_000 + b"{}]}",
        b"\xff\xfe{}",
        b'{"inputs":[{"name":{"a":1},"datatype":["FP32"],"shape":{"0":1},"data":null}]}',
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1,2,3,4],"parameters":[]}]}',
    ],
)
@pytest.mark.parametrize("is_binary", [False, True])
def test_hostile_bodies_are_refused_within_bounds(body: bytes, is_binary: bool) -> None:
    tracemalloc.start()
    with pytest.raises(Refusal) as caught:
        oip.parse(memoryview(body), len(body) if is_binary else None, INPUTS, OUTPUTS, BOUND)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.status in (400, 413)
    assert len(str(caught.value)) < 400
    assert peak < 64 * BOUND


def test_elements_longer_than_the_data() -> None:
    for data in (b"\xff\xff\xff\xff", b"\x04\0\0\0ab", b"\x01\0\0\0ab", b""):
        text = json.dumps(
            {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(data)}}]}
        ).encode()
        with pytest.raises(Refusal):
            oip.parse(memoryview(text + data), len(text), INPUTS, OUTPUTS, BOUND)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"outputs":' + b"[" * 50_000,
        b'{"outputs":[{"name":["y"],"datatype":"FP32","shape":[1],"data":[1]}]}',
        b'{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[1e999]}]}',
        b'{"outputs":[{"name":"y","datatype":"FP32","shape":[268435456],"parameters":{"binary_data_size":-4}}]}',
        b'{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":1.5}}]}',
        b'{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"parameters":[]}]}',
        b'{"error":' + b'"x"' * 9,
    ],
)
@pytest.mark.parametrize("is_binary", [False, True])
def test_a_client_refuses_answers_that_are_none(answer: bytes, is_binary: bool) -> None:
    with pytest.raises(ProtocolError):
        read_answer(answer, len(answer) if is_binary else None)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["x", "n", "FP32", "INT64"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["inputs", "name", "datatype", "shape", "data", "parameters", "binary_data_size", "outputs", "id"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(JSON, st.binary(max_size=40), st.none() | st.integers(0, 400))
def test_any_json_gives_an_ask_or_a_refusal(value: Any, data: bytes, json_bytes: int | None) -> None:
    body = json.dumps(value).encode() + data
    try:
        ask = oip.parse(memoryview(body), json_bytes, INPUTS, OUTPUTS, BOUND)
    except Refusal:
        return
    assert set(ask.inputs) == {"x", "n"}


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"GET / HTTP/1.1", b"\r\n", b"A", b": ", b"1", b" ", b"\n"])).map(b"".join)
)
def test_any_bytes_give_a_head_or_a_refusal(data: bytes) -> None:
    try:
        found = head.parse(data)
    except Refusal:
        return
    assert found.length >= 0
    assert b"\n" not in data.replace(b"\r\n", b"")
