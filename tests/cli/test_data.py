"""Data that are broken, do not fit the model, or can judge nothing: refused in one sentence, or never released."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

Run = Callable[..., Any]
Arrays = Mapping[str, np.ndarray]
GEMM = helper.make_node("Gemm", ["x", "w"], ["s"], transB=1)


class _Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_data_that_are_not_there_are_refused(compile: Run, tmp_path: Path) -> None:
    compile(data="none.npz").refused("E-DATA", "there is no file or folder none.npz", "check the path")
    compile(data=None).refused("E-USAGE", "no data are given", "--data FILE")
    (tmp_path / "notes.txt").write_text("hello", "utf-8")
    compile(data="notes.txt").refused("E-DATA", "notes.txt is not data that can be read")
    (tmp_path / "empty").mkdir()
    compile(data="empty").refused("E-DATA", "holds neither images nor .wav files")


@pytest.mark.parametrize("save", [np.savez, np.save])
def test_pickled_arrays_are_never_loaded(compile: Run, tmp_path: Path, save: Any) -> None:
    path, canary = tmp_path / f"given.np{'z' if save is np.savez else 'y'}", tmp_path / "canary"
    save(path, np.array([_Canary(canary)], dtype=object))
    compile(data=path).refused("E-TRUST", "pickled array", "--trust")
    assert not canary.exists()


@pytest.mark.parametrize("sample", [5, 300])
def test_nan_is_refused_and_its_sample_named(compile: Run, npz: Run, digits_arrays: Arrays, sample: int) -> None:
    x = digits_arrays["x"][:400].copy()
    x[sample, 0, 3, 3] = np.nan
    # So many are wanted that every sample is read.
    answer = compile("--calib-samples", "10000", data=npz(x=x, y=digits_arrays["y"][:400]), gate="top1 >= -0.5pt")
    answer.refused("E-DATA", f"sample {sample} of 'x'", "not a finite number", "remove that sample")


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda x, y: {"x": x[:, :, :7], "y": y}, "E-DATA", ["[?, 1, 8, 8]", "[?, 1, 7, 8]"]),
        (lambda x, y: {"x": x.reshape(len(x), -1), "y": y}, "E-DATA", ["[?, 1, 8, 8]", "[?, 64]"]),
        (lambda x, y: {"x": x, "y": y[:-3]}, "E-DATA", ["400 samples and 397 labels 'y'"]),
        (lambda x, y: {"x": x.astype("U5"), "y": y}, "E-DATA", ["is float32", "is str"]),
        (lambda x, y: {"x": x.astype(np.complex64), "y": y}, "E-DATA", ["complex64"]),
        (lambda x, y: {"z": x, "x": x, "y": y}, None, []),
        (lambda x, y: {"x": x[:, 0], "y": y}, None, []),
        (lambda x, y: {"x": x.astype(np.uint8), "y": y}, None, []),
        (lambda x, y: {"x": x.astype(np.float64), "y": y.astype(np.float64)}, None, []),
        (lambda x, y: {"x": x, "y": np.eye(10)[y]}, None, []),
        (lambda x, y: {"x": x, "y": np.array([f"digit {label}" for label in y])}, None, []),
        (lambda x, y: {"x": x, "y": np.where(y == 3, np.nan, y)}, "E-DATA", ["the label of sample", "not a finite number"]),
        (lambda x, y: {"y": y}, "E-DATA", ["no array of numbers", "name the input array 'x'"]),
    ],
    ids=lambda item: None if callable(item) else "",
)
def test_shapes_lengths_and_types(
    compile: Run, npz: Run, digits_arrays: Arrays, change: Any, kind: str | None, words: list[str]
) -> None:
    data = npz(**change(digits_arrays["x"][:400], digits_arrays["y"][:400]))
    answer = compile(data=data, gate="top1 >= -10pt")
    if kind is None:
        assert answer.code == 0, answer.err
    else:
        answer.refused(kind, *words)


def test_names_of_classes_get_the_models_numbers_and_are_told(
    compile: Run, npz: Run, digits_arrays: Arrays, tmp_path: Path
) -> None:
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    data = npz(x=digits_arrays["x"], target=np.array(words)[digits_arrays["y"]])
    (tmp_path / "classes.txt").write_text("\n".join(words), "utf-8")
    compile("--classes", ",".join(words), data=data, gate=None).refused("E-DATA", "the data have no labels", "--labels")
    compile("--labels", "target", "--classes", "zero,one", data=data).refused("E-DATA", "has the class 'eight'")
    answer = compile("--labels", "target", "--classes", "classes.txt", "--json", data=data)
    report = json.loads(answer.out)
    assert answer.code == 0, answer.err
    assert report["targets"][0]["verdicts"][0]["reference"] > 0.85
    assert any(note.startswith("classes: zero=0, one=1,") for note in report["notes"])
    answer = compile("--labels", "target", data=data, gate="agreement >= 80%")
    assert "classes: eight=0, five=1, four=2" in answer.err
    answer = compile(data=data, gate="agreement >= 80%")
    assert "no labels found among target, x; name them with --labels NAME" in answer.err


@pytest.mark.parametrize("gate", ["top1 >= -3pt", "f1 >= -1pt", "auc >= -0.01", None])
def test_one_class_judges_no_classifier(compile: Run, npz: Run, digits_arrays: Arrays, gate: str | None) -> None:
    data = npz(x=digits_arrays["x"], y=np.zeros_like(digits_arrays["y"]))
    compile(data=data, gate=gate).refused("E-DATA", "all 1097 labels are class 0", "give samples of every class")


def test_one_class_is_told_where_it_does_not_matter(compile: Run, npz: Run, digits_arrays: Arrays) -> None:
    data = npz(x=digits_arrays["x"], y=np.zeros_like(digits_arrays["y"]))
    answer = compile(data=data, gate="agreement >= 90%")
    assert answer.code == 0
    assert "all 1097 labels are class 0" in answer.err


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, ["holds no samples"]), (1, ["1 labelled sample"]), (2, ["2 different samples", "3 parts"])],
)
def test_too_few_samples_to_cut_are_refused(
    compile: Run, npz: Run, digits_arrays: Arrays, count: int, words: list[str]
) -> None:
    data = npz(x=digits_arrays["x"][:count], y=digits_arrays["y"][:count])
    compile(data=data).refused("E-DATA", *words)


def test_a_few_samples_are_undecided(compile: Run, npz: Run, digits_arrays: Arrays) -> None:
    answer = compile("--json", data=npz(x=digits_arrays["x"][:5], y=digits_arrays["y"][:5]))
    assert answer.code == 3
    target = json.loads(answer.out)["targets"][0]
    assert not target["released"]
    assert target["verdict"] == "undecided"
    assert "samples would decide" in target["why"]


@pytest.mark.parametrize("gate", ["top1 >= -3pt", "auc >= -0.01", "rmse <= 102% of reference", "f1 report-only"])
def test_labels_that_are_missing_are_refused(compile: Run, npz: Run, digits_arrays: Arrays, gate: str) -> None:
    compile(data=npz(x=digits_arrays["x"]), gate=gate).refused("E-GATE", "needs labels, and the data have none", "add labels")


def test_without_labels_agreement_is_chosen(compile: Run, npz: Run, digits_arrays: Arrays) -> None:
    answer = compile("--json", data=npz(x=digits_arrays["x"]), gate=None)
    assert answer.code == 0
    assert json.loads(answer.out)["gates"] == ["agreement >= 98%"]


@pytest.mark.parametrize("shift", [-5, 5])
def test_labels_that_the_model_cannot_answer_are_never_passed(
    compile: Run, npz: Run, digits_arrays: Arrays, shift: int
) -> None:
    answer = compile("--json", data=npz(x=digits_arrays["x"], y=digits_arrays["y"] + shift))
    assert answer.code == 3
    target = json.loads(answer.out)["targets"][0]
    assert not target["released"]
    assert "top1 cannot be judged" in target["why"]


@pytest.mark.parametrize(
    ("flags", "kind", "words"),
    [
        (["--labels", "yy"], "E-DATA", ["unknown label array 'yy'", "did you mean 'y'?"]),
        (["--group", "hafl"], "E-USAGE", ["unknown group column 'hafl'", "did you mean 'half'?"]),
        (["--input", "x=z"], "E-DATA", ["unknown array 'z'", "known: half, x, y"]),
        (["--input", "z=x"], "E-USAGE", ["unknown model input 'z'", "known: x"]),
        (["--input", "x"], "E-USAGE", ["--input 'x' is not NAME=VALUE"]),
        (["--input", "=x"], "E-USAGE", ["--input '=x' is not NAME=VALUE"]),
        (["--preprocess", "resise=8"], "E-USAGE", ["unknown preprocessing step 'resise'", "did you mean 'resize'?"]),
        (["--preprocess", "resize=much"], "E-USAGE", ["'resize=much' has a value that cannot be read"]),
        (["--calib", "none.npz"], "E-DATA", ["there is no file or folder none.npz"]),
        (["--calib-samples", "0"], "E-USAGE", ["calib-samples is 0"]),
        (["--search-samples", "-1"], "E-USAGE", ["search-samples is -1"]),
    ],
)
def test_flags_about_data_that_do_not_fit(compile: Run, flags: list[str], kind: str, words: list[str]) -> None:
    compile(*flags).refused(kind, *words)


def test_more_calibration_than_there_is_takes_what_there_is(compile: Run) -> None:
    answer = compile("--calib-samples", "1000000000", "--json")
    assert answer.code == 0
    splits = json.loads(answer.out)["data"]["splits"]
    assert 32 < splits["calib"] < 1097


def test_a_split_that_shares_samples_with_another_is_refused(compile: Run, digits: tuple[Path, Path]) -> None:
    compile("--accept", digits[1]).refused("E-DATA", "are in the", "file too", "remove them")


def test_text_that_is_no_text_is_refused(compile: Run, npz: Run, digits_arrays: Arrays) -> None:
    half = np.where(digits_arrays["half"] == "odd", "a\udcff", "b")
    data = npz(x=digits_arrays["x"], y=digits_arrays["y"], half=half)
    compile(data=data, gate="top1[half] >= -9pt").refused("E-DATA", "column half", "'a\\udcff'", "not Unicode")


@pytest.mark.parametrize("values", [("odd\nline\x1b[31m", "<b>&"), ("a" * 5000, ""), ("a\x00b", "../../b")])
def test_values_of_a_column_steer_nothing(compile: Run, npz: Run, digits_arrays: Arrays, values: tuple[str, str]) -> None:
    half = np.where(digits_arrays["half"] == "odd", *values)
    answer = compile(data=npz(x=digits_arrays["x"], y=digits_arrays["y"], half=half), gate="top1[half] >= -20pt")
    assert answer.code in (0, 3)
    assert "\x1b" not in answer.out
    page = (answer.folder / "report.html").read_text("utf-8")
    assert "<b>&" not in page


@pytest.fixture
def pair(model: Run) -> Path:
    """A model of two inputs."""
    nodes = [
        helper.make_node("Gemm", ["a", "w"], ["p"], transB=1),
        helper.make_node("Gemm", ["b", "w"], ["q"], transB=1),
        helper.make_node("Sub", ["p", "q"], ["s"]),
    ]
    weights = {"w": np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)}
    made: Path = model(nodes, {"a": ["n", 6], "b": ["n", 6]}, {"s": ["n", 4]}, weights)
    return made


def test_two_inputs_are_fed_by_name_or_as_said(compile: Run, pair: Path, npz: Run) -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 300, 6)).astype(np.float32)
    answer = compile(model=pair, data=npz(a=a, b=b), gate="agreement >= 90%")
    assert answer.code == 0, answer.err
    answer = compile("--input", "a=a", "--input", "b=other", model=pair, data=npz(a=a, other=b), gate="agreement >= 90%")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize(
    ("flags", "arrays", "words"),
    [
        ([], ["a", "x"], ["unknown input 'x'", "known: a, b"]),
        (["--input", "b=x"], ["a", "x"], ["no array for the input 'a'", "--input a=ARRAY"]),
        (["--input", "c=a"], ["a", "b"], ["unknown input 'c'", "known: a, b"]),
    ],
)
def test_an_input_without_an_array_is_named(
    compile: Run, pair: Path, npz: Run, flags: list[str], arrays: list[str], words: list[str]
) -> None:
    data = npz(**{name: np.zeros((100, 6), np.float32) for name in arrays})
    compile(*flags, model=pair, data=data, gate="agreement >= 90%").refused("E-DATA", *words)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A .csv of three features, and the name of the largest."""
    values = np.random.default_rng(0).normal(size=(600, 3))
    names = np.array(["cat", "dog", "eel"])[values.argmax(axis=1)]
    rows = [f"{a:.5f},{b:.5f},{c:.5f},{name}" for (a, b, c), name in zip(values, names, strict=True)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,c,kind", *rows]) + "\n", "utf-8")
    return tmp_path / "table.csv"


@pytest.fixture
def perceptron(model: Run) -> Path:
    """The model that says which of three features is the largest."""
    made: Path = model([GEMM], {"x": ["n", 3]}, {"s": ["n", 3]}, {"w": np.eye(3, dtype=np.float32)}, "perceptron")
    return made


def test_a_table_with_names_of_classes_goes_through_a_perceptron(compile: Run, table: Path, perceptron: Path) -> None:
    flags = ("--labels", "kind", "--json", "--runtime", "litert", "--precision", "int8")
    answer = compile(*flags, model=perceptron, data=table, gate="top1 >= -5pt")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["targets"][0]["metrics"]["top1"]["reference"] == 1.0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--labels", "kin"], ["unknown label column 'kin'", "did you mean 'kind'?"]),
        (["--labels", "kind", "--input", "x=a,b,zz"], ["unknown feature column 'zz'"]),
        (["--labels", "kind", "--input", "x=a,b"], ["float32 [?, 3]", "[?, 2]"]),
    ],
)
def test_columns_of_a_table_that_do_not_fit(
    compile: Run, table: Path, perceptron: Path, flags: list[str], words: list[str]
) -> None:
    compile(*flags, model=perceptron, data=table).refused("E-DATA", *words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"", ["t.csv cannot be read as a table"]),
        ("t.csv", b"a,b,c,y\n1,2,3\n1,2,3,4,5,6\n", ["t.csv cannot be read as a table", "line 3"]),
        ("t.csv", b"\xff\xfe\x00a,b", ["t.csv cannot be read as a table"]),
        ("t.csv", b"a,b,c,y\n1,2,x,cat\n3,4,5,dog\n", ["float32 [?, 3]", "[?, 2]"]),
        ("t.parquet", b"PAR1 and nothing more", ["t.parquet cannot be read as a table"]),
    ],
)
def test_tables_that_are_none(
    compile: Run, perceptron: Path, tmp_path: Path, name: str, content: bytes, words: list[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    compile(model=perceptron, data=name).refused("E-DATA", *words)
