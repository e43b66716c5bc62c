"""Mutated requests against the parsers of serving: `python -m benchmarks.fuzz_serving [--seconds 600] [--parser request]`.

Three parsers: the head of HTTP, the request of the Open Inference Protocol (JSON and binary, a model with inputs of several
types), and the client's reading of an answer. What a run does, and what ends it, is in fuzzing.py.
"""

from __future__ import annotations

import json

import numpy as np
from edgewright.core.errors import ProtocolError
from edgewright.core.executor import TensorSpec
from edgewright.fleet.serve import client, head, oip
from edgewright.fleet.serve.refusal import Refusal

from . import fuzzing
from .fuzzing import Target

INPUTS = (TensorSpec("x", "float32", (1, 4)), TensorSpec("n", "int64", (None,)), TensorSpec("b", "bool", (1, None)))
OUTPUTS = (TensorSpec("y", "float32", (1, 3)),)
MAX_JSON = oip.limits(INPUTS).json
TOKENS = [
    b"\r\n", b"\n", b"\x00", b"Content-Length: 9", b"Transfer-Encoding: chunked", b"[", b"]", b"{", b"}", b'"', b",", b":",
    b"1e999", b"-1", b"18446744073709551616", b"NaN", b"null", b"true", b'"BYTES"', b'"BF16"', b'"FP16"',
    b'"binary_data_size":4', b'"shape":[0]', b'"data":[]', b'"parameters":{}', b"\\ud800", b"\xff", b"[" * 2000,
]  # fmt: skip


def targets() -> dict[str, Target]:
    """The parsers by name."""
    arrays = {"x": np.ones((1, 4), np.float32), "n": np.ones(1, np.int64), "b": np.ones((1, 2), np.bool_)}
    pieces = client.write_request(arrays)
    binary = b"".join(pieces)
    listed = [
        {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [[1, 2.5, -3, 4e2]]},
        {"name": "n", "datatype": "INT64", "shape": [1], "data": [7]},
        {"name": "b", "datatype": "BOOL", "shape": [1, 2], "data": [True, False], "parameters": {}},
    ]
    asked = {"id": "1", "inputs": listed, "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}
    ask = oip.Ask(arrays, {"y": True}, "1")
    formed = oip.form("m", "1", ask, {"y": np.ones((1, 3), np.float32)})
    answer = (formed.json_bytes or 0).to_bytes(2, "little") + b"".join(formed.pieces)
    told = b'{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[1,2]}]}'
    heads = [
        b"POST /v2/models/m/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nInference-Header-Content-Length: 4",
        b"GET /metrics?x=%20 HTTP/1.0\r\nConnection: keep-alive\r\nAccept: */*\r\nExpect: 100-continue",
    ]
    # The first two bytes of these say how many of the rest are JSON: 0xffff for all.
    length = len(pieces[0]).to_bytes(2, "little")
    requests = [length + binary, b"\xff\xff" + json.dumps(asked).encode(), b"\0\0" + bytes(16)]
    declared = (Refusal, ProtocolError)
    return {
        "head": Target(heads, head.parse, declared, TOKENS),
        "request": Target(requests, parse_request, declared, TOKENS),
        "answer": Target([answer, b"\xff\xff" + told], parse_answer, declared, TOKENS),
    }


def parse_request(data: bytes) -> object:
    told = json_bytes(data)
    return oip.parse(memoryview(data)[2:], told, INPUTS if told != 0 else INPUTS[:1], OUTPUTS, MAX_JSON)


def parse_answer(data: bytes) -> object:
    return client.read_answer(data[2:], json_bytes(data))


def json_bytes(data: bytes) -> int | None:
    told = int.from_bytes(data[:2], "little")
    return None if told == 0xFFFF else told


if __name__ == "__main__":
    fuzzing.main(targets(), __doc__)
