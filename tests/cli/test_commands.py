"""`opt`, `gate`, `bench`, `inspect`, `verify` and `run` given what they cannot use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

Run = Callable[..., Any]
Arrays = Mapping[str, np.ndarray]


@pytest.fixture
def files(digits: tuple[Path, Path], tmp_path: Path) -> None:
    """digits.onnx and data.npz of the digits, beside files that are neither."""
    shutil.copy(digits[0], tmp_path / "digits.onnx")
    with np.load(digits[1]) as file:
        x, y, half = (file[name][:400] for name in ("x", "y", "half"))
    np.savez(tmp_path / "data.npz", x=x, y=y, half=half)
    np.savez(tmp_path / "nan.npz", x=np.full_like(x, np.nan), y=y)
    np.savez(tmp_path / "unlabelled.npz", x=x)
    np.savez(tmp_path / "one.npz", x=x[:1], y=y[:1])
    np.savez(tmp_path / "same.npz", x=x, y=np.zeros_like(y))
    np.savez(tmp_path / "narrow.npz", x=x[..., :5], y=y)
    for name in ("junk.onnx", "junk.tflite", "junk.xml", "junk.bin", "junk.ewa", "notes.txt"):
        (tmp_path / name).write_bytes(b"junk")
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "empty.ewa").write_bytes(b"")


pytestmark = pytest.mark.usefixtures("files")
QUANTIZE = ["digits.onnx", "--pipeline", "quantize", "--profile", "arm64-linux", "--data", "data.npz"]


def _with(arguments: list[str], **changes: str) -> list[str]:
    return [changes.get(before.strip("-"), item) for before, item in zip(["", *arguments], arguments, strict=False)]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["none.onnx", "--pipeline", "canonicalize"], "E-MODEL", ["none.onnx", "No such file", "check the path"]),
        (["junk.onnx", "--pipeline", "canonicalize"], "E-MODEL", ["junk.onnx is not an ONNX model"]),
        (["folder.onnx", "--pipeline", "canonicalize"], "E-MODEL", ["folder.onnx is a folder"]),
        (["digits.onnx", "--pipeline", "canonicalise"], "E-PASS", ["'canonicalise'", "did you mean 'canonicalize'?"]),
        (["digits.onnx", "--pipeline", "fold-bn{"], "E-PASS", ["cannot read the pipeline at 'fold-bn{'"]),
        (["digits.onnx", "--pipeline", "canonicalize,,fold-bn"], "E-PASS", ["cannot read the pipeline"]),
        (["digits.onnx", "--pipeline", "quantize{bitz=8}"], "E-PASS", ["unknown option 'bitz'"]),
        (["digits.onnx", "--pipeline", "quantize{mode=dynamic}"], "E-PASS", ["'mode'", "unknown value 'dynamic'"]),
        (["digits.onnx", "--pipeline", "canonicalize", "--print-after", "fold-bn"], "E-USAGE", ["'fold-bn' is not a pass"]),
        (["digits.onnx", "--pipeline", "quantize"], "E-USAGE", ["needs a target", "--profile"]),
        (["digits.onnx", "--pipeline", "quantize", "--profile", "arm64-linux"], "E-USAGE", ["needs samples", "--data"]),
        (_with(QUANTIZE, profile="arm65-linux"), "E-PROFILE", ["'arm65-linux'", "did you mean 'arm64-linux'?"]),
        ([*QUANTIZE, "--runtime", "litter"], "E-USAGE", ["unknown runtime 'litter'", "did you mean 'litert'?"]),
        (_with(QUANTIZE, data="none.npz"), "E-DATA", ["there is no file or folder none.npz"]),
        (_with(QUANTIZE, data="nan.npz"), "E-DATA", ["sample 0 of 'x'", "not a finite number"]),
        (_with(QUANTIZE, data="narrow.npz"), "E-DATA", ["[?, 1, 8, 8]", "[?, 1, 8, 5]"]),
        ([*QUANTIZE, "--calib-samples", "0"], "E-USAGE", ["'--calib-samples'", "x>=1"]),
        ([*QUANTIZE, "--preprocess", "resise=8"], "E-USAGE", ["unknown preprocessing step 'resise'"]),
        (_with(QUANTIZE, pipeline="quantize{keep-float=conw}"), "E-PASS", ["'conw'"]),
    ],
)
def test_opt(edge: Run, arguments: list[str], kind: str, words: list[str]) -> None:
    edge("opt", *arguments, "--out", "out/made.onnx").refused(kind, *words)


JUDGE = ["digits.onnx", "digits.onnx", "--data", "data.npz"]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["none.onnx", *JUDGE[1:]], "E-RUNTIME", ["none.onnx", "No such file", "check the path"]),
        ([JUDGE[0], "junk.onnx", *JUDGE[2:]], "E-RUNTIME", ["junk.onnx", "ONNX Runtime cannot load this file"]),
        ([JUDGE[0], "junk.tflite", *JUDGE[2:]], "E-RUNTIME", ["junk.tflite", "LiteRT cannot load", "check that it is a model"]),
        ([JUDGE[0], "junk.xml", *JUDGE[2:]], "E-RUNTIME", ["junk.xml", "OpenVINO cannot load"]),
        ([JUDGE[0], "junk.ewa", *JUDGE[2:]], "E-ARTIFACT", ["junk.ewa cannot be trusted"]),
        ([JUDGE[0], "notes.txt", *JUDGE[2:]], "E-USAGE", ["notes.txt: unknown kind of model file '.txt'"]),
        (_with(JUDGE, data="none.npz"), "E-DATA", ["there is no file or folder none.npz"]),
        (_with(JUDGE, data="nan.npz"), "E-DATA", ["sample 0 of 'x'", "not a finite number"]),
        (_with(JUDGE, data="narrow.npz"), "E-DATA", ["[?, 1, 8, 8]", "[?, 1, 8, 5]"]),
        (_with(JUDGE, data="one.npz"), "E-DATA", ["1 labelled sample"]),
        (_with(JUDGE, data="same.npz"), "E-DATA", ["all 400 labels are class 0"]),
        ([*_with(JUDGE, data="unlabelled.npz"), "--gate", "top1 >= -1pt"], "E-GATE", ["top1 needs labels", "add labels"]),
        ([*JUDGE, "--gate", "tpo1 >= -1pt"], "E-GATE", ["unknown metric 'tpo1'", "did you mean 'top1'?"]),
        ([*JUDGE, "--gate", "top1[hafl] >= -1pt"], "E-GATE", ["unknown column 'hafl'", "did you mean 'half'?"]),
        ([*JUDGE, "--gate", ""], "E-GATE", ["the gate '' cannot be read"]),
        ([*JUDGE, "--labels", "yy"], "E-DATA", ["unknown label array 'yy'", "did you mean 'y'?"]),
        ([*JUDGE, "--threads", "0"], "E-USAGE", ["'--threads'", "1<=x<=1024"]),
    ],
)
def test_gate(edge: Run, arguments: list[str], kind: str, words: list[str]) -> None:
    edge("gate", *arguments).refused(kind, *words)


def test_gate_fails_what_answers_in_another_shape(edge: Run, model: Run) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["s"], transB=1),
    ]
    other = model(nodes, {"x": ["n", 1, 8, 8]}, {"s": ["n", 3]}, {"w": np.ones((3, 1), np.float32)})
    answer = edge("gate", "digits.onnx", other, "--data", "data.npz", "--gate", "top1 >= -1pt", "--json")
    assert answer.code == 2
    verdict = json.loads(answer.out)["verdicts"][0]
    assert verdict["status"] == "failed"
    assert "shape" in verdict["why"]


@pytest.mark.parametrize(("gate", "code"), [("top1 >= -10pt", 0), ("top1 >= +90pt", 2), ("top1 >= -0.01pt", 3)])
def test_gate_has_an_exit_code_for_each_verdict(edge: Run, gate: str, code: int) -> None:
    answer = edge("gate", *JUDGE, "--gate", gate, "--json")
    assert answer.code == code
    assert answer.err == ""
    assert json.loads(answer.out)["status"] == {0: "passed", 2: "failed", 3: "undecided"}[code]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["none.onnx"], "E-RUNTIME", ["none.onnx", "No such file", "check the path"]),
        (["folder.onnx"], "E-RUNTIME", ["folder.onnx", "Is a directory"]),
        (["junk.onnx"], "E-RUNTIME", ["cannot load"]),
        (["junk.tflite"], "E-RUNTIME", ["cannot load"]),
        (["junk.xml"], "E-RUNTIME", ["junk.xml: OpenVINO cannot load this file: Model can't be parsed; check"]),
        (["empty.ewa"], "E-ARTIFACT", ["empty.ewa cannot be trusted"]),
        (["notes.txt"], "E-USAGE", ["unknown kind of model file '.txt'"]),
        (["digits.onnx", "--against", "none.onnx"], "E-RUNTIME", ["none.onnx"]),
        (["digits.onnx", "--threads", "0"], "E-USAGE", ["'--threads'"]),
    ],
)
def test_bench(edge: Run, arguments: list[str], kind: str, words: list[str]) -> None:
    edge("bench", *arguments).refused(kind, *words)


@pytest.mark.parametrize("command", ["inspect", "verify", "run"])
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("none.ewa", ["none.ewa", "No such file", "check the path"]),
        ("folder.onnx", ["folder.onnx", "Is a directory"]),
        ("junk.ewa", ["junk.ewa cannot be trusted", "fetch or compile the artifact again"]),
        ("empty.ewa", ["empty.ewa cannot be trusted"]),
        ("digits.onnx", ["digits.onnx is no artifact", "the .ewa file that `edgewright compile` wrote"]),
        ("data.npz", ["data.npz cannot be trusted"]),
    ],
)
def test_what_is_no_artifact(edge: Run, command: str, file: str, words: list[str]) -> None:
    more = ["--input", "data.npz", "--output", "out/made.npz"] if command == "run" else []
    edge(command, file, *more).refused("E-ARTIFACT", *words)


@pytest.mark.parametrize("file", ["none.ewa", "junk.ewa"])
def test_verify_in_json_says_no_in_json(edge: Run, file: str) -> None:
    answer = edge("verify", file, "--json")
    assert answer.code == 1
    assert answer.err == ""
    found = json.loads(answer.out)
    assert found["ok"] is False
    assert found["code"] == "E-ARTIFACT"
    assert file in found["error"]
