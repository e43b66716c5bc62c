from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
from edgewright.optimizer.report.types import Candidate, CompileReport, DataInfo, ModelInfo, TargetReport
from edgewright.optimizer.report.write import json_text


def _check(schema: Any, value: Any) -> None:
    jsonschema.Draft202012Validator(schema).validate(value)


def test_the_schema_is_one(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def test_reports_are_valid(schema: Any, example: CompileReport, refused: CompileReport) -> None:
    bare = CompileReport(ModelInfo("m", "", "onnx"), DataInfo("d", ""))
    empty = CompileReport(bare.model, bare.data, targets=(TargetReport("pi", "failed"),))
    least = CompileReport(
        bare.model, bare.data, targets=(TargetReport("pi", "passed", (Candidate("a", "b", "passed"),), "a/b"),)
    )
    for report in (example, refused, bare, empty, least):
        _check(schema, json.loads(json_text(report)))


def test_every_record_is_described_whole(schema: Any, example: CompileReport) -> None:
    value = example.to_json()
    assert set(value) == set(schema["properties"])
    target = value["targets"][0]
    assert set(target) == set(schema["$defs"]["target"]["properties"])
    assert set(target["candidates"][0]) == set(schema["$defs"]["candidate"]["properties"])
    assert set(target["verdicts"][0]) == set(schema["$defs"]["judgement"]["properties"])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("verdict",), "fine"),
        (("verdict",), "undecided"),
        (("released",), None),
        (("latency_ms", "p50"), "fast"),
        (("latency_ms", "p50"), -1.0),
        (("measured_on",), "simulator"),
        (("size_bytes",), 1.5),
        (("surprise",), 1),
    ],
)
def test_a_damaged_report_is_not_valid(schema: Any, example: CompileReport, place: tuple[str, ...], value: Any) -> None:
    damaged = copy.deepcopy(json.loads(json_text(example)))
    spot = damaged["targets"][0]
    for name in place[:-1]:
        spot = spot[name]
    spot[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        _check(schema, damaged)
