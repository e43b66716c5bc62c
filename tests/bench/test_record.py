"""The record of `edgewright bench`, read as strictly as it was written; rules, cost and fresh processes by themselves."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import onnx
import pytest
from edgewright.core.errors import DataError, RuntimeFailure
from edgewright.device_profiles.loader import load
from edgewright.runtimes.bench.cost import cost_of
from edgewright.runtimes.bench.fresh import fresh_start
from edgewright.runtimes.bench.measurement import Measurement
from edgewright.runtimes.bench.record import FIGURES, BenchReport, BenchResult, Figure, read_report, spread_of
from edgewright.runtimes.bench.rules import held, parse_rules

MEASURED = Measurement(
    2.0, 2.0, 3.0, 4.0, None, 0.0, (2.0,) * 5, 25_000, 10, False, 0.0, False, 1, "onnxruntime", "1", "cpu", ("avx2",), 1000,
    throughput=500.0, window_throughput=(500.0,) * 5, window_runs=(5000,) * 5, cold_start_ms=90.0, first_ms=5.0,
)  # fmt: skip
RESULT = BenchResult("m.onnx", "m", "0" * 64, 10, "onnxruntime", None, "here", 1, 1, measurement=MEASURED)
FULL = dataclasses.replace(RESULT, measured_on="target", profile="p", accuracy={"top1": Figure(0.9, 0.8, None, 0.95, 10)})


def report(*results):
    return BenchReport(results, spread_of(results)).to_json()


@pytest.mark.parametrize("value", [report(), report(RESULT), report(FULL, FULL)])
def test_a_report_round_trips_through_a_file(value, tmp_path):
    file = tmp_path / "report.json"
    file.write_text(json.dumps(value))
    assert read_report(file).to_json() == value


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("spread"),
        lambda value: value.update(schema="edgewright-bench-2"),
        lambda value: value.update(results={}),
        lambda value: value.update(surprise=1),
        lambda value: value["results"][0].pop("sha256"),
        lambda value: value["results"][0].update(surprise=1),
        lambda value: value["results"][0].update(threads="1"),
        lambda value: value["results"][0].update(batch=True),
        lambda value: value["results"][0].update(measured_on="here"),
        lambda value: value["results"][0].update(measurement=[]),
        lambda value: value["results"][0]["measurement"].update(throughput="fast"),
        lambda value: value["results"][0]["measurement"].update(window_runs=[1.5]),
        lambda value: value["results"][0]["accuracy"].update(top1={"value": 1}),
        lambda value: value["results"][0]["accuracy"]["top1"].update(value=None),
        lambda value: value["results"][0]["accuracy"]["top1"].update(low=float("nan")),
        lambda value: value["spread"][0].update(low="little"),
    ],
)
def test_what_is_no_report_is_refused_by_the_file_s_name(change, tmp_path):
    value = report(FULL, FULL)
    change(value)
    file = tmp_path / "report.json"
    file.write_text(json.dumps(value))
    with pytest.raises(DataError, match=r"report\.json: .+[.]$"):
        read_report(file)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_json_of_ours_is_refused(data, tmp_path):
    file = tmp_path / "report.json"
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"report\.json"):
        read_report(file)
    with pytest.raises(DataError, match="cannot read"):
        read_report(tmp_path / "none.json")


def test_spread_is_of_the_same_file_runtime_threads_batch_and_profile():
    def at(p50, **changes):
        return dataclasses.replace(RESULT, measurement=dataclasses.replace(MEASURED, p50_ms=p50), **changes)

    found = spread_of([at(1.0), at(5.0), at(2.0), at(9.0, threads=2), at(9.0, sha256="1" * 64), at(9.0, profile="p")])
    assert {item.figure for item in found} == set(FIGURES)
    (p50,) = [item for item in found if item.figure == "p50_ms"]
    assert (p50.n, p50.low, p50.middle, p50.high) == (3, 1.0, 2.0, 5.0)
    emulated = dataclasses.replace(RESULT, measurement=None)
    assert spread_of([emulated, emulated, RESULT]) == ()


@pytest.mark.parametrize(
    ("rules", "measured", "accuracy", "is_kept"),
    [
        ("mlperf-tiny", MEASURED, None, True),
        ("mlperf-tiny", dataclasses.replace(MEASURED, window_runs=(5000, 5000, 5000, 5000, 4999)), None, False),
        ("mlperf-tiny", dataclasses.replace(MEASURED, window_runs=(9,) * 5, window_throughput=(0.5,) * 5), None, False),
        ("mlperf-tiny", dataclasses.replace(MEASURED, window_runs=(5000,) * 4, window_throughput=(500.0,) * 4), None, False),
        ("mlperf-tiny:ic", MEASURED, None, False),
        ("mlperf-tiny:ic", MEASURED, {"top1": Figure(0.85, 0.7, 0.9, 0.95, 200)}, True),
        ("mlperf-tiny:ic", MEASURED, {"top1": Figure(0.845, 0.7, 0.9, 0.95, 200)}, False),
        ("mlperf-tiny:ic", MEASURED, {"top1": Figure(0.9, 0.8, 0.95, 0.95, 199)}, False),
        ("mlperf-tiny:ad", MEASURED, {"auc": Figure(0.86, None, None, 0.95, 248)}, True),
        ("mlperf-tiny:ad", MEASURED, {"top1": Figure(0.99, None, None, 0.95, 248)}, False),
    ],
)
def test_mlperf_tiny_s_rules_are_kept_or_said_not_to_be(rules, measured, accuracy, is_kept):
    found = held(parse_rules(rules), measured, accuracy)
    assert found["is_kept"] is is_kept
    assert found["score"] == 500.0
    assert len(found["asks"]) == len(found["did"]) == (2 if ":" in rules else 1)


def test_the_rules_own_windows_are_asked_of_the_harness():
    budget = parse_rules("mlperf-tiny").budget
    assert (budget.windows, budget.runs, budget.least_runs, budget.window_s) == (5, 10, 10, 10.0)
    assert budget.most_runs > 10 / 1e-6


PI = load("raspberry-pi-4b")


@pytest.mark.parametrize(
    ("profile", "price_per_kwh", "per_million", "kwh"),
    [
        (dataclasses.replace(PI, price_per_hour=0.36, power_w=None), None, 0.1, None),
        (dataclasses.replace(PI, price_per_hour=0.36, power_w=36.0), None, 0.1, 0.01),
        (dataclasses.replace(PI, price_per_hour=0.36, power_w=36.0), 0.5, 0.105, 0.01),
        (dataclasses.replace(PI, power_w=36.0), 0.5, 0.005, 0.01),
        (dataclasses.replace(PI, power_w=36.0), None, None, 0.01),
        (dataclasses.replace(PI, price_per_hour=0.0, power_w=None), None, 0.0, None),
    ],
)
def test_cost_of_a_million_predictions_at_a_thousand_a_second(profile, price_per_kwh, per_million, kwh):
    found = cost_of(1000.0, profile, price_per_kwh)
    assert found["per_million"] == (None if per_million is None else pytest.approx(per_million))
    assert found["kwh_per_million"] == (None if kwh is None else pytest.approx(kwh))


def test_no_cost_without_a_price_a_power_or_a_throughput():
    assert cost_of(1000.0, load("x86-64-avx2"), 0.5) is None
    assert cost_of(1000.0, None, 0.5) is None
    assert cost_of(None, PI, 0.5) is None


def test_a_fresh_process_says_what_is_wrong_with_the_file(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"garbage")
    with pytest.raises(RuntimeFailure, match=r"broken\.onnx: ONNX Runtime cannot load"):
        fresh_start(broken, 1, 1)


def test_a_fresh_process_that_dies_is_told_by_its_signal(tmp_path, monkeypatch):
    dies = [sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"]
    monkeypatch.setattr("edgewright.runtimes.bench.fresh.child_command", lambda *given: dies)
    with pytest.raises(RuntimeFailure, match=r"m\.onnx: a fresh process crashed on it \(signal 11\)"):
        fresh_start(tmp_path / "m.onnx", 1, 1)


def test_more_weights_are_more_memory_in_a_fresh_process(tmp_path):
    text = '<ir_version: 9, opset_import: ["" : 17]> g (float[1,32] x) => (float[1,N] y) <float[32,N] w> { y = MatMul(x, w) }'
    grown = []
    for width in (8, 200_000):
        proto = onnx.parser.parse_model(text.replace("N]", f"{width}]"))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((32, width), np.float32), "w"))
        file = tmp_path / f"{width}.onnx"
        file.write_bytes(proto.SerializeToString())
        found = fresh_start(file, 1, 1)
        assert found.cold_ms > found.first_ms > 0
        assert found.peak_bytes > found.growth_bytes
        grown.append(found.growth_bytes)
    assert grown[1] - grown[0] > 32 * 200_000 * 4 / 2
