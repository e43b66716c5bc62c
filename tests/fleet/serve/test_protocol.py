"""Conformance with the Open Inference Protocol v2 over real sockets: paths, errors, JSON, binary tensors, HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgewright.core.errors import NetworkError
from edgewright.fleet.serve.client import Client
from edgewright.fleet.serve.connection import Times
from edgewright.fleet.serve.model import LoadedModel
from edgewright.fleet.serve.server import Server
from edgewright.fleet.serve.service import Service
from edgewright.fleet.serve.sockets import listen_port, listen_unix
from edgewright.fleet.serve.tally import Tally
from tiny_artifact import answer

X = [[1.0, 2.0, 3.0, 4.0]]
ONE = {"name": "x", "datatype": "FP32", "shape": [1, 4]}
HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def served(build: Callable[..., Path]) -> Iterator[tuple[int, LoadedModel]]:
    """(port, model)."""
    model = LoadedModel(build(0.5), "tiny")
    service = Service(model, Tally())
    server = Server(service.handle, service.bound)
    with listen_port(0) as listener:
        server.listen(listener.dup())
        yield listener.getsockname()[1], model
        assert server.drain(None, 5.0)


@pytest.fixture
def ask(served: tuple[int, LoadedModel]) -> Iterator[Callable[..., tuple[int, dict[str, str], Any]]]:
    """ask(method, target, body, fields): status, header fields, JSON of the body."""
    with Client(served[0], "tiny") as client:

        def asked(method: str, target: str, body: Any = None, **fields: str) -> tuple[int, dict[str, str], Any]:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            named = {name.replace("_", "-"): value for name, value in fields.items()}
            status, found, text = client.ask(method, target, None if data is None else [data], named)
            told = int(found.get(HEADER.lower(), len(text)))
            return status, found, json.loads(text[:told]) if "json" in found["content-type"] or told < len(text) else text

        yield asked


def test_paths_of_health_and_metadata(ask: Any, served: tuple[int, LoadedModel]) -> None:
    version = served[1].version
    status, _, told = ask("GET", "/v2")
    assert status == 200
    assert told["name"] == "edgewright"
    assert "binary_tensor_data" in told["extensions"]
    assert ask("GET", "/v2/health/live")[2] == {"live": True}
    assert ask("GET", "/v2/health/ready")[2]["ready"] is True
    for path in ("/v2/models/tiny", f"/v2/models/tiny/versions/{version}"):
        assert ask("GET", path)[2] == {
            "name": "tiny",
            "versions": [version],
            "platform": "onnx_onnxv1",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3]}],
        }
        assert ask("GET", f"{path}/ready")[2] == {"name": "tiny", "ready": True}
    assert ask("POST", "/v2/repository/index", {})[2] == [{"name": "tiny", "version": version, "state": "READY", "reason": ""}]


@pytest.mark.parametrize("suffix", ["", "/versions/{version}"])
def test_inference_in_json(ask: Any, served: tuple[int, LoadedModel], suffix: str) -> None:
    target = f"/v2/models/tiny{suffix.format(version=served[1].version)}/infer"
    for data in (X, X[0]):
        status, _, told = ask("POST", target, {"id": "7", "inputs": [{**ONE, "data": data}], "outputs": [{"name": "y"}]})
        assert status == 200
        assert (told["model_name"], told["model_version"], told["id"]) == ("tiny", served[1].version, "7")
        assert told["outputs"] == [
            {"name": "y", "datatype": "FP32", "shape": [1, 3], "data": answer(np.array(X), 0.5).reshape(-1).tolist()}
        ]


def test_binary_inputs_and_outputs(ask: Any, served: tuple[int, LoadedModel]) -> None:
    raw = np.array(X, "<f4").tobytes()
    item = {**ONE, "parameters": {"binary_data_size": len(raw)}}
    for asked in (
        {"inputs": [item], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]},
        {"inputs": [item], "parameters": {"binary_data_output": True}},
    ):
        text = json.dumps(asked).encode()
        with Client(served[0], "tiny") as client:
            status, fields, body = client.ask("POST", "/v2/models/tiny/infer", [text, raw], {HEADER: str(len(text))})
        json_bytes = int(fields[HEADER.lower()])
        assert status == 200
        assert json.loads(body[:json_bytes])["outputs"][0]["parameters"] == {"binary_data_size": 12}
        np.testing.assert_array_equal(np.frombuffer(body[json_bytes:], "<f4"), answer(np.array(X), 0.5)[0])
    text = json.dumps({"inputs": [item]}).encode()
    _, _, told = ask("POST", "/v2/models/tiny/infer", text + raw, Inference_Header_Content_Length=str(len(text)))
    assert told["outputs"][0]["data"] == answer(np.array(X), 0.5)[0].tolist()


def test_a_body_without_json_is_the_only_input(served: tuple[int, LoadedModel]) -> None:
    raw = np.array(X * 2, "<f4").tobytes()
    with Client(served[0], "tiny") as client:
        status, fields, body = client.ask("POST", "/v2/models/tiny/infer", [raw], {HEADER: "0"})
    assert status == 200
    back = np.frombuffer(body[int(fields[HEADER.lower()]) :], "<f4").reshape(2, 3)
    np.testing.assert_array_equal(back, answer(np.array(X * 2), 0.5))


def test_several_samples_run_one_after_the_other_where_the_batch_is_fixed(served: tuple[int, LoadedModel]) -> None:
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    with Client(served[0], "tiny") as client:
        np.testing.assert_array_equal(client.infer({"x": x})["y"], answer(x, 0.5))


INFER = "/v2/models/tiny/infer"


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "said"),
    [
        ("GET", "/v2/models/tany", None, 404, "did you mean 'tiny'"),
        ("GET", "/v2/models/tiny/versions/9", None, 404, "unknown version"),
        ("POST", "/v2/models/other/infer", {}, 404, "unknown model"),
        ("GET", "/v3", None, 404, "no 'v3'"),
        ("GET", INFER, None, 405, "POST"),
        ("POST", "/v2/health/live", {}, 405, "GET"),
        ("POST", "/v2/repository/models/tiny/load", {}, 403, "agent"),
        ("POST", INFER, b"{", 400, "not JSON"),
        ("POST", INFER, b"[]", 400, "JSON object"),
        ("POST", INFER, b'{"inputs": NaN}', 400, "not JSON"),
        ("POST", INFER, {}, 400, "'inputs'"),
        ("POST", INFER, {"inputs": []}, 400, "missing"),
        ("POST", INFER, {"inputs": [{**ONE, "name": "z", "data": X}]}, 400, "unknown model input"),
        ("POST", INFER, {"inputs": [{**ONE, "data": X}] * 2}, 400, "twice"),
        ("POST", INFER, {"inputs": [{**ONE, "datatype": "FP64", "data": X}]}, 400, "FP32"),
        ("POST", INFER, {"inputs": [{**ONE, "datatype": "FP8", "data": X}]}, 400, "unknown datatype"),
        ("POST", INFER, {"inputs": [{**ONE, "shape": [4], "data": X[0]}]}, 400, "shape"),
        ("POST", INFER, {"inputs": [{**ONE, "shape": [65, 4], "data": X * 65}]}, 400, "at most 64"),
        ("POST", INFER, {"inputs": [{**ONE, "shape": [0, 4], "data": []}]}, 400, "shape"),
        ("POST", INFER, {"inputs": [{**ONE, "parameters": {"binary_data_size": 16}}]}, 400, "binary_data_size"),
        ("POST", INFER, {"inputs": [{**ONE, "data": X}], "outputs": [{"name": "z"}]}, 400, "unknown model output"),
        ("POST", INFER, {"inputs": [{**ONE, "data": X}], "id": 7}, 400, "id"),
        (
            "POST", INFER,
            {"inputs": [{**ONE, "data": X}], "outputs": [{"name": "y", "parameters": {"classification": 1}}]}, 400, "extension",
        ),
    ],
)  # fmt: skip
def test_errors_are_one_sentence_in_json(ask: Any, method: str, target: str, body: Any, status: int, said: str) -> None:
    found, _, told = ask(method, target, body)
    assert (found, list(told)) == (status, ["error"])
    assert said in told["error"]
    # The connection goes on, and so does the server.
    assert ask("POST", INFER, {"inputs": [{**ONE, "data": X}]})[0] == 200


def test_metrics_count_requests_samples_and_errors(build: Callable[..., Path]) -> None:
    model = LoadedModel(build(), 'a "b"\\c')
    tally = Tally()
    service = Service(model, tally)
    server = Server(service.handle, service.bound)
    with listen_port(0) as listener:
        server.listen(listener.dup())
        with Client(listener.getsockname()[1], model.name) as client:
            client.infer({"x": np.zeros((3, 4), np.float32)})
            client.infer({"x": np.zeros((1, 4), np.float32)})
            with pytest.raises(Exception, match="unknown model input"):
                client.infer({"z": np.zeros((1, 4), np.float32)})
            assert client.ask("POST", "/v2/models/a%20%22b%22%5Cc/infer", [b"{"])[0] == 400
            status, fields, body = client.ask("GET", "/metrics")
        assert server.drain(None, 5.0)
    assert (status, fields["content-type"].split(";")[0]) == (200, "text/plain")
    lines = body.decode().splitlines()
    labels = f'model="a \\"b\\"\\\\c",version="{model.version}"'
    for line in (
        f"edgewright_inference_requests_total{{{labels}}} 2",
        f"edgewright_inference_samples_total{{{labels}}} 4",
        f"edgewright_inference_executions_total{{{labels}}} 4",
        f'edgewright_inference_errors_total{{{labels},kind="request"}} 1',
        f'edgewright_inference_errors_total{{{labels},kind="mismatch"}} 1',
        f'edgewright_inference_request_seconds_bucket{{{labels},le="+Inf"}} 2',
        f"edgewright_inference_request_seconds_count{{{labels}}} 2",
    ):
        assert line in lines
    counts = [int(line.rsplit(" ", 1)[1]) for line in lines if "_bucket{" in line]
    assert counts == sorted(counts)


def test_pages_of_a_browser_cannot_ask_under_a_name_of_their_own(served: tuple[int, LoadedModel]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served[0])
    connection.request("GET", "/v2", headers={"Host": "evil.example:80"})
    assert connection.getresponse().status == 421
    connection.close()


def test_http_1_0_gets_an_answer_and_the_end(served: tuple[int, LoadedModel]) -> None:
    with socket.create_connection(("127.0.0.1", served[0])) as sock:
        sock.sendall(b"GET /v2/health/live HTTP/1.0\r\nHost: localhost\r\n\r\n")
        said = b"".join(iter(lambda: sock.recv(4096), b""))
    assert said.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in said


def test_requests_in_a_row_without_waiting_are_answered_in_order(served: tuple[int, LoadedModel]) -> None:
    one = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served[0])) as sock:
        sock.sendall(one * 3 + last)
        said = b"".join(iter(lambda: sock.recv(4096), b""))
    assert said.count(b"HTTP/1.1 200 OK") == 3
    assert said.index(b"404") > said.rindex(b"200 OK")


def test_a_client_that_waits_for_continue_gets_it(served: tuple[int, LoadedModel]) -> None:
    body = json.dumps({"inputs": [{**ONE, "data": X}]}).encode()
    with socket.create_connection(("127.0.0.1", served[0])) as sock:
        sock.sendall(
            b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        assert sock.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert b"".join(iter(lambda: sock.recv(4096), b"")).startswith(b"HTTP/1.1 200 OK")


def test_a_kept_connection_that_the_server_has_closed_is_opened_anew(build: Callable[..., Path], short: Path) -> None:
    service = Service(LoadedModel(build(0.5), "tiny"), Tally())
    server = Server(service.handle, service.bound, Times(idle=0.05))
    server.listen(listen_unix(short / "s"))
    with Client(short / "s", "tiny") as client:
        client.infer({"x": np.zeros((1, 4), np.float32)})
        first = client._sock
        time.sleep(0.3)
        client.infer({"x": np.zeros((1, 4), np.float32)})
        assert client._sock is not first
    with Client(short / "nobody", "tiny") as client, pytest.raises(NetworkError, match="is it being served"):
        client.infer({"x": np.zeros((1, 4), np.float32)})
    assert server.drain(None, 5.0)
