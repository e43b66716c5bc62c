"""What is written is what is read; the same content gives the same bytes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgewright.core import artifact_arrays, artifact_zip
from edgewright.core.artifact import ArtifactContent, TestVectors
from edgewright.core.artifact_read import open_artifact, read_artifact
from edgewright.core.artifact_write import build_artifact, write_artifact
from edgewright.core.canonical import digest, dumps
from edgewright.core.errors import ArtifactError
from edgewright.core.executor import TensorSpec
from edgewright.core.manifest import GateRecord, HistogramBins, Manifest, Tolerance
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
FILE_NAMES = st.from_regex(r"[a-z0-9_][a-zA-Z0-9._-]{0,8}(/[a-z0-9_][a-z0-9]{0,4})?", fullmatch=True)
TYPES = st.sampled_from(sorted(artifact_arrays.DTYPES))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | FINITE | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def assert_same(content: ArtifactContent, data: bytes) -> None:
    found = read_artifact(data)
    assert dict(found.files) == dict(content.files)
    assert dumps(found.measurements) == dumps(dict(content.measurements))
    assert found.digest == digest(data)
    assert found.size_bytes == len(data)
    plain = replace(found.manifest, members=(), test_vectors=None)
    assert dumps(plain.to_json()) == dumps(content.manifest.to_json())
    for mine, theirs in (
        (content.test_vectors.inputs, found.test_vectors.inputs),
        (content.test_vectors.outputs, found.test_vectors.outputs),
    ):
        assert set(mine) == set(theirs)
        for name, array in mine.items():
            assert theirs[name].dtype == array.dtype
            np.testing.assert_array_equal(theirs[name], array)
    assert found.test_vectors.tolerances == content.test_vectors.tolerances
    assert found.test_vectors.arithmetic == content.test_vectors.arithmetic


@st.composite
def tensors(draw: st.DrawFn, samples: int) -> tuple[list[TensorSpec], dict[str, Any]]:
    specs, values = [], {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        dtype = np.dtype(draw(TYPES))
        shape = draw(arrays.array_shapes(min_dims=0, max_dims=2, max_side=3))
        elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
        values[name] = draw(arrays.arrays(dtype, (samples, *shape), elements=elements))
        free = draw(st.booleans())
        specs.append(TensorSpec(name, dtype.name, (None, *(None if free else size for size in shape))))
    return specs, values


@st.composite
def contents(draw: st.DrawFn, base: Manifest) -> ArtifactContent:
    samples = draw(st.integers(1, 3))
    inputs, fed = draw(tensors(samples))
    outputs, made = draw(tensors(samples))
    files = draw(st.dictionaries(FILE_NAMES, st.binary(max_size=300), min_size=1, max_size=3))
    edges = sorted(draw(st.sets(FINITE, min_size=2, max_size=6)))
    manifest = replace(
        base,
        name=draw(NAMES),
        entry=sorted(files)[0],
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        preprocessing=draw(JSON),
        ledger=draw(JSON),
        seed=draw(st.integers(0, 2**63)),
        versions=draw(st.dictionaries(NAMES, NAMES, max_size=3)),
        histograms=(HistogramBins("t", "output", tuple(edges), tuple(range(len(edges) + 1))),),
        gates=(GateRecord(draw(NAMES), "passed", measured=draw(FINITE | st.none()), why=draw(st.text(max_size=5))),),
    )
    tolerances = {name: Tolerance(abs(draw(FINITE)), abs(draw(FINITE))) for name in made}
    vectors = TestVectors(fed, made, tolerances, draw(NAMES))
    return ArtifactContent(manifest, files, vectors, draw(st.dictionaries(st.text(max_size=5), JSON, max_size=3)))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_content_comes_back(data: st.DataObject, manifest: Manifest) -> None:
    content = data.draw(contents(manifest))
    try:
        artifact_zip._check_names([f"model/{name}" for name in content.files])
    except ArtifactError:
        with pytest.raises(ArtifactError):
            build_artifact(content)
        return
    built = build_artifact(content)
    assert_same(content, built)
    assert build_artifact(content) == built


def test_a_real_model_comes_back_from_a_file(content: ArtifactContent, tmp_path: Path) -> None:
    path = tmp_path / "new" / "tiny.ewa"
    written = write_artifact(path, content)
    assert_same(content, path.read_bytes())
    found = open_artifact(path)
    assert (found.digest, found.content_digest, found.size_bytes) == (
        written.digest,
        written.content_digest,
        path.stat().st_size,
    )
    assert [file.name for file in path.parent.iterdir()] == ["tiny.ewa"]


def test_the_order_of_what_is_given_does_not_matter(content: ArtifactContent) -> None:
    files = {"model.xml": b"<xml/>", "model.bin": b"\0" * 100}
    manifest = replace(content.manifest, entry="model.xml", target=replace(content.manifest.target, isa=("fma", "avx2")))
    other = ArtifactContent(
        manifest, dict(reversed(files.items())), content.test_vectors, dict(reversed(content.measurements.items()))
    )
    manifest = replace(manifest, versions=dict(reversed(manifest.versions.items())))
    assert build_artifact(other) == build_artifact(ArtifactContent(manifest, files, content.test_vectors, content.measurements))


def test_measurements_change_the_digest_but_not_the_content_digest(content: ArtifactContent) -> None:
    first = read_artifact(build_artifact(content))
    second = read_artifact(build_artifact(replace(content, measurements={"latency_ms": {"p50": 2.0}})))
    assert first.content_digest == second.content_digest
    assert first.digest != second.digest
    third = read_artifact(build_artifact(replace(content, manifest=replace(content.manifest, seed=8))))
    assert third.content_digest != first.content_digest


def test_other_zip_tools_read_it_and_contents_are_aligned(content: ArtifactContent) -> None:
    data = build_artifact(content)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        assert file.namelist() == [
            "manifest.json", "model/model.onnx", "test_vectors/inputs/000.npy", "test_vectors/outputs/000.npy",
            "measurements.json", "seal.json",
        ]  # fmt: skip
        for info in file.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.external_attr >> 16 == 0o100644
            assert data.find(file.read(info)) % 64 == 0
        loaded = np.load(io.BytesIO(file.read("test_vectors/inputs/000.npy")), allow_pickle=False)
    np.testing.assert_array_equal(loaded, content.test_vectors.inputs["x"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(array=TYPES.flatmap(lambda name: arrays.arrays(name, arrays.array_shapes(min_dims=0, max_dims=4, max_side=4))))
def test_arrays_are_as_numpy_writes_them(array: Any) -> None:
    data = artifact_arrays.encode(array, "a test")
    np.testing.assert_array_equal(np.load(io.BytesIO(data), allow_pickle=False), array)
    back = artifact_arrays.decode(data, "a test")
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert not back.flags.writeable


def test_reading_the_manifest_needs_no_numpy(content: ArtifactContent, tmp_path: Path) -> None:
    path = tmp_path / "tiny.ewa"
    write_artifact(path, content)
    code = (
        "import sys; from pathlib import Path; from edgewright.core.artifact_read import open_artifact;"
        "print(open_artifact(Path(sys.argv[1])).content_digest, 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.split() == [open_artifact(path).content_digest, "False"]
