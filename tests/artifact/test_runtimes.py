"""An artifact of each runtime: written, verified and run by the command line, on a device without the compiler's libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edgewright.core.artifact import ArtifactContent, TestVectors
from edgewright.core.artifact_write import write_artifact
from edgewright.core.manifest import RuntimeRecord, Tolerance
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes import registry
from edgewright.runtimes.bench.batches import run_all

MISSING = ("onnx", "onnx_ir", "onnxscript", "torch", "tensorflow", "rich", "jinja2", "pandas", "scipy", "sklearn", "matplotlib")
COMMAND = "from edgewright.cli.main import main; main()"


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which what a device lacks cannot be imported, in child processes neither."""
    folder = tmp_path_factory.mktemp("device")
    for name in MISSING:
        (folder / f"{name}.py").write_text(f"raise ImportError('a device has no {name}')\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def edgewright(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("name", registry.NAMES)
def test_each_runtime(name: str, content: ArtifactContent, model_bytes: bytes, device: dict[str, str], tmp_path: Path) -> None:
    runtime = registry.get(name)
    lowered = runtime.lower(Model.from_bytes(model_bytes), load("x86-64-avx2"))
    with closing(runtime.load(lowered.files, lowered.entry, 1)) as executor:
        outputs = run_all(executor, content.test_vectors.inputs)
        manifest = replace(
            content.manifest,
            entry=lowered.entry,
            runtime=RuntimeRecord(name, runtime.version()),
            inputs=executor.inputs,
            outputs=executor.outputs,
        )
    np.testing.assert_allclose(outputs["y"], content.test_vectors.outputs["y"], atol=1e-5)
    vectors = TestVectors(content.test_vectors.inputs, outputs, {"y": Tolerance(1e-6, 1e-6)}, f"{name} in a test")
    path = tmp_path / f"{name}.ewa"
    write_artifact(path, ArtifactContent(manifest, lowered.files, vectors))

    verified = edgewright(device, "verify", path)
    assert verified.returncode == 0, verified.stderr
    assert "5 samples" in verified.stdout
    assert "it was judged with" not in verified.stdout
    np.savez(tmp_path / "in.npz", **content.test_vectors.inputs)
    ran = edgewright(device, "run", path, "--input", tmp_path / "in.npz", "--output", tmp_path / "out.npz")
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["y"], outputs["y"], atol=1e-6)
    assert edgewright(device, "inspect", path).returncode == 0


def test_a_device_lacks_what_the_test_says(device: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", "import onnx"], capture_output=True, text=True, check=False, env=device)
    assert "a device has no onnx" in done.stderr


@pytest.mark.parametrize("command", ["verify", "run"])
def test_a_model_that_crashes_its_runtime(
    command: str, content: ArtifactContent, device: dict[str, str], tmp_path: Path, model_bytes: bytes
) -> None:
    """The runtime's package is replaced by one that dies: the command lives on and says so."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "onnxruntime.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    path = tmp_path / "crash.ewa"
    write_artifact(path, content)
    np.savez(tmp_path / "in.npz", **content.test_vectors.inputs)
    files = ["--input", tmp_path / "in.npz", "--output", tmp_path / "out.npz"] if command == "run" else []
    done = edgewright({**device, "PYTHONPATH": f"{broken}{os.pathsep}{device['PYTHONPATH']}"}, command, path, *files)
    assert done.returncode == 1
    assert done.stderr.startswith("error[E-RUNTIME]: onnxruntime crashed on this model (signal 11)")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.npz").exists()
