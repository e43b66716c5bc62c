"""The artifacts of `make demo-fleet` are what it says of them."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgewright.core.artifact_read import open_artifact
from edgewright.core.canonical import digest
from edgewright.fleet.serve.check import check
from edgewright.fleet.serve.model import LoadedModel
from edgewright.fleet.serve.service import Service
from edgewright.fleet.serve.tally import Tally

sys.path.append(str(Path(__file__).parents[2] / "docs"))
from demo_fleet_models import BRIGHTEST, KNOWN, digits, write_versions

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the demo's artifacts are for x86-64")


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    return write_versions(tmp_path_factory.mktemp("versions"))


def loaded(version):
    return LoadedModel(version.artifact, "digits", digest(version.artifact.read_bytes()), 1)


def test_only_the_test_vectors_of_the_wrong_one_find_something(versions):
    found = {}
    for version in versions:
        model = loaded(version)
        found[version.what.partition(":")[0]] = check(model, Service(model, Tally())).passed
    assert found == {"good": True, "wrong answers": False, "slow": True, "crashing": True}


def test_all_have_gates_that_passed_and_bins_of_confidence(versions):
    for version in versions:
        manifest = open_artifact(version.artifact).manifest
        assert [gate.status for gate in manifest.gates] == ["passed"]
        assert [item.kind for item in manifest.histograms] == ["input", "confidence"]


def test_the_slow_one_answers_as_the_good_one_does(versions):
    x = digits()[0][KNOWN : KNOWN + 20]
    good, slow = (loaded(version) for version in (versions[1], versions[3]))
    for row in x:
        answers = [np.asarray(model.run({"x": row[None]}, 1).outputs["y"]) for model in (good, slow)]
        np.testing.assert_allclose(*answers, rtol=1e-5, atol=1e-6)


def test_the_crashing_one_ends_the_process_at_a_digit_that_is_as_bright_as_it_may_be(versions, tmp_path):
    x = digits()[0][KNOWN:]
    bright, dim = (x[x.max(axis=1) == BRIGHTEST][:1], x[x.max(axis=1) < BRIGHTEST][:1])
    code = (
        "import sys; import numpy as np; from pathlib import Path; from edgewright.fleet.serve.model import LoadedModel;"
        "LoadedModel(Path(sys.argv[1])).run({'x': np.load(sys.argv[2])}, 1)"
    )
    ended = {}
    for name, image in (("dim", dim), ("bright", bright)):
        np.save(tmp_path / f"{name}.npy", image)
        command = [sys.executable, "-c", code, str(versions[4].artifact), str(tmp_path / f"{name}.npy")]
        ended[name] = subprocess.run(command, capture_output=True, check=False).returncode
    assert ended == {"dim": 0, "bright": -signal.SIGFPE}
