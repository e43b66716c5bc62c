"""`edgewright bench --emulate`: nothing is timed, and what differs between two places is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgewright.cli.bench_emulated import differences
from edgewright.cli.main import main
from edgewright.core.executor import TensorSpec
from edgewright.runtimes.bench.record import BenchReport
from edgewright.runtimes.emulated.emulator import Emulator

Capture = pytest.CaptureFixture[str]


class Answering:
    """A file with batch 1 whose answers are its inputs with something added."""

    inputs = outputs = (TensorSpec("x", "float32", (1, 4)),)

    def __init__(self, added: tuple[float, ...]) -> None:
        self._added = np.array(added, np.float32)

    def run(self, inputs):
        return {"x": inputs["x"] + self._added}

    def close(self) -> None:
        """Nothing is open."""


def ended(*arguments: object) -> object:
    with pytest.raises(SystemExit) as found:
        main([str(item) for item in arguments])
    return found.value.code


@pytest.mark.parametrize(
    "option",
    [
        ["--rules", "mlperf-tiny"],
        ["--operators"],
        ["--electricity", "0.3"],
        ["--batch", "8"],
        ["--against", "a.onnx"],
    ],
)
def test_what_would_be_timed_is_refused(option: list[str], digits: tuple[Path, Path], tmp_path: Path, capsys: Capture) -> None:
    assert ended("bench", digits[0], "--emulate", tmp_path, *option) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"error[E-USAGE]: {option[0]} has nothing to say of an emulated CPU, which is never timed")


def test_a_file_that_names_no_device_asks_for_a_profile(
    able, looks_prepared, digits: tuple[Path, Path], capsys: Capture
) -> None:
    able()
    assert ended("bench", digits[0], "--emulate", looks_prepared.folder) == 1
    assert "does not say for which device it is; name one with --profile" in capsys.readouterr().err
    assert ended("bench", digits[0], "--emulate", looks_prepared.folder, "--profile", "x86-64-avx2") == 1
    assert "emulates runs x86-64-avx2's kernels of onnxruntime" in capsys.readouterr().err


def test_answers_that_differ_are_told_by_how_much_and_in_how_many_classes() -> None:
    same = differences(Answering((0, 0, 0, 0)), Answering((0, 0, 0, 0)), 0)
    assert (same["difference"].value, same["same-class"].value, same["same-class"].high) == (0, 1, 1)
    other = differences(Answering((0, 0, 0, 0)), Answering((100, 0, 0, 0)), 0)
    assert other["difference"].value > 10
    assert 0 < other["same-class"].value < 1  # only where the first answer was the largest before
    assert other["same-class"].low < other["same-class"].value < other["same-class"].high


@pytest.mark.parametrize("data", [False, True])
def test_a_file_is_run_on_the_emulated_cpu(
    emulator: Emulator, digits: tuple[Path, Path], data: bool, tmp_path: Path, capsys: Capture
) -> None:
    given = ["--data", digits[1]] if data else []
    folder = emulator.root.folder
    assert ended("bench", digits[0], "--emulate", folder, "--profile", "raspberry-pi-5", "--json", *given) == 0
    (result,) = BenchReport.from_json(json.loads(capsys.readouterr().out)).results
    assert (result.place, result.measured_on, result.profile) == ("emulated", "emulated", "raspberry-pi-5")
    assert result.measurement is None
    figures = result.accuracy or {}
    assert set(figures) == ({"top1"} if data else {"difference", "same-class"})
    assert figures["top1" if data else "same-class"].value > 0.9
