"""On a real emulated device: the kernels of another CPU answer, nothing of it is left, and a compile is judged there."""

from __future__ import annotations

from pathlib import Path

import edgewright
import numpy as np
import pytest
from edgewright.core.artifact_read import open_artifact
from edgewright.runtimes.emulated.cores import CORES
from edgewright.runtimes.emulated.emulator import Emulator
from edgewright.runtimes.remote import RemoteExecutor


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_a_program_is_told_of_the_cores_instruction_sets(emulator: Emulator, core) -> None:
    assert core.isa <= emulator.on(core).cpu.flags


def test_a_compile_is_judged_there_and_answers_like_its_test_vectors(
    emulator: Emulator, digits: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = digits
    mounts = Path("/proc/self/mountinfo").read_text()
    result = edgewright.compile(
        model, data=data, profiles="raspberry-pi-4b", gates="top1 >= -3pt", precisions="int8", runtimes="onnxruntime",
        calib_samples=32, search_samples=64, emulate=emulator.root.folder, out=tmp_path / "out", store=tmp_path / "store",
        ledger=tmp_path / "ledger",
    )  # fmt: skip
    (target,) = result.report.targets
    assert [item.measured_on for item in target.candidates] == ["emulated", "emulated"]
    assert all(item.latency_ms is None for item in target.candidates)
    artifact = open_artifact(result.artifacts["raspberry-pi-4b"])
    assert artifact.manifest.measured_on == "emulated"
    vectors = artifact.test_vectors
    assert "on aarch64: the target's kernels, Cortex-A72, emulated by qemu" in vectors.arithmetic
    with RemoteExecutor("onnxruntime", 1, emulator.on(CORES[0])) as child:
        answers = child.load(artifact.files, artifact.manifest.entry).run(vectors.inputs)
    for name, expected in vectors.outputs.items():
        np.testing.assert_array_equal(answers[name], expected)
    assert Path("/proc/self/mountinfo").read_text() == mounts
