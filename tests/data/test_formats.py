"""Every format gives the samples that went in."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pytest
from edgewright.calibration.content import content_digest, overlap, sketch
from edgewright.calibration.dataset import Split, is_partial, read_column, read_labels
from edgewright.calibration.opening import open_dataset
from edgewright.calibration.preprocess import Preprocessing
from edgewright.core.errors import DataError, EdgewrightWarning, UsageError
from PIL import Image

ORDER = [7, 3, 4, 5, 39, 0, 3]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npz(tmp_path, arrays, save, order) -> None:
    path = tmp_path / "data.npz"
    save(path, **{name: np.asarray(value, order=order) for name, value in arrays.items()})
    data = open_dataset(path)
    batch = data.read(ORDER)
    assert len(data) == 40
    assert [spec.to_json() for spec in data.inputs] == [{"name": "x", "dtype": "float32", "shape": [None, 6, 5, 3]}]
    np.testing.assert_array_equal(batch.inputs["x"], arrays["x"][ORDER])
    np.testing.assert_array_equal(batch.labels, arrays["y"][ORDER])
    assert data.columns == ("sex", "age")
    assert list(batch.columns["sex"]) == list(arrays["sex"][ORDER])
    assert batch.columns["age"].tolist() == arrays["age"][ORDER].tolist()
    assert is_partial(data)
    assert data.digest == open_dataset(arrays).digest


@pytest.mark.parametrize("dtype", [">f4", ">i2", "u1", "?", "f2", "f8"])
def test_npz_types(tmp_path, dtype) -> None:
    x = np.random.default_rng(0).integers(0, 2, (5, 7)).astype(dtype)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "d.npz", x=x)
        found = open_dataset(tmp_path / "d.npz").read([4, 0]).inputs["x"]
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, x[[4, 0]])


def test_npz_one_array_an_input(tmp_path) -> None:
    left, right = np.ones((9, 4), np.float32), np.zeros((9, 2, 2), np.float32)
    np.savez(tmp_path / "d.npz", left=left, right=right, y=np.arange(9) % 3, site=np.arange(9), other=np.ones((4, 4)))
    data = open_dataset(tmp_path / "d.npz")
    assert [spec.name for spec in data.inputs] == ["left", "right"]
    assert data.columns == ("site",)
    mapped = open_dataset(tmp_path / "d.npz", inputs={"image": "right"}, labels="site")
    assert [spec.name for spec in mapped.inputs] == ["image"]
    assert set(mapped.columns) == {"left", "y"}
    assert mapped.read([8]).labels.tolist() == [8]


def test_npy(tmp_path) -> None:
    x = np.random.default_rng(0).normal(size=(8, 3))
    np.save(tmp_path / "x.npy", x)
    data = open_dataset(str(tmp_path / "x.npy"))
    assert not data.has_labels
    np.testing.assert_array_equal(data.read([5, 6]).inputs["x"], x[[5, 6]])
    with pytest.raises(DataError, match="no labels"):
        read_labels(data, [0])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_table(tmp_path, suffix) -> None:
    frame = pd.DataFrame(
        {
            "height": [1.5, 1.25, 2.0, 1.75],
            "city": ["Rome", None, "Oslo", "Rome"],
            "smokes": [True, False, True, True],
            "target": ["yes", "no", "no", "yes"],
            "age": [30, 40, 50, 60],
        }
    )
    path = tmp_path / f"table{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    data = open_dataset(path)
    batch = data.read([3, 1])
    assert batch.inputs["x"].dtype == np.float32
    assert batch.inputs["x"].tolist() == [[1.75, 1.0, 60.0], [1.25, 0.0, 40.0]]
    assert batch.labels.tolist() == [1, 0]
    assert data.classes == ("no", "yes")
    assert batch.columns["city"].tolist() == ["Rome", ""]
    assert batch.columns["age"].tolist() == [60, 40]
    named = open_dataset(path, labels="age", inputs={"a": "height", "b": "smokes,height"})
    batch = named.read([0])
    assert batch.inputs["a"].tolist() == [[1.5]]
    assert batch.inputs["b"].tolist() == [[1.0, 1.5]]
    assert batch.labels.tolist() == [30]


def test_table_in_pieces(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("edgewright.calibration.sources.table._PIECE_ROWS", 3)
    pd.DataFrame({"a": range(10), "b": ["1", "2", "3", "4", "5", "six", "7", "8", "9", "10"], "y": range(10)}).to_csv(
        tmp_path / "t.csv", index=False
    )
    data = open_dataset(tmp_path / "t.csv")
    batch = data.read(range(10))
    assert batch.inputs["x"][:, 0].tolist() == list(range(10))
    assert batch.columns["b"].tolist()[4:7] == ["5", "six", "7"]
    assert batch.labels.tolist() == list(range(10))


def test_table_says_what_float32_rounds(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("id,a,y\n16777216,1,0\n16777217,2,1\n")
    with pytest.warns(EdgewrightWarning, match="column 'id' .* 16777217"):
        open_dataset(tmp_path / "t.csv")
    assert open_dataset(tmp_path / "t.csv", inputs={"x": "a"}).read([1]).inputs["x"].tolist() == [[2]]


def test_one_long_text_does_not_widen_a_column(tmp_path) -> None:
    rows = "".join(f"{index},note {index}\n" for index in range(2000))
    (tmp_path / "t.csv").write_text(f"a,notes\n{rows}1,{'z' * 200_000}\n")
    tracemalloc.start()
    try:
        data = open_dataset(tmp_path / "t.csv")
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()
    assert data.read([3]).columns["notes"].tolist() == ["note 3"]
    assert len(data.read([2000]).columns["notes"][0]) == 200_000


def test_image_folder(image_folder) -> None:
    data = open_dataset(image_folder, preprocessing=Preprocessing.parse("resize=8x10,scale=1/255,layout=nchw"))
    assert data.classes == ("ant", "cat", "dog")
    assert data.inputs[0].shape == (None, 3, 8, 10)
    batch = data.read([8, 0, 3])
    assert batch.labels.tolist() == [2, 0, 1]
    assert batch.columns["file"].tolist() == ["dog/2.png", "ant/0.png", "cat/0.png"]
    assert batch.inputs["x"].shape == (3, 3, 8, 10)
    assert batch.inputs["x"].max() <= 1
    raw = np.asarray(Image.open(image_folder / "cat/0.png").resize((10, 8), Image.Resampling.BILINEAR), np.float32)
    np.testing.assert_allclose(batch.inputs["x"][2].transpose(1, 2, 0) * 255, raw, atol=1.01)


def test_image_folder_without_resize(image_folder) -> None:
    data = open_dataset(image_folder)
    assert data.inputs[0].shape == (None, 12, 16, 3)
    with pytest.raises(DataError, match="resize=SIZE"):
        data.read([0, 1])


def test_flat_folder_and_groups(tmp_path, image_folder) -> None:
    flat = open_dataset(image_folder / "dog", preprocessing=Preprocessing(resize=(4, 4)))
    assert not flat.has_labels
    nested = tmp_path / "nested"
    for name in ("a", "b"):
        (nested / name / "anna").mkdir(parents=True)
        Image.new("L", (4, 4), ord(name)).save(nested / name / "anna" / "1.png")
    data = open_dataset(nested, inputs={"image": "x"})
    assert read_column(data, "group", [0, 1]).tolist() == ["anna", "anna"]
    assert data.read([1]).inputs["image"][0, 0, 0].tolist() == [98, 98, 98]


def test_audio_folder(tmp_path, write_wav) -> None:
    for name, length in (("no", 90), ("yes", 120)):
        write_wav(tmp_path / "audio" / name / "1.wav", np.full(length, 16384, "<i2"))
    data = open_dataset(tmp_path / "audio", preprocessing=Preprocessing.parse("length=100"))
    batch = data.read([0, 1])
    assert data.inputs[0].shape == (None, 100)
    assert batch.labels.tolist() == [0, 1]
    assert batch.inputs["x"].dtype == np.float32
    assert batch.inputs["x"][0, 89:92].tolist() == [0.5, 0.0, 0.0]
    assert batch.inputs["x"][1, 99] == 0.5


@pytest.mark.parametrize("kind", ["mapping", "pairs", "samples", "dataset", "mapstyle"])
def test_function(tmp_path, monkeypatch, kind) -> None:
    (tmp_path / f"userdata_{kind}.py").write_text(
        """
import numpy as np
from edgewright.calibration.opening import open_dataset

X = np.arange(300, dtype=np.float32).reshape(100, 3)

class Style:
    def __len__(self): return 100
    def __getitem__(self, i): return X[i], i % 2

def mapping(): return {"x": X, "y": np.arange(100) % 2}
def pairs(): return ((x, i % 2) for i, x in enumerate(X))
def samples(): return [{"x": x, "y": i % 2, "who": str(i)} for i, x in enumerate(X)]
def dataset(): return open_dataset(mapping())
def mapstyle(): return Style()
"""
    )
    monkeypatch.chdir(tmp_path)
    data = open_dataset(f"userdata_{kind}:{kind}")
    batch = data.read([99, 65, 0])
    assert batch.inputs["x"].tolist() == [[297, 298, 299], [195, 196, 197], [0, 1, 2]]
    assert batch.labels.tolist() == [1, 1, 0]
    assert len(open_dataset(f"{tmp_path}/userdata_{kind}.py:{kind}")) == 100


def test_function_errors(tmp_path, monkeypatch) -> None:
    (tmp_path / "userbad.py").write_text(
        "def fails(): raise KeyError('gone')\ndef number(): return 3\ndef ragged(): return [[1, 2, 3], [1]]\n"
        "def empty(): return []\ndef dies():\n    yield 1.0\n    raise OSError('far. away')\n"
    )
    monkeypatch.chdir(tmp_path)
    for name, error, match in (
        ("userbad:fails", DataError, "KeyError"),
        ("userbad:fail", UsageError, "did you mean 'fails'"),
        ("userbad:number", DataError, "is of type int"),
        ("userbad:ragged", DataError, "sample 1"),
        ("userbad:empty", DataError, "no samples"),
        ("userbad:dies", DataError, "OSError"),
        ("nowhere_at_all:f", UsageError, "cannot import"),
        ("missing.py:f", UsageError, "no file"),
    ):
        with pytest.raises(error, match=match) as caught:
            open_dataset(name)
        assert ". " not in str(caught.value), str(caught.value)


def test_string_labels_and_column_labels() -> None:
    data = open_dataset({"x": np.zeros((3, 2)), "y": np.array(["b", "a", "b"])})
    assert data.classes == ("a", "b")
    assert read_labels(data, [0, 1, 2]).tolist() == [1, 0, 1]
    assert open_dataset({"x": np.zeros((3, 2)), "y": np.array([[5], [6], [7]])}).read([2]).labels.tolist() == [7]


def test_digest(arrays) -> None:
    turn = np.random.default_rng(5).permutation(40)
    same = {name: value[turn] if len(value) == 40 else value for name, value in arrays.items()}
    digest = open_dataset(arrays).digest
    assert open_dataset(same).digest != digest  # an index names another sample now
    for name in ("x", "y", "sex"):
        other = {key: value.copy() for key, value in arrays.items()}
        other[name][0] = other[name][0] + 1 if name != "sex" else "d"
        assert open_dataset(other).digest != digest
    assert open_dataset(arrays, preprocessing=Preprocessing(scale=2.0)).digest != digest


def test_what_is_judged_by_does_not_depend_on_order_or_on_other_columns(arrays) -> None:
    def content(data: dict[str, np.ndarray], **options: Any) -> str:
        opened = open_dataset(data, **options)
        return content_digest(Split("all", opened, tuple(range(40))), {"sex": opened.column_at("sex", range(40))})

    digest = content(arrays)
    turn = np.random.default_rng(5).permutation(40)
    assert content({name: value[turn] if len(value) == 40 else value for name, value in arrays.items()}) == digest
    assert content(arrays | {"remark": np.arange(40)}) == digest
    for name in ("x", "y", "sex"):
        other = {key: value.copy() for key, value in arrays.items()}
        other[name][0] = other[name][0] + 1 if name != "sex" else "d"
        assert content(other) != digest
    assert content(arrays, preprocessing=Preprocessing(scale=2.0)) != digest


@pytest.mark.parametrize(("ours", "theirs", "shared"), [(90, 90, 60), (3000, 3000, 1500), (3000, 400, 400), (5000, 2000, 0)])
def test_sketches_tell_what_two_data_sets_share(ours: int, theirs: int, shared: int) -> None:
    def sketched(start: int, count: int) -> tuple[str, ...]:
        values = np.random.default_rng(start).permutation(np.arange(start, start + count, dtype=np.float32))
        return sketch(open_dataset({"x": values[:, None], "y": np.random.default_rng(count).integers(0, 3, count)}))

    one, other = sketched(0, ours), sketched(ours - shared, theirs)
    assert overlap(one, other) == overlap(other, one) == pytest.approx(shared / min(ours, theirs), abs=0.1)
    assert overlap(one, one) == 1
    assert overlap((), one) == 0


def test_split_batches_in_order(arrays) -> None:
    split = Split("calib", open_dataset(arrays), (5, 9, 1, 30, 2))
    found = [index for batch in split.batches(2) for index in batch.indices]
    assert found == [5, 9, 1, 30, 2]


def test_dataset_passes_through(arrays) -> None:
    data = open_dataset(arrays)
    assert open_dataset(data) is data
    with pytest.raises(UsageError, match="of its own"):
        open_dataset(data, preprocessing=Preprocessing(scale=2.0))


@pytest.mark.parametrize("indices", [[40], [-1], []])
def test_bad_indices(arrays, indices) -> None:
    with pytest.raises(DataError):
        open_dataset(arrays).read(indices)
