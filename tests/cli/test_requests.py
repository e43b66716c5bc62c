"""Requests that cannot be met: unknown names offer the nearest, every refusal is one sentence, help has an example."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgewright.device_profiles.loader import known

Run = Callable[..., Any]
COMMANDS = ("compile", "recipes", "opt", "profiles", "bench", "gate", "inspect", "verify", "run")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bogus"], ["unknown command 'bogus'", "known: agent, audit, bench, check, ci, compile"]),
        (["compil"], ["unknown command 'compil'", "did you mean 'compile'?"]),
        (["profiles", "lst"], ["'lst'", "did you mean 'list'?"]),
        (["compile"], ["missing argument 'MODEL'", "see `edgewright compile --help`"]),
        (["compile", "m.onnx", "--prfile", "x"], ["unknown option '--prfile'", "did you mean '--profile'?"]),
        (["compile", "m.onnx", "--threads", "many"], ["'--threads'", "not a valid integer"]),
        (["compile", "m.onnx", "--data"], ["'--data' requires an argument"]),
        (["inspect", "a.ewa", "b.ewa"], ["unexpected extra argument"]),
        (["opt", "m.onnx"], ["missing option '--pipeline'"]),
        (["gate", "a.onnx", "b.onnx"], ["missing option '--data'"]),
        (["run", "a.ewa"], ["missing option '--input'"]),
        (["bench", "a.ewa", "--rounds", "1"], ["'--rounds'", "5<=x<=10000"]),
    ],
)
def test_what_the_command_line_cannot_read_is_one_sentence(edge: Run, arguments: list[str], words: list[str]) -> None:
    edge(*arguments).refused("E-USAGE", *words)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "no device profile is given"),
        (["--profile", "arm64-linx"], "did you mean 'arm64-linux'?"),
        (["--profile", "arm64-linux", "--gate", "top1"], "top1"),
        (["--profile", "arm64-linux", "--runtime", "tflite"], "unknown runtime"),
        (["--profile", "arm64-linux", "--shape", "x=a"], "not sizes joined by x"),
        (["--profile", "arm64-linux", "--recipe", "smal"], "did you mean 'small'?"),
        (["--profile", "arm64-linux", "--recipe", "small", "--budget", "soon"], "the budget 'soon' is no time"),
        (["--profile", "arm64-linux", "--teacher", "t.onnx"], "nothing trains"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_heavy_is_loaded(flags: list[str], words: str) -> None:
    code = (
        "import sys; from edgewright.cli.main import main\n"
        f"try: main(['compile', 'm.onnx', '--data', 'd.npz', *{flags!r}])\n"
        "finally: print(sorted({'onnx', 'onnx_ir', 'onnxruntime', 'openvino', 'pandas', 'scipy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(edge: Run, command: str) -> None:
    answer = edge(command, "--help")
    assert answer.code == 0
    assert "Example: edgewright" in answer.out
    assert answer.err == ""


def test_examples_name_artifacts_as_compile_does(edge: Run) -> None:
    root = Path(__file__).parents[2]
    texts = [edge(command, "--help").out for command in COMMANDS]
    texts += [file.read_text("utf-8") for file in (root / "README.md", *(root / "docs").glob("*.md"))]
    named = [name for text in texts for name in re.findall(r"dist/([\w.-]+)\.ewa", text)]
    assert len(named) >= 8
    assert [name for name in named if name.partition("-")[2] not in known()] == []


def test_help_of_the_group_lists_every_command(edge: Run) -> None:
    answer = edge("--help")
    assert answer.code == 0
    assert "Example: edgewright compile" in answer.out
    assert all(f"\n  {command} " in answer.out for command in COMMANDS)


@pytest.mark.parametrize("place", [0, -1])
def test_debug_shows_the_traceback_wherever_it_stands(edge: Run, place: int) -> None:
    arguments = ["inspect", "nothing.ewa"]
    arguments.insert(place if place == 0 else len(arguments), "--debug")
    answer = edge(*arguments)
    assert answer.code == 1
    assert answer.err.startswith("Traceback (most recent call last)")
    assert answer.err.splitlines()[-1].startswith("error[E-ARTIFACT]: ")


def test_a_mistake_of_the_program_is_one_sentence_too(edge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> Any:
        raise ValueError("a thing\nthat nobody foresaw")

    monkeypatch.setattr("edgewright.cli.inspect.open_artifact", broken)
    sentence = edge("inspect", "any.ewa").refused("E-INTERNAL", "ValueError: a thing that nobody foresaw", "--debug")
    assert "\n" not in sentence


def test_a_missing_package_says_how_to_get_it(edge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> Any:
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setattr("edgewright.cli.inspect.open_artifact", broken)
    edge("inspect", "any.ewa").refused("E-USAGE", "'onnx'", "pip install 'edgewright[compiler]'")


@pytest.mark.parametrize(
    ("command", "part", "extra"),
    [
        (["serve", "any.ewa", "--port", "0"], "serve.open_artifact", "agent"),
        (["publish", "any.ewa", "--repo", "repo"], "publish.open_repository", "publish"),
        (["repo", "status", "repo"], "repo.open_repository", "publish"),
        (["server", "verify", "--data", "d"], "server._opened", "server"),
        (["rollout", "list", "--server", "http://127.0.0.1:1"], "remote._token", "server"),
    ],
)
def test_a_command_of_the_fleet_names_its_own_extra(
    edge: Run, monkeypatch: pytest.MonkeyPatch, command: list[str], part: str, extra: str
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ModuleNotFoundError("No module named 'other'", name="other")

    monkeypatch.setattr(f"edgewright.cli.{part}", broken)
    edge(*command).refused("E-USAGE", "'other'", f"pip install 'edgewright[{extra}]'")


def test_what_the_system_refuses_is_told_as_such(edge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> Any:
        raise OSError(28, "No space left on device", "/dev/full")

    monkeypatch.setattr("edgewright.cli.inspect.open_artifact", broken)
    edge("inspect", "any.ewa").refused("E-STORE", "/dev/full: No space left on device", "check the path")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_answer_that_cannot_be_printed_is_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgewright.cli.main", "profiles", "list", "--json"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error[E-STORE]: the system refused to read or write: No space left on device")
    assert len(done.stderr.splitlines()) == 1


def test_a_real_process_for_two_profiles_on_a_terminal_that_lacks_letters(digits: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copy(digits[1], tmp_path / "data.npz")
    command = [sys.executable, "-m", "edgewright.cli.main", "compile", str(digits[0]), "--data", "data.npz", "--name", "größe"]
    command += ["--profile", "arm64-linux", "--profile", "raspberry-pi-5", "--runtime", "onnxruntime", "--precision", "float32"]
    command += ["--gate", "top1 >= -5pt", "--out", "out"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "60"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"raspberry-pi-5" in done.stdout
    assert sorted(file.name for file in (tmp_path / "out").glob("*.ewa")) == [
        "größe-arm64-linux.ewa",
        "größe-raspberry-pi-5.ewa",
    ]


def test_a_real_process_says_the_same(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "edgewright.cli.main",
        "compile",
        "nothing.onnx",
        "--data",
        "x.npz",
        "--profile",
        "arm64-linux",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "TERM": "dumb"}
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "error[E-DATA]: there is no file or folder x.npz; check the path, or name a function as module:function.\n"
    )
