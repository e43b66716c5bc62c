"""Models that are none, are hostile, or are of a kind that cannot be compiled: refused in one sentence, nothing run."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Run = Callable[..., Any]
GEMM = helper.make_node("Gemm", ["x", "w"], ["s"], transB=1)


FACTORIES = """
import torch

def make():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

def number():
    return 3

def wants(something):
    return something

def raises():
    raise RuntimeError("It broke. Twice.\\nOn two lines.")

def leaves():
    raise SystemExit(0)

def nan():
    module = make()
    module[1].weight.data[0, 0] = float("nan")
    return module
"""


class _Canary:
    """Pickled, it makes a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello there", ["given.onnx is not an ONNX model", "export it again"]),
        (b"", ["given.onnx is empty", "export the model again"]),
        (bytes(np.random.default_rng(0).bytes(5000)), ["given.onnx is not an ONNX model"]),
        (b"PK\x03\x04 and nothing more", ["given.onnx"]),
    ],
)
def test_what_is_no_model_is_refused(compile: Run, tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "given.onnx"
    path.write_bytes(content)
    compile(model=path).refused("E-MODEL", *words)


def test_half_a_model_is_refused(compile: Run, digits: tuple[Path, Path], tmp_path: Path) -> None:
    content = digits[0].read_bytes()
    (tmp_path / "half.onnx").write_bytes(content[: len(content) // 2])
    compile(model="half.onnx").refused("E-MODEL", "half.onnx is not an ONNX model")


def test_a_model_that_is_not_there_is_refused(compile: Run, tmp_path: Path) -> None:
    compile(model="none.onnx").refused("E-MODEL", "none.onnx", "No such file", "check the path")
    compile(model=tmp_path).refused("E-MODEL", "is a folder", "give the model's file")
    compile(model="no_such_module:factory").refused("E-USAGE", "'no_such_module'", "check the name")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_model_that_cannot_be_read_is_refused(compile: Run, tmp_path: Path) -> None:
    (tmp_path / "secret.onnx").write_bytes(b"x")
    (tmp_path / "secret.onnx").chmod(0)
    compile(model="secret.onnx").refused("E-MODEL", "secret.onnx", "Permission denied")


@pytest.mark.parametrize("ending", [".pt", ".pth", ".onnx", ".pkl", ".bin"])
def test_a_pickle_is_never_loaded(compile: Run, tmp_path: Path, ending: str) -> None:
    path, canary = tmp_path / f"given{ending}", tmp_path / "canary"
    path.write_bytes(pickle.dumps(_Canary(canary)))
    compile(model=path).refused("E-TRUST", "would run code", "--trust")
    assert not canary.exists()


def test_pickled_weights_are_never_loaded(compile: Run, tmp_path: Path) -> None:
    (tmp_path / "factory_of_tests.py").write_text(FACTORIES, "utf-8")
    canary = tmp_path / "canary"
    (tmp_path / "weights.pt").write_bytes(pickle.dumps({"1.weight": _Canary(canary)}))
    answer = compile("--weights", "weights.pt", model="factory_of_tests:make")
    answer.refused("E-TRUST", "weights.pt", "--trust")
    assert not canary.exists()


def test_an_operator_set_that_is_too_new_is_refused(compile: Run, digits: tuple[Path, Path], tmp_path: Path) -> None:
    model = onnx.load(digits[0])
    model.opset_import[0].version = 99
    onnx.save(model, tmp_path / "new.onnx")
    compile(model="new.onnx").refused("E-MODEL", "new.onnx uses ONNX opset 99", "export it")


def test_a_file_version_that_is_too_new_is_refused(compile: Run, digits: tuple[Path, Path], tmp_path: Path) -> None:
    model = onnx.load(digits[0])
    model.ir_version = 99
    onnx.save(model, tmp_path / "new.onnx")
    compile(model="new.onnx").refused("E-MODEL", "new.onnx is of ONNX file version 99", "export it")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(compile: Run, digits: tuple[Path, Path], tmp_path: Path, bad: float) -> None:
    model = onnx.load(digits[0])
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights.flat[3] = bad
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, model.graph.initializer[0].name))
    onnx.save(model, tmp_path / "nan.onnx")
    compile(model="nan.onnx").refused("E-MODEL", "the weight 'w'", "NaN or infinite")


@pytest.fixture
def dynamic(model: Run) -> Path:
    """A classifier of images of any size."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["s"], transB=1),
    ]
    weights = {"w": np.random.default_rng(0).normal(size=(10, 1)).astype(np.float32)}
    made: Path = model(nodes, {"x": ["n", 1, "high", "wide"]}, {"s": ["n", 10]}, weights)
    return made


def test_free_axes_need_a_shape(compile: Run, dynamic: Path) -> None:
    compile(model=dynamic).refused("E-MODEL", "axis 2 of the input 'x'", "--shape x=1x1xNxN")


def test_free_axes_with_a_shape_compile(compile: Run, dynamic: Path) -> None:
    answer = compile("--shape", "x=1x1x8x8", model=dynamic, gate="agreement >= 90%")
    assert answer.code == 0, answer.err
    assert "given-arm64-linux.ewa" in answer.written


@pytest.mark.parametrize(
    ("shape", "kind", "words"),
    [
        ("x=1x1x9x9", "E-DATA", ["float32 [?, 1, 9, 9]", "float32 [?, 1, 8, 8]"]),
        ("x=1x1x8", "E-MODEL", ["has 4 axes", "give 4"]),
        ("z=1x1x8x8", "E-MODEL", ["--shape", "unknown input 'z'", "known: x"]),
        ("x", "E-USAGE", ["--shape 'x' is not NAME=VALUE"]),
        ("x=0x1x8x8", "E-USAGE", ["'0x1x8x8' is not sizes joined by x"]),
        ("x=axb", "E-USAGE", ["'axb' is not sizes joined by x"]),
        ("x=-1x1", "E-USAGE", ["'-1x1' is not sizes joined by x"]),
    ],
)
def test_shapes_that_do_not_fit_are_refused(compile: Run, dynamic: Path, shape: str, kind: str, words: list[str]) -> None:
    compile("--shape", shape, model=dynamic).refused(kind, *words)


def test_a_fixed_axis_cannot_be_given_another_size(compile: Run) -> None:
    compile("--shape", "x=1x1x9x9").refused("E-MODEL", "axis 2 of the input 'x' has the size 8, not 9")


def test_a_fixed_batch_is_refused(compile: Run, model: Run, npz: Run) -> None:
    path = model([helper.make_node("Relu", ["x"], ["s"])], {"x": [5, 8]}, {"s": [5, 8]})
    compile(model=path, data=npz(x=np.ones((100, 8), np.float32)), gate="agreement >= 90%").refused(
        "E-MODEL", "fixed batch of 5", "export the model with a free first axis"
    )


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("NoSuchOperator", ["x"], ["s"]), ["NoSuchOperator", "export it again"]),
        (helper.make_node("Foo", ["x"], ["s"], domain="my.ops"), ["my.ops", "export it again"]),
    ],
)
def test_operators_that_nobody_knows_are_refused(compile: Run, model: Run, npz: Run, node: Any, words: list[str]) -> None:
    path = model([node], {"x": ["n", 8]}, {"s": ["n", 8]})
    data = npz(x=np.ones((100, 8), np.float32))
    compile(model=path, data=data, gate="agreement >= 90%").refused("E-MODEL", *words)


def test_a_model_without_inputs_or_outputs_is_refused(compile: Run, model: Run, npz: Run) -> None:
    data = npz(x=np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32))
    path = model([helper.make_node("Identity", ["k"], ["s"])], {}, {"s": [4]}, {"k": np.zeros(4, np.float32)})
    compile(model=path, data=data, gate="agreement >= 90%").refused("E-MODEL", "no inputs")
    path = model([helper.make_node("Relu", ["x"], ["s"])], {"x": ["n", 8]}, {})
    compile(model=path, data=data, gate="agreement >= 90%").refused("E-MODEL", "no outputs")


@pytest.mark.parametrize("gate", ["agreement >= 90%", None])
def test_an_empty_output_is_refused(compile: Run, model: Run, npz: Run, gate: str | None) -> None:
    ends = {"start": np.array([0]), "end": np.array([0]), "axis": np.array([1])}
    path = model([helper.make_node("Slice", ["x", *ends], ["s"])], {"x": ["n", 8]}, {"s": ["n", 0]}, ends)
    data = npz(x=np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32))
    compile(model=path, data=data, gate=gate).refused("E-MODEL", "first output is empty")


def test_outputs_that_are_nan_are_never_released(compile: Run, model: Run, npz: Run) -> None:
    path = model([helper.make_node("Log", ["x"], ["s"])], {"x": ["n", 8]}, {"s": ["n", 8]})
    data = npz(x=np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32))
    answer = compile(model=path, data=data, gate="agreement >= 90%")
    assert answer.code == 3
    assert "given-arm64-linux.ewa" not in answer.written
    assert "NaN or infinity" in " ".join(answer.out.split())


def test_text_as_input_is_refused(compile: Run, npz: Run, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["s"])],
        "text",
        [helper.make_tensor_value_info("x", TensorProto.STRING, ["n", 8])],
        [helper.make_tensor_value_info("s", TensorProto.STRING, ["n", 8])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "text.onnx")
    data = npz(x=np.ones((100, 8), np.float32))
    compile(model="text.onnx", data=data, gate="agreement >= 90%").refused("E-DATA", "the model's input 'x'")


@pytest.mark.parametrize("name", ["bad\udcff.onnx", "two\nlines.onnx"])
def test_a_name_that_is_no_text_is_refused(compile: Run, digits: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(digits[0].read_bytes())
    compile(model=name).refused("E-MODEL", ascii(name), "rename the file")


@pytest.mark.parametrize(
    "names", [("in put", "out put"), ("a/b", "../../c"), ("é", "ü"), ("x\ny", "z\n"), ("x" * 3000, "y" * 3000), ("x:0", "y:0")]
)
def test_any_names_of_inputs_and_outputs_will_do(compile: Run, model: Run, npz: Run, names: tuple[str, str]) -> None:
    node = helper.make_node("Gemm", [names[0], "w"], [names[1]], transB=1)
    weights = {"w": np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)}
    path = model([node], {names[0]: ["n", 8]}, {names[1]: ["n", 4]}, weights)
    data = npz(x=np.random.default_rng(1).normal(size=(300, 8)).astype(np.float32))
    answer = compile("--runtime", "onnxruntime", "--runtime", "litert", model=path, data=data, gate="agreement >= 90%")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        ("number", "E-MODEL", ["makes a int, not a torch.nn.Module"]),
        ("wants", "E-MODEL", ["fails without arguments", "'something'"]),
        ("raises", "E-MODEL", ["factory_of_tests:raises fails without arguments: It broke; Twice"]),
        ("leaves", "E-MODEL", ["factory_of_tests:leaves fails"]),
        ("nan", "E-MODEL", ["NaN or infinite"]),
        ("nubmer", "E-USAGE", ["unknown factory 'nubmer'", "did you mean 'number'?"]),
    ],
)
def test_a_factory_that_makes_no_model_is_refused(
    compile: Run, tmp_path: Path, function: str, kind: str, words: list[str]
) -> None:
    (tmp_path / "factory_of_tests.py").write_text(FACTORIES, "utf-8")
    compile(model=f"factory_of_tests:{function}").refused(kind, *words)


def test_weights_without_a_factory_are_refused(compile: Run) -> None:
    compile("--weights", "some.pt").refused("E-USAGE", "weights go with package.module:factory")
