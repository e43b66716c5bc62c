"""Child processes: what lies in the current folder is not run, and slow models get an answer's time for each run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgewright.core import child
from edgewright.core.errors import ModelError, RuntimeFailure
from edgewright.optimizer.ingest import tensorflow_job
from edgewright.runtimes import location, remote
from edgewright.runtimes.remote import RemoteExecutor
from onnx import TensorProto, helper

HOSTILE = ("numpy", "random", "json", "multiprocessing", "importlib", "onnxruntime", "onnx_ir", "pathlib", "site", "edgewright")
SLOW = """
import sys, time
import numpy as np
from edgewright.core.executor import TensorSpec
from edgewright.runtimes import worker

class Slow:
    inputs, outputs = (TensorSpec("x", "float32", (1, 3)),), (TensorSpec("y", "float32", (1, 3)),)

    def run(self, arrays):
        time.sleep(float(arrays["x"][0, 0]))
        return {"y": arrays["x"]}

worker.load_model = lambda file: Slow()
worker.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def model() -> bytes:
    """y = x + x, with batch 1."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "twice", values[:1], values[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with modules that leave a file behind when they are run; the path of that file."""
    trace = tmp_path / "was-run"
    folder = tmp_path / "downloads"
    folder.mkdir()
    for name in HOSTILE:
        (folder / f"{name}.py").write_text(f"open({str(trace)!r}, 'a').write({name!r})\nraise SystemExit(3)\n")
    monkeypatch.chdir(folder)
    return trace


def test_the_worker_runs_nothing_of_the_current_folder(hostile: Path, model: bytes) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    with RemoteExecutor("onnxruntime", 1) as executor:
        executor.load({"m.onnx": model}, "m.onnx")
        np.testing.assert_array_equal(executor.run({"x": x})["y"], x + x)
    assert not hostile.exists()


def test_tensorflow_s_child_runs_nothing_of_the_current_folder(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keras that refuses to be imported ends the child early, after all else was imported."""
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "keras.py").write_text("raise ImportError('the first on the path')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "first"))
    with pytest.raises(ModelError, match="the first on the path"):
        tensorflow_job.convert_in_child(tmp_path / "x.keras", "keras", None, False)
    assert not hostile.exists()


def test_a_package_on_a_path_of_its_own_is_found_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "edgewright"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "probe.py").write_text("import json\ndef main(given):\n    print(__file__, json.__file__, *given)\n")
    (tmp_path / "json.py").write_text("raise SystemExit(3)\n")
    monkeypatch.setattr(child, "__file__", str(package / "core" / "child.py"))
    python, *rest = child.child_command("edgewright.probe", "a", "b")
    # -S: no hook of an editable install finds the package first.
    done = subprocess.run([python, "-S", *rest], capture_output=True, text=True, check=True)
    probe, json_file, *given = done.stdout.split()
    assert (probe, given) == (str(package / "probe.py"), ["a", "b"])
    assert not json_file.startswith(str(tmp_path))


def test_the_limit_is_for_a_run_and_not_for_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six runs of half a second each under a limit of two; then one that does not end."""
    monkeypatch.setattr(location, "child_command", lambda module, *given: [sys.executable, "-c", SLOW, *given])
    with RemoteExecutor("onnxruntime", 1) as executor:
        executor.load({}, "slow")
        monkeypatch.setattr(remote, "_SECONDS_PER_RUN", 2.0)
        x = np.full((6, 3), 0.5, np.float32)
        np.testing.assert_array_equal(executor.run({"x": x})["y"], x)
        with pytest.raises(RuntimeFailure, match="onnxruntime gave no answer within 2 s; it was ended"):
            executor.run({"x": x * 100})
