"""Files that are broken, hostile, or something else: one sentence each, and nothing is ever run."""

from __future__ import annotations

import pickle
import struct
import subprocess
import zipfile

import numpy as np
import onnx
import pytest
from edgewright.core.errors import DataError, ModelError, ParityError, TrustError, UsageError
from edgewright.ir.model import Model
from edgewright.optimizer.ingest.detect import detect
from edgewright.optimizer.ingest.ingest import ingest
from edgewright.optimizer.ingest.parity import compare
from edgewright.optimizer.ingest.samples import match_samples, random_samples


class Bomb:
    """Creates the canary when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (subprocess.call, (["touch", str(self.canary)],))


def make(body, opset=21):
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g {body}')


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "plain.onnx"
    path.write_bytes(
        make(
            "(float[N,3] x) => (float[N,2] y) <float[3,2] w = {1, 2, 3, 4, 5, 6}> { a = Identity(x) y = MatMul(a, w) }"
        ).SerializeToString()
    )
    return path


def test_onnx(plain):
    found = ingest(plain)
    assert found.source_format == "onnx"
    assert len(found.source_digest) == 64
    assert found.parity.ok
    assert found.parity.n == 4
    assert found.parity.max_abs < 1e-6
    assert found.versions["onnx"] == onnx.__version__
    assert [node.op_type for node in found.model.graph] == ["MatMul"]
    assert ingest(str(plain)).model.to_bytes() == found.model.to_bytes()
    assert ingest(found.model).parity is None


def test_content_counts_and_not_the_ending(plain, tmp_path):
    renamed = tmp_path / "model.h5"
    renamed.write_bytes(plain.read_bytes())
    assert ingest(renamed).source_format == "onnx"


def test_samples_of_the_user(plain):
    assert ingest(plain, samples={"x": np.ones((7, 3), np.float32)}).parity.n == 7
    assert ingest(plain, samples={"anything": np.ones((2, 3))}).parity.n == 2
    for samples, sentence in [
        ({"x": np.ones((2, 4))}, r"the data's 'x' is float64 \[\?, 4\]; give 3 values a sample"),
        ({"x": np.ones((0, 3))}, r"holds no samples"),
        ({"x": np.ones((2, 3)), "z": np.ones(2)}, r"unknown input 'z'"),
    ]:
        with pytest.raises(DataError, match=sentence):
            ingest(plain, samples=samples)


def test_fixed_batches_take_whole_ones():
    model = Model.from_bytes(make("(float[3,2] x) => (float[3,2] y) { y = Relu(x) }").SerializeToString())
    assert match_samples({"x": np.ones((8, 2))}, model.inputs)["x"].shape == (6, 2)
    assert random_samples(model.inputs)["x"].shape == (3, 2)
    found = ingest(model)
    assert found.model.inputs[0].shape == (3, 2)


def test_free_axes_need_shapes(tmp_path):
    path = tmp_path / "free.onnx"
    path.write_bytes(make("(float[N,H,3] x) => (float[N,H,3] y) { y = Relu(x) }").SerializeToString())
    with pytest.raises(ModelError, match=r"axis 1 of the input 'x' has no fixed size; give one with --shape x=1xNx3"):
        ingest(path)
    assert ingest(path, shapes={"x": (1, 5, 3)}).model.inputs[0].shape == (None, 5, 3)


def zip_of(path, **entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (b"", ModelError, r"is empty"),
        (b"hello, this is some text", ModelError, r"is no model that this version reads; it reads ONNX, PyTorch"),
        (b"PK\x03\x04 and then nothing", ModelError, r"is a broken zip"),
        (b"\x89HDF\r\n\x1a\n and then nothing", ModelError, r"is a broken HDF5 file"),
        (struct.pack("<Q", 2) + b"{}" + b"\0" * 16, ModelError, r"holds weights and not how the model computes"),
        (pickle.dumps({"a": 1}), TrustError, r"loading it would run code|holds a dict"),
    ],
)
def test_content_that_is_no_model(tmp_path, content, error, sentence):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises((error, ModelError), match=sentence) as caught:
        ingest(path)
    assert "\n" not in str(caught.value)


def test_a_broken_onnx_file(plain, tmp_path):
    path = tmp_path / "half.onnx"
    path.write_bytes(plain.read_bytes()[:-20])
    with pytest.raises(ModelError, match=r"is not an ONNX model"):
        ingest(path)


def test_paths_that_hold_no_file(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read the model .*No such file"):
        ingest(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match=r"is a folder and no SavedModel; give the model's file"):
        ingest(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelError, match=r"saved_model\.pb is empty"):
        ingest(tmp_path)


def test_a_saved_model_that_is_too_much(tmp_path, monkeypatch):
    from edgewright.ir import serde

    monkeypatch.setattr(serde, "MAX_MODEL_BYTES", 10_000)
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "variables.data").write_bytes(bytes(10_000))
    with pytest.raises(ModelError, match=r"has 10005 bytes, more than 10000"):
        detect(tmp_path)


def test_a_zip_that_is_neither(tmp_path):
    path = tmp_path / "model.keras"
    zip_of(path, readme="hello")
    with pytest.raises(ModelError, match=r"is a zip but no model"):
        ingest(path)


def test_a_zip_that_unpacks_to_too_much(tmp_path, monkeypatch):
    from edgewright.ir import serde

    monkeypatch.setattr(serde, "MAX_MODEL_BYTES", 10_000)
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"0" * 100_000)
    with pytest.raises(ModelError, match=r"unpacks to 1 files with 100000 bytes"):
        detect(path)


def test_an_opset_that_is_too_new(tmp_path):
    path = tmp_path / "new.onnx"
    proto = make("(float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    proto.opset_import[0].version = 99
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"uses ONNX opset 99; this version reads 7 to 24"):
        ingest(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite(tmp_path, bad):
    path = tmp_path / "bad.onnx"
    proto = make("(float[N,3] x) => (float[N,3] y) <float[3] w = {1, 2, 3}> { y = Add(x, w) }")
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.array([1, bad, 3], np.float32), "w"))
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"the weight 'w' has 1 values that are NaN or infinite"):
        ingest(path)


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname"])
def test_external_data_that_is_missing_or_outside(tmp_path, location):
    (tmp_path / "weights.bin").write_bytes(b"\0" * 12)
    folder = tmp_path / "inner"
    folder.mkdir()
    proto = make("(float[N,3] x) => (float[N,3] y) <float[3] w = {1, 2, 3}> { y = Add(x, w) }")
    proto.graph.initializer[0].external_data.add(key="location", value=location)
    proto.graph.initializer[0].ClearField("raw_data")
    proto.graph.initializer[0].ClearField("float_data")
    proto.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"which is missing" if location == "weights.bin" else r"outside its folder"):
        ingest(path)


def test_external_data_inside_the_folder(tmp_path):
    proto = make("(float[N,3] x) => (float[N,3] y) <float[3] w = {1, 2, 3}> { y = Add(x, w) }")
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.array([1, 2, 3], np.float32), "w"))
    path = tmp_path / "model.onnx"
    onnx.save_model(proto, str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    found = ingest(path)
    np.testing.assert_array_equal(found.model.weights()["w"], [1, 2, 3])


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_is_never_run(tmp_path, canary, protocol):
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Bomb(canary), protocol=protocol))
    with pytest.raises((TrustError, ModelError)):
        ingest(path)
    assert not canary.exists()


def test_what_is_no_source():
    with pytest.raises(UsageError, match=r"a dict is no model"):
        ingest({"a": 1})


def test_parity_names_the_largest_difference():
    reference = {"a": np.zeros((3, 2), np.float32), "b": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)}
    other = {"a": np.zeros((3, 2), np.float32), "b": np.array([[1.0, 2.0], [3.0, 4.5]], np.float32)}
    assert compare(reference, reference, 2).max_abs == 0
    with pytest.raises(ParityError, match=r"output 'b', sample 1, difference 0.5 where the source says 4"):
        compare(reference, other, 2)
    with pytest.raises(ParityError, match=r"output 'b' has the shape"):
        compare(reference, {**other, "b": np.zeros((2, 3), np.float32)}, 2)


def test_parity_is_scaled_and_knows_what_is_not_finite():
    tiny = {"a": np.array([1e-9, 2e-9], np.float32)}
    with pytest.raises(ParityError):
        compare(tiny, {"a": np.array([1e-9, 3e-9], np.float32)}, 1)
    holes = {"a": np.array([np.nan, np.inf, 1], np.float32)}
    assert compare(holes, holes, 1).ok
    with pytest.raises(ParityError):
        compare(holes, {"a": np.array([0, np.inf, 1], np.float32)}, 1)
    with pytest.raises(ParityError):
        compare({"a": np.ones(3, np.float32)}, {"a": np.array([1, np.nan, 1], np.float32)}, 1)
    labels = {"a": np.array([5, 7])}
    assert compare(labels, labels, 2).ok
    with pytest.raises(ParityError):
        compare(labels, {"a": np.array([5, 8])}, 2)
