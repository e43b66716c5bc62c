"""Profiles that are unknown or impossible, runtimes that lack an operator, and the exit code of several profiles."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgewright.device_profiles import loader
from edgewright.optimizer import work as work_module
from edgewright.optimizer.build import Builder
from onnx import TensorProto, helper

Run = Callable[..., Any]


@pytest.fixture
def board(tmp_path: Path) -> Callable[..., Path]:
    """`board(name=..., kind=...)`: the file of a profile like arm64-linux, with other facts."""

    def save(**facts: str) -> Path:
        lines = loader.to_toml(loader.load("arm64-linux")).splitlines()
        for key, value in facts.items():
            written = value if key == "name" else f'{{ value = {value}, source = "test" }}'
            lines = [f"{key} = {written}" if line.startswith(f"{key} =") else line for line in lines]
        path = tmp_path / f"board-{len(list(tmp_path.glob('board-*')))}.toml"
        path.write_text("\n".join(lines), "utf-8")
        return path

    return save


@pytest.mark.parametrize("command", ["compile", "show"])
def test_an_unknown_profile_offers_the_nearest(compile: Run, edge: Run, command: str) -> None:
    name = "raspbery-pi-5"
    answer = compile("--profile", name) if command == "compile" else edge("profiles", "show", name)
    answer.refused("E-PROFILE", "unknown profile 'raspbery-pi-5'", "did you mean 'raspberry-pi-5'?")


@pytest.mark.parametrize("kind", ["microcontroller", "accelerator"])
def test_what_has_no_runtime_is_refused_with_that_reason(compile: Run, board: Run, kind: str) -> None:
    compile("--profile", board(kind=f'"{kind}"')).refused("E-PROFILE", "is refused because no runtime for", kind, "kind 'cpu'")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"name": '"../up"'}, ["name must be letters, digits"]),
        ({"name": '""'}, ["name must be letters, digits"]),
        ({"arch": '"vax"'}, ["unknown arch 'vax'"]),
        ({"cores": "0"}, ["cores must be a whole number from 1"]),
        ({"threads": "64"}, ["threads is 64, more than the 4 cores"]),
        ({"isa": '["avx2"]'}, ["unknown instruction set 'avx2'"]),
        ({"runtimes": '["tensorrt"]'}, ["unknown runtime 'tensorrt'"]),
    ],
)
def test_a_profile_with_a_wrong_fact_is_refused(compile: Run, board: Run, facts: dict[str, str], words: list[str]) -> None:
    compile("--profile", board(**facts)).refused("E-PROFILE", "board-0.toml", *words)


def test_a_profile_that_is_no_file_or_no_toml_is_refused(compile: Run, tmp_path: Path) -> None:
    compile("--profile", "none.toml").refused("E-PROFILE", "there is no profile file none.toml")
    (tmp_path / "broken.toml").write_bytes(b"\xff = =")
    compile("--profile", "broken.toml").refused("E-PROFILE", "broken.toml is not TOML")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], ["no device profile is given", "--profile"]),
        (["--profile", "arm64-linux", "--profile", "arm64-linux"], ["'arm64-linux' is given twice", "name it once"]),
        (["--profile", "arm64-linux", "--runtime", "openvino"], ["does not run openvino", "onnxruntime, litert"]),
        (["--profile", "arm64-linux", "--runtime", "tflite"], ["unknown runtime 'tflite'"]),
        (["--profile", "arm64-linux", "--precision", "int9"], ["unknown precision 'int9'", "did you mean 'int8'?"]),
        (["--profile", "arm64-linux", "--objective", "sise"], ["unknown objective 'sise'", "did you mean 'size'?"]),
        (["--profile", "arm64-linux", "--threads", "0"], ["threads is 0", "at least 1"]),
        (["--profile", "arm64-linux", "--threads", "2000"], ["threads is 2000", "at most 1024"]),
        (["--profile", "arm64-linux", "--seed", "-1"], ["seed is -1", "at least 0"]),
        (["--profile", "arm64-linux", "--seed", "9" * 30], ["seed is 999", "below"]),
        (["--profile", "arm64-linux", "--name", "../up"], ["the name '../up'"]),
        (["--profile", "arm64-linux", "--name", "two\nlines"], ["the name 'two\\nlines'"]),
        (["--profile", "arm64-linux", "--name", "x" * 200], ["the name 'xxx"]),
        (["--profile", "arm64-linux", "--name", ""], ["the name ''"]),
    ],
)
def test_requests_that_no_profile_can_meet(edge: Run, digits: tuple[Path, Path], flags: list[str], words: list[str]) -> None:
    answer = edge("compile", digits[0], "--data", digits[1], "--out", "out", "--store", "store", *flags)
    answer.refused("E-USAGE", *words)


@pytest.fixture
def choosing(model: Run) -> Path:
    """A model with control flow: one branch or the other by the sum of a layer."""
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(kind, ["h"], [name])], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        )
        for name, kind in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], transB=1),
        helper.make_node("ReduceSum", ["h"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["is_positive"]),
        helper.make_node("If", ["is_positive"], ["s"], **branches),
    ]
    weights = {"w": np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32), "zero": np.array(0, np.float32)}
    made: Path = model(nodes, {"x": [1, 8]}, {"s": [1, 4]}, weights)
    return made


def test_a_runtime_that_lacks_an_operator_says_so_and_others_go_on(compile: Run, choosing: Path, npz: Run) -> None:
    data = npz(x=np.random.default_rng(1).normal(size=(200, 8)).astype(np.float32))
    answer = compile(
        "--runtime", "onnxruntime", "--runtime", "litert", "--json", model=choosing, data=data, gate="agreement >= 80%"
    )
    assert answer.code == 0, answer.err
    target = json.loads(answer.out)["targets"][0]
    assert target["runtime"] == "onnxruntime"
    lacking = next(item for item in target["candidates"] if item["runtime"] == "litert")
    assert lacking["verdict"] == "failed"
    assert lacking["why"].startswith("litert cannot run 1 node of this model: If (")
    assert lacking["why"].endswith("; try another runtime.")
    assert ".)" not in lacking["why"]


def test_where_no_runtime_can_run_it_nothing_is_released(compile: Run, choosing: Path, npz: Run) -> None:
    data = npz(x=np.random.default_rng(1).normal(size=(200, 8)).astype(np.float32))
    answer = compile("--runtime", "litert", "--json", model=choosing, data=data, gate="agreement >= 80%")
    assert answer.code == 2
    assert not any(name.endswith(".ewa") for name in answer.written)
    target = json.loads(answer.out)["targets"][0]
    assert "litert cannot run 1 node" in target["why"]


def test_a_mistake_in_one_candidate_does_not_end_the_others(compile: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Builder.build

    def build(self: Any, runtime: str, *given: Any) -> Any:
        if runtime == "litert":
            raise KeyError("nobody foresaw this")
        return real(self, runtime, *given)

    monkeypatch.setattr(Builder, "build", build)
    answer = compile("--runtime", "litert", "--runtime", "onnxruntime", "--json")
    assert answer.code == 0, answer.err
    whys = {item["runtime"]: item["why"] for item in json.loads(answer.out)["targets"][0]["candidates"]}
    assert "litert/float32 stopped on a mistake of the compiler (KeyError: 'nobody foresaw this')" in whys["litert"]


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["passed", "passed"], 0),
        (["passed", "undecided"], 3),
        (["undecided", "failed"], 2),
        (["failed", "undecided", "passed"], 2),
    ],
)
def test_a_failed_profile_counts_before_an_undecided_one(
    compile: Run, board: Run, monkeypatch: pytest.MonkeyPatch, statuses: list[str], code: int
) -> None:
    wanted = {f"board-{index}": status for index, status in enumerate(statuses)}
    real = work_module.decide

    def decide(kit: Any, profile: Any, *given: Any) -> Any:
        found = real(kit, profile, *given)
        status = wanted[profile.name]
        return found if status == "passed" else dataclasses.replace(found, status=status, chosen=None)

    monkeypatch.setattr(work_module, "decide", decide)
    flags = [item for name in wanted for item in ("--profile", board(name=f'"{name}"'))]
    answer = compile(*flags)
    assert answer.code == code, answer.err
    released = [f"digits-{name}.ewa" for name, status in wanted.items() if status == "passed"]
    assert [name for name in answer.written if name.endswith(".ewa")] == released


def test_a_gate_that_fails_is_2_and_one_that_cannot_tell_is_3(compile: Run) -> None:
    answer = compile(gate="top1 >= +50pt")
    assert answer.code == 2
    assert answer.written == ["measurements.json", "report.html", "report.json"]
    assert compile(gate="top1 >= -0.01pt").code == 3


def test_json_is_all_that_is_printed(compile: Run) -> None:
    answer = compile("--json")
    assert answer.code == 0
    assert answer.err == ""
    assert json.loads(answer.out)["targets"][0]["released"]
    answer = compile("--json", gate="top1 >= +50pt")
    assert answer.code == 2
    assert not json.loads(answer.out)["targets"][0]["released"]
