"""Loading a .tflite file: quiet where all is well, one sentence where it is not, no crash on a foolish number of threads."""

from __future__ import annotations

import os

import pytest
from edgewright.core.errors import RuntimeFailure
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes.litert import run
from edgewright.runtimes.litert.runtime import RUNTIME
from edgewright.runtimes.remote import RemoteExecutor

TEXT = """
<ir_version: 9, opset_import: ["" : 17]>
case (float[1,4] x) => (float[1,3] y) <float[4,3] w = {1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,1.0,2.0,3.0}> { y = MatMul(x, w) }
"""


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    import onnx

    lowered = RUNTIME.lower(Model.from_bytes(onnx.parser.parse_model(TEXT).SerializeToString()), load("x86-64-avx2"))
    return {"model.tflite": lowered.files[lowered.entry]}


def test_nothing_is_said_when_a_file_is_loaded(files: dict[str, bytes], capfd: pytest.CaptureFixture[str]) -> None:
    run.load(files, "model.tflite", 1).close()
    RUNTIME.profile_operators(files, "model.tflite", 1, {}, 1)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_information_still_gets_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with run.quiet():
        os.write(2, b"INFO: all is well\nERROR: something is wrong\n")
    assert capfd.readouterr().err == "ERROR: something is wrong\n"


def test_a_process_without_stderr_can_load(files: dict[str, bytes]) -> None:
    kept = os.dup(2)
    os.close(2)
    try:
        run.load(files, "model.tflite", 1).close()
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@pytest.mark.parametrize("threads", [0, -1, 100_000])
def test_a_number_of_threads_that_makes_no_sense_is_refused(files: dict[str, bytes], threads: int) -> None:
    with pytest.raises(RuntimeFailure, match="threads; give a number from 1 to 1024"):
        run.load(files, "model.tflite", threads)


def test_a_file_that_is_broken_is_one_sentence(files: dict[str, bytes]) -> None:
    with RemoteExecutor("litert", 1) as executor, pytest.raises(RuntimeFailure, match=r"LiteRT cannot load the file|crashed"):
        executor.load({"model.tflite": files["model.tflite"][:100]}, "model.tflite")
