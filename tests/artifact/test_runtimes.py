"""An artifact of each runtime: written, verified and run by the command line, on a device without the compiler's libraries."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edgewright.core.artifact import ArtifactContent, TestVectors
from edgewright.core.artifact_write import write_artifact
from edgewright.core.manifest import RuntimeRecord
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes import registry
from edgewright.runtimes.bench.batches import run_all

MISSING = ("onnx", "onnx_ir", "onnxscript", "torch", "tensorflow", "rich", "jinja2", "pandas", "scipy", "sklearn", "matplotlib")
DEVICE = f"""
import sys
sys.modules.update(dict.fromkeys({MISSING!r}))
from edgewright.cli.main import main
main()
"""


def on_a_device(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process where what a device lacks cannot be imported."""
    return subprocess.run([sys.executable, "-c", DEVICE, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", registry.NAMES)
def test_each_runtime(name: str, content: ArtifactContent, model_bytes: bytes, tmp_path: Path) -> None:
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
    vectors = TestVectors(content.test_vectors.inputs, outputs, 1e-6, 1e-6, f"{name} in a test")
    path = tmp_path / f"{name}.ewa"
    write_artifact(path, ArtifactContent(manifest, lowered.files, vectors))

    verified = on_a_device("verify", path)
    assert verified.returncode == 0, verified.stderr
    assert "5 samples" in verified.stdout
    assert "it was judged with" not in verified.stdout
    np.savez(tmp_path / "in.npz", **content.test_vectors.inputs)
    ran = on_a_device("run", path, "--input", tmp_path / "in.npz", "--output", tmp_path / "out.npz")
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["y"], outputs["y"], atol=1e-6)
    assert on_a_device("inspect", path).returncode == 0
