"""Mutated requests against the parsers of serving: `python -m benchmarks.fuzz_serving [--seconds 600] [--parser request]`.

Three parsers, each for that time: the head of HTTP, the request of the Open Inference Protocol (JSON and binary, a model with
inputs of several types), and the client's reading of an answer. Seeds are valid messages; a mutation flips, cuts, repeats,
swaps or splices bytes, or puts in a token that matters. What is neither an answer nor one of the errors that the parser
declares ends the run with the bytes that did it, as does an input that takes a second of the processor.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence

import numpy as np
from edgewright.core.errors import ProtocolError
from edgewright.core.executor import TensorSpec
from edgewright.fleet.serve import client, head, oip
from edgewright.fleet.serve.refusal import Refusal

INPUTS = (TensorSpec("x", "float32", (1, 4)), TensorSpec("n", "int64", (None,)), TensorSpec("b", "bool", (1, None)))
OUTPUTS = (TensorSpec("y", "float32", (1, 3)),)
MAX_JSON = oip.limits(INPUTS).json
SLOW_S = 1.0
MAX_BYTES = 20_000
TOKENS = [
    b"\r\n", b"\n", b"\x00", b"Content-Length: 9", b"Transfer-Encoding: chunked", b"[", b"]", b"{", b"}", b'"', b",", b":",
    b"1e999", b"-1", b"18446744073709551616", b"NaN", b"null", b"true", b'"BYTES"', b'"BF16"', b'"FP16"',
    b'"binary_data_size":4', b'"shape":[0]', b'"data":[]', b'"parameters":{}', b"\\ud800", b"\xff", b"[" * 2000,
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parser", choices=list(targets()), help="only this one")
    given = parser.parse_args()
    for name, (seeds, run) in targets().items():
        if given.parser not in (None, name):
            continue
        count, refused = fuzz(seeds, run, given.seconds, random.Random(given.seed))
        print(f"{name}: {count:,} inputs in {given.seconds:.0f} s, {refused:,} refused, none mishandled")


def targets() -> dict[str, tuple[list[bytes], Callable[[bytes], object]]]:
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
    return {
        "head": (heads, head.parse),
        "request": ([length + binary, b"\xff\xff" + json.dumps(asked).encode(), b"\0\0" + bytes(16)], parse_request),
        "answer": ([answer, b"\xff\xff" + told], parse_answer),
    }


def parse_request(data: bytes) -> object:
    told = json_bytes(data)
    return oip.parse(memoryview(data)[2:], told, INPUTS if told != 0 else INPUTS[:1], OUTPUTS, MAX_JSON)


def parse_answer(data: bytes) -> object:
    return client.read_answer(data[2:], json_bytes(data))


def json_bytes(data: bytes) -> int | None:
    told = int.from_bytes(data[:2], "little")
    return None if told == 0xFFFF else told


def fuzz(seeds: Sequence[bytes], run: Callable[[bytes], object], seconds: float, draw: random.Random) -> tuple[int, int]:
    """How many inputs were run, and how many of them refused."""
    pool = list(seeds)
    for seed in seeds:
        run(seed)
    count = refused = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutate(draw.choice(pool), pool, draw)
        start = time.process_time()
        try:
            run(data)
        except (Refusal, ProtocolError):
            refused += 1
        except BaseException:
            print(f"mishandled: {data[:400]!r} ({len(data)} bytes)")
            raise
        else:
            # What is still accepted is a seed for more.
            if len(pool) < 500:
                pool.append(data)
        assert time.process_time() - start < SLOW_S, f"slow: {data[:400]!r} ({len(data)} bytes)"
        count += 1
    return count, refused


def mutate(data: bytes, pool: Sequence[bytes], draw: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at, to = sorted((draw.randint(0, len(made)), draw.randint(0, len(made))))
        kind = draw.randrange(6)
        if kind == 0 and made:
            made[min(at, len(made) - 1)] = draw.randrange(256)
        elif kind == 1:
            del made[at : min(to, at + 8)]
        elif kind == 2:
            made[at:at] = draw.choice(TOKENS)
        elif kind == 3:
            made[at:at] = made[at : min(to, at + 64)]
        elif kind == 4:
            other = draw.choice(pool)
            place = draw.randint(0, len(other))
            made[at:to] = other[place : place + draw.randint(0, 64)]
        else:
            del made[at:]
    return bytes(made[:MAX_BYTES])


if __name__ == "__main__":
    main()
