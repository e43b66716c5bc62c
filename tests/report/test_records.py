from __future__ import annotations

import json
import math

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.optimizer.gates.verdict import Verdict
from edgewright.optimizer.report.parts import (
    Flip,
    Judgement,
    KeptFloat,
    Latency,
    MetricValue,
    OperatorTime,
    Speedup,
    operator_times,
)
from edgewright.optimizer.report.types import MAX_FLIPS, Candidate, CompileReport, DataInfo, ModelInfo, TargetReport
from edgewright.optimizer.report.write import json_text, read_report, write_report
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

TEXT = st.text(max_size=12)
NUMBER = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(10**20), 10**20)
COUNT = st.none() | st.integers(0, 10**30)
SCALAR = st.none() | st.booleans() | NUMBER | TEXT
STATUS = st.sampled_from(["passed", "failed", "undecided"])
PLACE = st.sampled_from(["target", "emulated", "reference", None])
FREE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6)

JUDGEMENTS = st.builds(
    Judgement,
    metric=TEXT,
    status=STATUS | st.just("reported"),
    gate=st.sampled_from(["top1 >= -1pt", "auc >= -0.01", "top1 >= 99% of reference", "mae <= +0.05", "top1 report-only", ""])
    | TEXT,
    slice=st.none() | TEXT,
    measured=NUMBER,
    reference=NUMBER,
    candidate=NUMBER,
    low=NUMBER,
    high=NUMBER,
    bound=NUMBER,
    threshold=NUMBER,
    n=COUNT,
    n_needed=COUNT,
    why=TEXT,
    measured_on=PLACE,
)
CANDIDATES = st.builds(
    Candidate,
    runtime=TEXT,
    precision=TEXT,
    verdict=STATUS,
    variant=TEXT,
    measured_on=PLACE,
    size_bytes=COUNT,
    compressed_bytes=COUNT,
    latency_ms=st.none() | st.builds(Latency, NUMBER, NUMBER, NUMBER),
    speedup=st.none() | st.builds(Speedup, NUMBER, NUMBER, NUMBER),
    metrics=st.dictionaries(TEXT, st.builds(MetricValue, NUMBER, NUMBER, NUMBER, NUMBER, COUNT), max_size=2),
    verdicts=st.lists(JUDGEMENTS, max_size=3).map(tuple),
    operators=st.lists(st.builds(OperatorTime, TEXT, TEXT, NUMBER, NUMBER), max_size=2).map(tuple),
    kept_float=st.lists(st.builds(KeptFloat, TEXT, TEXT, TEXT), max_size=2).map(tuple),
    flips=st.lists(
        st.builds(Flip, st.integers(0, 10**9), SCALAR, SCALAR, SCALAR, st.sampled_from(["negative", "positive", "neither"])),
        max_size=2,
    ).map(tuple),
    seconds=NUMBER,
    missing=st.dictionaries(TEXT, TEXT, max_size=2),
)


@st.composite
def targets(draw: st.DrawFn) -> TargetReport:
    candidates = draw(st.lists(CANDIDATES, max_size=4, unique_by=lambda candidate: candidate.key))
    keys = [candidate.key for candidate in candidates]
    passed = [candidate.key for candidate in candidates if candidate.verdict == "passed"]
    chosen = draw(st.none() | st.sampled_from(passed)) if passed else None
    return TargetReport(
        profile=draw(TEXT),
        title=draw(TEXT),
        verdict="passed" if chosen is not None else draw(STATUS),
        candidates=tuple(candidates),
        chosen=chosen,
        artifact=draw(TEXT) if chosen is not None else None,
        baseline=draw(st.none() | st.sampled_from(keys)) if keys else None,
        why=draw(TEXT),
        help=tuple(draw(st.lists(TEXT, max_size=2))),
        conditions=draw(st.dictionaries(TEXT, FREE, max_size=2)),
    )


REPORTS = st.builds(
    CompileReport,
    model=st.builds(ModelInfo, TEXT, TEXT, TEXT, COUNT, COUNT, COUNT),
    data=st.builds(DataInfo, TEXT, TEXT, st.dictionaries(TEXT, st.integers(0, 10**9), max_size=3)),
    gates=st.lists(TEXT, max_size=2).map(tuple),
    targets=st.lists(targets(), max_size=2).map(tuple),
    seed=st.none() | st.integers(),
    ledger=st.dictionaries(TEXT, FREE, max_size=2),
    machine=st.dictionaries(TEXT, FREE, max_size=2),
)


def _finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(REPORTS)
def test_json_round_trips_and_is_finite(report: CompileReport) -> None:
    value = json.loads(json_text(report))
    assert _finite(value)
    assert CompileReport.from_json(value) == report
    assert CompileReport.from_json(value).to_json() == value


@settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate])
@given(REPORTS)
def test_any_report_is_shown(report: CompileReport) -> None:
    from pathlib import Path

    from edgewright.optimizer.report.html import render
    from edgewright.optimizer.report.terminal import report_text

    assert render(report).endswith("</html>\n")
    assert "report.html" in report_text(report, Path("out"))


def test_the_example_reads_back(example: CompileReport, refused: CompileReport) -> None:
    for report in (example, refused):
        assert CompileReport.from_json(json.loads(json_text(report))) == report


def test_numbers_of_numpy_and_nan_become_plain() -> None:
    latency = Latency(np.float32(1.5), float("nan"), np.float64("inf"))
    assert latency == Latency(1.5, None, None)
    assert type(latency.p50) is float
    assert type(MetricValue(n=np.int64(7)).n) is int


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(DataError, match="cannot hold a object"):
        Latency(object())
    with pytest.raises(DataError, match="cannot hold a ndarray"):
        CompileReport(ModelInfo("m", "", "onnx"), DataInfo("d", ""), machine={"a": np.zeros(3)})


def test_the_gates_verdict_is_taken_as_it_is() -> None:
    verdict = Verdict(
        "top1 >= -1pt", "top1", None, "passed", "it lies inside.", 0.05, 900, -0.002, 0.8, 0.798, bound=-0.007, threshold=-0.01
    )
    for given_verdict in (verdict, verdict.to_json()):
        candidate = Candidate("litert", "int8", "passed", verdicts=(given_verdict,))
        written = candidate.to_json()["verdicts"][0]
        assert written == verdict.to_json()


def test_operator_times_have_shares_and_an_order() -> None:
    rows = operator_times([("a", "Conv", 10.0), ("b", "Add", 30.0), ("c", "Mul", float("nan"))])
    assert [(row.name, row.share) for row in rows] == [("b", 0.75), ("a", 0.25), ("c", None)]
    assert operator_times([]) == ()


def test_flips_are_bounded_and_counted() -> None:
    flips = tuple(Flip(index, 1, 1, 0, "negative") for index in range(MAX_FLIPS + 20))
    candidate = Candidate("litert", "int8", "passed", flips=flips)
    assert (len(candidate.flips), candidate.flips_total) == (MAX_FLIPS, MAX_FLIPS + 20)


def test_a_target_names_only_what_is_there() -> None:
    one = Candidate("litert", "int8", "passed")
    with pytest.raises(DataError, match="no candidate of it"):
        TargetReport("pi", "passed", (one,), chosen="litert/float32")
    with pytest.raises(DataError, match="different variants"):
        TargetReport("pi", "passed", (one, one))
    with pytest.raises(DataError, match="only a pass may"):
        TargetReport("pi", "undecided", (one,), chosen="litert/int8")


@pytest.mark.parametrize("status", ["failed", "undecided"])
def test_a_candidate_that_did_not_pass_is_never_released(status: str) -> None:
    with pytest.raises(DataError, match="only a pass may"):
        TargetReport("pi", "passed", (Candidate("litert", "int8", status),), chosen="litert/int8")


def test_the_released_figures_stand_at_the_top(example: CompileReport) -> None:
    target = example.to_json()["targets"][0]
    winner = next(item for item in target["candidates"] if item["released"])
    assert target["released"]
    for name in (
        "runtime",
        "precision",
        "size_bytes",
        "compressed_bytes",
        "latency_ms",
        "speedup",
        "metrics",
        "verdicts",
        "measured_on",
        "artifact",
    ):
        assert target[name] == winner[name]


def test_files_are_written_and_read(example: CompileReport, tmp_path) -> None:
    json_path, html_path = write_report(example, tmp_path / "new" / "folder")
    assert read_report(json_path) == example
    assert html_path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert sorted(item.name for item in json_path.parent.iterdir()) == ["report.html", "report.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"report_version": 99}', '{"report_version": 1}', "[" * 100_000])
def test_a_file_that_is_no_report_is_refused(tmp_path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(DataError):
        read_report(path)
    with pytest.raises(DataError):
        read_report(tmp_path / "absent.json")
