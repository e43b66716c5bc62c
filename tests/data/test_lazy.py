"""Reading a few samples touches a few samples; memory does not grow with the file."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from edgewright.calibration import spool
from edgewright.calibration.bind import bind
from edgewright.calibration.opening import open_dataset
from edgewright.core.executor import TensorSpec

_SAMPLES, _SHAPE = 400, (64, 64, 3)
_FILE_BYTES = _SAMPLES * 64 * 64 * 3 * 4

_CHILD = """
import resource, sys
import numpy as np
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.core.executor import TensorSpec
data = open_dataset(sys.argv[1])
batches = Split("calib", data, tuple(range(int(sys.argv[2]))))
list(zip(range(2), batches.batches(8)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for batch in batches.batches(8):
    batch.inputs["x"].sum()
if len(sys.argv) > 3: data.digest
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("big")
    x = np.random.default_rng(0).integers(0, 50, (_SAMPLES, *_SHAPE)).astype(np.float32)
    paths = {name: folder / f"{name}.npz" for name in ("stored", "deflated")}
    np.savez(paths["stored"], x=x, y=np.arange(_SAMPLES))
    np.savez_compressed(paths["deflated"], x=x, y=np.arange(_SAMPLES))
    return paths


@pytest.mark.parametrize("kind", ["stored", "deflated"])
def test_eight_samples_allocate_eight_samples(big, kind) -> None:
    tracemalloc.start()
    try:
        batch = open_dataset(big[kind]).read(range(100, 108))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert batch.labels.tolist() == list(range(100, 108))
    assert peak < _FILE_BYTES / 4


def test_eight_samples_read_eight_samples(big, monkeypatch) -> None:
    counted = []
    read = os.preadv

    def counting(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        counted.append(read(descriptor, buffers, offset))
        return counted[-1]

    data = open_dataset(big["stored"])
    monkeypatch.setattr(spool.os, "preadv", counting)
    data.read(range(8))
    assert sum(counted) == 8 * (64 * 64 * 3 * 4 + 8)
    assert len(counted) == 2
    counted.clear()
    assert len(open_dataset(bind(data, (TensorSpec("image", "float32", (None, *_SHAPE)),)))) == _SAMPLES
    assert counted == []


@pytest.mark.parametrize("kind", ["stored", "deflated"])
def test_resident_memory_does_not_grow_with_samples(big, kind) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _CHILD, str(big[kind]), str(_SAMPLES), "digest"], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < _FILE_BYTES / 2


def test_unpacked_files_leave_nothing_behind(big, tmp_path) -> None:
    data = open_dataset(big["deflated"])
    data.read([0])
    assert list((tmp_path / "cache").iterdir()) == []


def test_images_are_decoded_when_read(image_folder) -> None:
    data = open_dataset(image_folder)
    (image_folder / "dog" / "2.png").write_bytes(b"broken")
    assert len(data) == 9
    assert data.read([0]).labels.tolist() == [0]
