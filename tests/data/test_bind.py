"""Binding data to a model's inputs: names, types, shapes, values, labels."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.calibration.bind import bind, check_labels
from edgewright.calibration.dataset import is_partial, read_column
from edgewright.calibration.opening import open_dataset
from edgewright.calibration.preprocess import Preprocessing
from edgewright.core.errors import DataError
from edgewright.core.executor import TensorSpec


def spec(name: str, dtype: str, *shape: int | None) -> TensorSpec:
    return TensorSpec(name, dtype, shape)


def read(x: np.ndarray, want: TensorSpec, text: str = "") -> np.ndarray:
    data = open_dataset({"x": x}, preprocessing=Preprocessing.parse(text))
    bound = bind(data, (want,))
    made = bound.read(range(len(bound))).inputs[want.name]
    assert made.dtype.name == want.dtype
    assert bound.inputs[0].shape[1:] == made.shape[1:]
    return made


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ("uint8", "float32"),
        ("bool", "float32"),
        ("float64", "float32"),
        ("float64", "float16"),
        ("float16", "float32"),
        ("int64", "int32"),
        ("int32", "int64"),
        ("int64", "float32"),
        ("uint8", "int8"),
        ("int8", "uint8"),
        ("uint64", "int64"),
        ("bool", "int32"),
    ],
)
def test_safe_casts(have, want) -> None:
    x = (np.arange(12).reshape(4, 3) % (2 if have == "bool" else 100)).astype(have)
    np.testing.assert_array_equal(read(x, spec("image", want, None, 3)), x.astype(want))


@pytest.mark.parametrize(
    ("value", "have", "want", "match"),
    [
        (2**31, "int64", "int32", "does not fit into int32"),
        (-1, "int64", "uint8", "does not fit"),
        (200, "uint8", "int8", "does not fit"),
        (2**63, "uint64", "int64", "does not fit"),
        (2**24 + 1, "int64", "float32", "not exact"),
        (-(2**40), "int64", "float32", "not exact"),
        (1e39, "float64", "float32", "too large"),
        (1e5, "float32", "float16", "too large"),
        (np.nan, "float32", "float32", "not a finite number"),
        (np.inf, "float64", "float32", "not a finite number"),
    ],
)
def test_values_are_refused_by_sample(value, have, want, match) -> None:
    x = np.zeros((9, 2, 2), have)
    x[6, 1, 0] = value
    bound = bind(open_dataset({"x": x}), (spec("image", want, None, 2, 2),))
    bound.read([0, 5, 7])
    with pytest.raises(DataError, match=f"sample 6 of 'x' .*{match}"):
        bound.read([8, 6, 1])


@pytest.mark.parametrize(("have", "want"), [("float32", "int32"), ("float32", "uint8"), ("int32", "bool"), ("float32", "bool")])
def test_casts_that_lose_are_refused(have, want) -> None:
    with pytest.raises(DataError, match=f"dtype={want}"):
        bind(open_dataset({"x": np.zeros((3, 2), have)}), (spec("a", want, None, 2),))


@pytest.mark.parametrize(
    ("have", "want", "made"),
    [
        ((4, 28, 28), (None, 28, 28, 1), (4, 28, 28, 1)),
        ((4, 28, 28), (1, 1, 28, 28), (4, 1, 28, 28)),
        ((4, 28, 28, 1), (None, 28, 28), (4, 28, 28)),
        ((4, 1, 28, 28), (None, 28, 28), (4, 28, 28)),
        ((4,), (None, 1), (4, 1)),
        ((4, 1), (None,), (4,)),
        ((4, 5, 7), (None, None, 7), (4, 5, 7)),
        ((4, 5, 7), (8, None, None), (4, 5, 7)),
        ((4, 5, 7), (None, 1, None, 7), (4, 1, 5, 7)),
    ],
)
def test_shapes(have, want, made) -> None:
    assert read(np.zeros(have, np.float32), spec("a", "float32", *want)).shape == made


@pytest.mark.parametrize(
    ("have", "want", "advice"),
    [
        ((4, 32, 32, 3), (None, 3, 32, 32), "layout=nchw"),
        ((4, 3, 32, 32), (None, 32, 32, 3), "layout=nhwc"),
        ((4, 32, 32, 3), (None, 3, None, None), "layout=nchw"),
        ((4, 8, 8, 3), (None, 1, 8, 8), "add the preprocessing color=gray[.,]"),
        ((4, 3, 8, 8), (None, 1, 8, 8), "add the preprocessing color=gray[.,]"),
        ((4, 8, 8, 3), (None, 8, 8, 1), "add the preprocessing color=gray[.,]"),
        ((4, 16, 16, 3), (None, 3, 8, 8), "add the preprocessing resize=8,layout=nchw"),
        ((4, 16, 12, 3), (None, 1, 8, 6), "add the preprocessing color=gray,resize=8x6"),
        ((4, 16, 16), (None, 1, 8, 8), "add the preprocessing resize=8[.]"),
        ((4, 1, 8, 8), (None, 3, 8, 8), "images in colour"),
        ((4, 40, 40, 3), (None, 32, 32, 3), "add the preprocessing resize=32[.]"),
        ((4, 10), (None, 12), "12 values"),
        ((4, 10), (None, 12, 3), "model's shape"),
        ((4, 1), (None, 1, 1, 1), "model's shape"),
        ((4, 2), (None, 1, 2, 1), "model's shape"),
    ],
)
def test_shapes_that_do_not_fit(have, want, advice) -> None:
    with pytest.raises(DataError, match=advice) as caught:
        bind(open_dataset({"x": np.zeros(have, np.float32)}), (spec("image", "float32", *want),))
    message = str(caught.value)
    assert "'image'" in message
    assert "'x'" in message
    assert f"{have[1]}" in message
    assert ". " not in message


@pytest.mark.parametrize(
    ("have", "want"), [((4, 16, 12, 3), (None, 1, 8, 6)), ((4, 3, 9, 9), (None, 8, 8, 3)), ((4, 9, 9, 3), (None, 1, 9, 9))]
)
def test_what_is_advised_fits(have: tuple[int, ...], want: tuple[int | None, ...]) -> None:
    x = np.zeros(have, np.uint8)
    with pytest.raises(DataError, match="add the preprocessing") as caught:
        read(x, spec("a", "float32", *want))
    text = str(caught.value).rpartition(" ")[2].rstrip(".")
    assert read(x, spec("a", "float32", *want), text).shape == (len(x), *want[1:])


def test_the_advice_works() -> None:
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(read(x, spec("a", "float32", None, 3, 8, 8), "layout=nchw"), x.transpose(0, 3, 1, 2))


def test_names() -> None:
    arrays = {
        "ids": np.zeros((5, 4), int),
        "mask": np.ones((5, 4), int),
        "y": np.arange(5),
        "site": np.arange(5),
        "extra": np.ones((5, 2)),
    }
    data = open_dataset(arrays)
    bound = bind(data, (spec("mask", "int64", None, 4), spec("ids", "int32", None, 4)))
    assert list(bound.read([0]).inputs) == ["mask", "ids"]
    assert set(bound.columns) == {"site", "extra"}
    assert is_partial(bound)
    assert read_column(bound, "site", [4, 2]).tolist() == [4, 2]
    again = bind(bound, (spec("ids", "int64", None, 4), spec("mask", "int64", None, 4)))
    assert again.read([1]).inputs["ids"].shape == (1, 4)
    with pytest.raises(DataError, match=r"'input_ids'.*'ids', 'mask'"):
        bind(data, (spec("input_ids", "int64", None, 4), spec("mask", "int64", None, 4)))
    with pytest.raises(DataError, match="wants the input"):
        bind(data, (spec("input", "int64", None, 4),))
    with pytest.raises(DataError, match="no inputs"):
        bind(data, ())


def test_a_column_can_be_an_input(tmp_path) -> None:
    bound = bind(
        open_dataset({"x": np.zeros((3, 2)), "length": np.array([1, 2, 3])}),
        (spec("x", "float32", None, 2), spec("length", "int32", None)),
    )
    assert bound.read([2]).inputs["length"].tolist() == [3]
    (tmp_path / "t.csv").write_text("age,height,y\n30,1.5,0\n40,1.25,1\n")
    table = bind(open_dataset(tmp_path / "t.csv"), (spec("height", "float32", None, 1), spec("age", "float32", None, 1)))
    assert table.read([1]).inputs["height"].tolist() == [[1.25]]
    assert table.columns == ()


def test_csv_with_nan(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,0\n3,,1\n")
    bound = bind(open_dataset(tmp_path / "t.csv"), (spec("x", "float32", None, 2),))
    assert bound.read([0]).inputs["x"].tolist() == [[1, 2]]
    with pytest.raises(DataError, match="sample 1 of 'x'"):
        bound.read([0, 1])


def test_digest_follows_data_and_fit() -> None:
    x = np.zeros((3, 2), np.float32)
    digests = {
        bind(open_dataset({"x": x}), (spec("a", "float32", None, 2),)).digest,
        bind(open_dataset({"x": x + 1}), (spec("a", "float32", None, 2),)).digest,
        bind(open_dataset({"x": x}), (spec("a", "float16", None, 2),)).digest,
    }
    assert len(digests) == 3


def labelled(y: np.ndarray):
    return open_dataset({"x": np.zeros((len(y), 2)), "y": y})


def test_labels() -> None:
    report = check_labels(labelled(np.arange(60) % 3))
    assert (report.kind, report.counts, report.warnings) == ("classes", {0: 20, 1: 20, 2: 20}, ())
    assert check_labels(labelled(np.linspace(0, 1, 50))).kind == "values"
    assert check_labels(labelled(np.array([-1, 1] * 30))).kind == "values"
    assert check_labels(labelled(np.arange(60) % 3), [3, 6, 9]).counts == {0: 3}


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (np.ones(50, int), "all 50 labels are class 1"),
        (np.full(50, 0.5), "all labels are equal"),
        (np.array([0, 1]), "only 2 labelled samples"),
    ],
)
def test_labels_that_limit(y, match) -> None:
    warnings = check_labels(labelled(y)).warnings
    assert any(match in warning for warning in warnings)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (np.array([0.0, np.nan, 1.0]), "label of sample 1 is not a finite number"),
        (np.array([0.0, 2.0, np.inf]), "label of sample 2"),
        (np.array([1]), "can judge nothing"),
    ],
)
def test_labels_that_are_refused(y, match) -> None:
    with pytest.raises(DataError, match=match):
        check_labels(labelled(y))


def test_missing_labels() -> None:
    with pytest.raises(DataError, match="no labels"):
        check_labels(open_dataset({"x": np.zeros((5, 2))}))
