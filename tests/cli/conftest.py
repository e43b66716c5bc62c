"""The command line as a user has it: arguments in, exit code and two streams out, in a folder of the test's own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from edgewright.cli.main import main
from onnx import TensorProto, helper, numpy_helper

REMOTE = "arm64-linux"  # never this machine's own kind on x86, so nothing is timed
SMALL = ("--search-samples", "64", "--calib-samples", "32")
_ERROR = re.compile(r"error\[(E-[A-Z]+)\]: (.+)")
_SECOND_SENTENCE = re.compile(r"[.!?] [A-Z]")


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str
    folder: Path

    def refused(self, kind: str, *words: str) -> str:
        """The one sentence of a refusal, which holds all `words`; nothing was printed, raised or written beside it."""
        lines = self.err.splitlines()
        errors = [match for match in map(_ERROR.fullmatch, lines) if match]
        assert self.code == 1, self
        assert len(errors) == 1, self
        assert lines[-1] == errors[0][0]
        assert all(line.startswith(("gates", "the source model is")) for line in lines[:-1]), self
        assert errors[0][1] == kind, self
        sentence = errors[0][2]
        assert sentence[-1] in ".?", sentence
        assert not _SECOND_SENTENCE.search(sentence), sentence
        for word in words:
            assert word in sentence, sentence
        assert self.out == ""
        assert not self.written, self.written
        return sentence

    @property
    def written(self) -> list[str]:
        """Files in the output folder, hidden ones too."""
        return sorted(str(file.relative_to(self.folder)) for file in self.folder.rglob("*") if file.is_file())


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """`edge("compile", model, ...)`: run the command line in `tmp_path`; the output folder is `tmp_path / "out"`."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: Any) -> Answer:
        with pytest.raises(SystemExit) as done:
            main([str(item) for item in arguments])
        out, err = capsys.readouterr()
        return Answer(int(done.value.code or 0), out, err, tmp_path / "out")

    return run


@pytest.fixture(autouse=True)
def _drawn_once(drawn_once: None) -> None:
    """See `drawn_once`."""


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One step store for all, so that the same work is done once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def compile(edge: Callable[..., Answer], digits: tuple[Path, Path], tmp_path: Path, store: Path) -> Callable[..., Answer]:
    """`compile(*flags, model=..., data=..., gate=...)`: the digits' classifier, unless another is given, in one candidate."""
    model_file = digits[0]
    data_file = tmp_path / "digits.npz"
    shutil.copy(digits[1], data_file)

    def run(*flags: Any, model: Any = model_file, data: Any = data_file, gate: str | None = "top1 >= -3pt") -> Answer:
        given: list[Any] = ["compile", model, "--out", "out", "--store", store, *SMALL, *flags]
        given += ["--data", data] if data is not None else []
        given += ["--gate", gate] if gate is not None else []
        given += ["--profile", REMOTE] if "--profile" not in flags else []
        given += ["--runtime", "onnxruntime"] if "--runtime" not in flags else []
        given += ["--precision", "float32"] if "--precision" not in flags else []
        return edge(*given)

    return run


@pytest.fixture(scope="session")
def digits_arrays(digits: tuple[Path, Path]) -> Mapping[str, np.ndarray]:
    """The digits' arrays x [n, 1, 8, 8], y [n], half [n]."""
    with np.load(digits[1]) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., Path]:
    """`npz(x=..., y=...)`: a file with these arrays."""

    def save(**arrays: Any) -> Path:
        np.savez(tmp_path / "given.npz", **arrays)
        return tmp_path / "given.npz"

    return save


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """`model(nodes, inputs, outputs, initializers)`: an .onnx file of a graph; inputs and outputs are name: shape."""

    def save(
        nodes: Sequence[Any],
        inputs: Mapping[str, Sequence[Any]],
        outputs: Mapping[str, Sequence[Any]],
        initializers: Mapping[str, np.ndarray] | None = None,
        name: str = "given",
        output_type: int = TensorProto.FLOAT,
    ) -> Path:
        graph = helper.make_graph(
            list(nodes),
            name,
            [helper.make_tensor_value_info(item, TensorProto.FLOAT, shape) for item, shape in inputs.items()],
            [helper.make_tensor_value_info(item, output_type, shape) for item, shape in outputs.items()],
            [numpy_helper.from_array(array, item) for item, array in (initializers or {}).items()],
        )
        path = tmp_path / f"{name}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
        return path

    return save
