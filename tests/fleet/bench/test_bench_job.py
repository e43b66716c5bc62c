"""Jobs and outcomes are read strictly, and come back as they were."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from bench.outcomes import MEASUREMENT, job, measured
from edgewright.core.canonical import dumps
from edgewright.core.errors import ProtocolError
from edgewright.fleet.protocol.bench_job import WAITING, Next, Told, waiting

OUTCOME = Told(measured(7)).encode()


def test_what_was_told_is_read() -> None:
    for told in (Told(), Told(measured(7)), Told(measured(7, end="refused", why="hot", measurement=None))):
        assert Told.decode(told.encode()) == told
    for answer in (Next(), Next(job())):
        assert Next.decode(answer.encode()) == answer


def test_a_run_that_waits_is_a_number_or_nothing() -> None:
    assert waiting({WAITING: "12"}) == 12
    for text in ("", "0", "-1", "1.0", " 1", "1" * 17, "\u0661"):
        assert waiting({WAITING: text}) is None


def changed(path: tuple[Any, ...], value: Any) -> bytes:
    told = json.loads(OUTCOME)
    place = told
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return dumps(told)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("outcome", "run"), 0), (("outcome", "run"), True), (("outcome", "end"), "ran"), (("outcome", "end"), "failed"),
        (("outcome", "measurement"), None), (("outcome", "command"), "rm"), (("outcome", "why"), "x" * 1001),
        (("outcome", "cpu", "flags"), ["a", "a"]), (("outcome", "cpu", "flags"), ["a"] * 1001), (("outcome", "cpu", "more"), 1),
        (("outcome", "serving"), -1), (("outcome", "health", "during"), [{}]),
        (("outcome", "health", "disturbed"), ["x" * 201]),
        (("outcome", "health", "before", "celsius"), 1e300), (("outcome", "health", "before", "volts"), 1.0),
        (("outcome", "measurement", "median_ms"), 0.0), (("outcome", "measurement", "median_ms"), 1e300),
        (("outcome", "measurement", "median_ms"), "2"), (("outcome", "measurement", "window_ms"), []),
        (("outcome", "measurement", "cpu"), "x" * 301), (("outcome", "measurement", "unknown"), 1), (("more",), 1),
    ],
)  # fmt: skip
def test_what_no_device_tells_is_refused(path: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(ProtocolError, match=r"\.$"):
        Told.decode(changed(path, value))


@pytest.mark.parametrize(
    "changes",
    [
        {"run": 0}, {"sha256": "ab"}, {"threads": 0}, {"threads": 2000}, {"batch": 0}, {"windows": 101}, {"deadline_s": 0.0},
        {"deadline_s": 1e9}, {"deadline_s": 5}, {"name": "x" * 301},
    ],
)  # fmt: skip
def test_a_job_that_no_server_gives_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match=r"\.$"):
        Next.decode(dumps({"job": {**job().to_json(), **changes}}))


def test_an_outcome_has_no_infinity_and_a_bounded_size() -> None:
    with pytest.raises(ProtocolError):
        Told(replace(measured(1), measurement=replace(MEASUREMENT, p99_ms=math.inf))).encode()
    with pytest.raises(ProtocolError, match="bytes"):
        Told(replace(measured(1), measurement=replace(MEASUREMENT, window_ms=(1.25,) * 20_000))).encode()
