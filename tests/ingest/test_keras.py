"""Keras files, SavedModels and TFLite files, through a process of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from edgewright.core.errors import ModelError, TrustError, UsageError
from edgewright.ir.rewrites.fold_bn import FoldBatchNorm
from edgewright.ir.verify import operators
from edgewright.optimizer.ingest import tensorflow_job
from edgewright.optimizer.ingest.ingest import ingest


def ingest_at_once(path):
    """`ingest` of a file whose child has run already, in the process that made it."""

    def copy(command, **_):
        folder, file, kind, *_ = command[command.index(tensorflow_job.__name__) + 1 :]
        assert kind == {".tflite": "tflite", ".tf": "saved_model"}.get(path.suffix, "keras")
        shutil.copytree(path.parent / "job" / Path(file).name, folder, dirs_exist_ok=True)
        return subprocess.CompletedProcess(command, 0, b"", b"")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tensorflow_job.subprocess, "run", copy)
        return ingest(path, trust=path.suffix == ".tf")


@pytest.fixture(scope="module")
def keras_model(keras_files):
    return ingest_at_once(keras_files / "net.keras")


def test_a_keras_file(keras_model):
    assert keras_model.source_format == "keras"
    assert keras_model.parity.ok
    assert keras_model.parity.max_rel < 1e-5
    assert keras_model.model.inputs[0].name == "picture"
    assert keras_model.model.inputs[0].shape == (None, 12, 12, 3)
    assert set(keras_model.versions) >= {"keras", "tensorflow", "tf2onnx"}
    folded = operators(FoldBatchNorm().run(keras_model.model).model)
    assert folded["Conv"] == 2
    assert folded["HardSwish"] == folded["GlobalAveragePool"] == 1
    assert not {"Mul", "Add", "BatchNormalization"} & set(folded)


def test_a_sequential_model(keras_files):
    found = ingest_at_once(keras_files / "row.keras")
    assert found.parity.ok
    assert operators(found.model)["Conv"] == 1
    assert found.model.outputs[0].shape == (None, 5)


def test_legacy_hdf5_under_another_ending(keras_files, keras_model, tmp_path, capfd):
    path = tmp_path / "net.model"
    path.write_bytes((keras_files / "net.h5").read_bytes())
    found = ingest(path, samples={"x": np.random.default_rng(1).random((3, 12, 12, 3))})
    assert found.parity.n == 3
    assert found.parity.max_rel < 1e-5
    for name, array in keras_model.model.weights().items():
        if array.ndim == 4:
            assert any(np.array_equal(array, other) for other in found.model.weights().values()), name
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_tflite_file(keras_files):
    found = ingest_at_once(keras_files / "net.tflite")
    assert found.source_format == "tflite"
    assert found.parity.max_rel < 1e-5
    assert operators(found.model)["Conv"] == 2


def test_a_saved_model_is_the_model_that_was_saved(keras_files, keras_model):
    found = ingest_at_once(keras_files / "net.tf")
    assert found.source_format == "tensorflow"
    assert found.parity.max_rel < 1e-5
    assert found.model.inputs == keras_model.model.inputs
    assert operators(found.model) == operators(keras_model.model)
    assert found.source_digest != ingest_at_once(keras_files / "pair.tf").source_digest


@pytest.mark.parametrize("name", ["pair.tf", "one.tf"])
def test_inputs_and_outputs_of_a_saved_model_go_by_their_names(keras_files, name):
    found = ingest_at_once(keras_files / name)
    assert {spec.name: spec.shape for spec in found.model.inputs} == {"left": (2, 4), "right": (2, 4)}
    assert {spec.name: spec.shape for spec in found.model.outputs} == {"apart": (2, 4), "weighed": (2, 3), "again": (2, 3)}
    assert found.parity.ok
    assert found.parity.n == (6 if name == "pair.tf" else 2)  # of the samples that it was given, in batches of two


def test_a_saved_model_whose_answer_is_one_number(keras_files):
    found = ingest_at_once(keras_files / "number.tf")
    assert [spec.shape for spec in found.model.outputs] == [()]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("two.tf", r"no function 'serving_default' to serve \(it has answer, other\)"),
        ("none.tf", r"no function 'serving_default' to serve \(it has none\)"),
        ("broken.tf", r"is a broken SavedModel"),
        ("words.tf", r"the input 'text' of .* has the type string"),
        ("unranked.tf", r"the input 'x' of .* has no known rank"),
        ("scalar.tf", r"the input 'x' of .* is a single number"),
        ("clash.tf", r"an input and an output named 'x'"),
        ("free.tf", r"axis 1 of the input 'x' has no fixed size; give one with --shape"),
        ("idle.tf", r"has no inputs"),
        ("table.tf", r"looks up a table"),
        ("lost.tf", r"TensorFlow cannot load .*; save the model again"),
    ],
)
def test_saved_models_that_are_refused(keras_files, name, sentence):
    with pytest.raises(ModelError, match=sentence) as caught:
        ingest_at_once(keras_files / name)
    assert "\n" not in str(caught.value)


def test_a_saved_model_is_a_program_and_needs_trust(keras_files, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")  # nothing of it is run
    with pytest.raises(TrustError, match=r"runs as a program with all of your rights; .*--trust"):
        ingest(keras_files / "pair.tf")


def test_samples_and_shapes_reach_a_saved_model_in_its_child(keras_files):
    samples = {"x": np.random.default_rng(4).random((6, 7), np.float32)}
    found = ingest(keras_files / "free.tf", samples=samples, shapes={"x": (1, 7)}, trust=True)
    assert found.model.inputs[0].shape == (None, 7)
    assert found.parity.n == 6


def test_a_shape_for_an_input_that_a_saved_model_has_not(keras_files):
    with pytest.raises(UsageError, match=r"--shape: .*'z'"):
        ingest_at_once(keras_files / "asked.tf")


@pytest.mark.parametrize("name", ["code.keras", "code.h5"])
def test_a_lambda_layer_needs_trust(keras_files, name):
    with pytest.raises(TrustError, match=r"has a Lambda layer, which runs code of its own; .*--trust"):
        ingest(keras_files / name)


def test_weights_alone_are_no_model(keras_files):
    with pytest.raises(ModelError, match=r"holds weights only|no Keras model"):
        ingest(keras_files / "net.weights.h5")


def test_hdf5_of_something_else(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "table.h5"
    with h5py.File(path, "w") as file:
        file["rows"] = np.arange(3)
    with pytest.raises(ModelError, match=r"is an HDF5 file but no Keras model"):
        ingest(path)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{broken"
    with pytest.raises(ModelError, match=r"model_config that is no JSON"):
        ingest(path)


@pytest.mark.parametrize(
    ("config", "error", "sentence"),
    [
        ({"class_name": "run", "module": "os", "config": {}}, TrustError, r"wants run of the package 'os'"),
        ({"layers": [{"class_name": "TFSMLayer", "module": "keras.layers"}]}, TrustError, r"has a TFSMLayer layer"),
        ({"fn": {"class_name": "__lambda__", "config": {}}}, TrustError, r"runs code of its own"),
        (None, ModelError, r"is a broken .keras file"),
    ],
)
def test_configurations_that_name_code(tmp_path, config, error, sentence):
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{" if config is None else json.dumps(config))
    with pytest.raises(error, match=sentence):
        ingest(path)


def test_a_child_that_dies_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ModelError, match=r"TensorFlow died on .* \(code 1, silently\)"):
        tensorflow_job.convert_in_child(tmp_path / "x.keras", "keras", None, False)


def test_a_child_that_does_not_end_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow_job, "_TIMEOUT_SECONDS", 0.05)
    with pytest.raises(ModelError, match=r"did not come to an end with .*x\.keras within 0\.05 s"):
        tensorflow_job.convert_in_child(tmp_path / "x.keras", "keras", None, False)
