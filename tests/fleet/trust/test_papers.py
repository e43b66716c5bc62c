"""The papers beside an artifact: valid by the official schemas, the same for the same artifact, true to the manifest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from edgewright.core.artifact import Artifact
from edgewright.core.artifact_read import open_artifact
from edgewright.core.manifest import GateRecord
from edgewright.fleet.protocol.offer import Latency
from edgewright.fleet.trust.bom import bill_of_materials
from edgewright.fleet.trust.describe import chunk_list, describe
from edgewright.fleet.trust.operators import operator_sets
from edgewright.fleet.trust.provenance import provenance
from hypothesis import given
from hypothesis import strategies as st
from tiny_artifact import affine_onnx, write_tiny

GATES = (
    GateRecord(
        "top1 >= -1pt",
        "passed",
        measured=-0.001,
        low=-0.002,
        high=0.001,
        reference=0.91,
        candidate=0.909,
        negative_flips=4,
        n=1000,
        measured_on="target",
    ),
    GateRecord("top1[age]", "undecided", slice="age=old", report_only=True, n=12),
)
MEASUREMENTS = {"latency_ms": {"p50": 0.5, "p90": 1, "p99": 2.25}, "measurement": {"rss_growth_bytes": 4096}}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    found = open_artifact(write_tiny(tmp_path_factory.mktemp("artifact") / "tiny.ewa"))
    return replace(found, manifest=replace(found.manifest, gates=GATES), measurements=MEASUREMENTS)


def test_the_bill_of_materials_is_valid_cyclonedx(artifact: Artifact) -> None:
    text = bill_of_materials(artifact, "tiny", 3).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    broken = text.replace('"modelParameters"', '"modelparameters"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


def test_the_bill_of_materials_tells_what_the_manifest_knows(artifact: Artifact) -> None:
    bom = json.loads(bill_of_materials(artifact, "tiny", 3))
    model = bom["metadata"]["component"]
    assert (model["name"], model["version"]) == ("tiny", "3")
    assert model["hashes"] == [{"alg": "SHA-256", "content": artifact.digest}]
    card = model["modelCard"]
    metrics = {(item["type"], item.get("slice")): item for item in card["quantitativeAnalysis"]["performanceMetrics"]}
    measured = metrics["top1 >= -1pt: measured", None]
    assert measured["confidenceInterval"] == {"lowerBound": "-0.002", "upperBound": "0.001"}
    assert metrics["top1 >= -1pt: candidate", None]["value"] == "0.909"
    assert metrics["latency p99 in milliseconds", None]["value"] == "2.25"
    assert any("age=old is undecided" in text for text in card["considerations"]["technicalLimitations"])
    assert any("4 of 1000 answers became wrong" in text for text in card["considerations"]["performanceTradeoffs"])
    assert {"name": "edgewright:quantization.precision", "value": "float32"} in card["properties"]
    digests = {part["name"]: part["hashes"][0]["content"] for part in bom["components"] if "hashes" in part}
    assert digests == {"tiny.onnx": "0" * 64, "data.npz": "1" * 64}


def test_the_serial_number_is_the_artifacts_own(artifact: Artifact) -> None:
    first, same, other = (bill_of_materials(artifact, "tiny", version) for version in (3, 3, 4))
    assert first == same
    assert json.loads(first)["serialNumber"] != json.loads(other)["serialNumber"]


def test_the_provenance_is_an_in_toto_statement_with_what_went_in(artifact: Artifact) -> None:
    statement = json.loads(provenance(artifact, "tiny/x86-64-avx2/3.ewa"))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"digest": {"sha256": artifact.digest}, "name": "tiny/x86-64-avx2/3.ewa"}]
    definition = statement["predicate"]["buildDefinition"]
    assert [item["digest"]["sha256"] for item in definition["resolvedDependencies"]] == ["0" * 64, "1" * 64]
    assert definition["externalParameters"]["target"]["profile"] == "x86-64-avx2"
    assert statement["predicate"]["runDetails"]["builder"]["version"] == {"edgewright": "0.1.0"}
    assert definition["buildType"].startswith("urn:")


def test_the_offer_tells_latency_and_memory_where_they_were_measured(artifact: Artifact) -> None:
    def offered(given: Artifact) -> Any:
        return describe(given, b"", "tiny/x86-64-avx2/3.ewa", "tiny", 3)[0]

    assert offered(artifact).latency == Latency(0.5, 2.25, "target")
    assert offered(artifact).ram_bytes == 4096
    elsewhere = replace(artifact, manifest=replace(artifact.manifest, measured_on=None))
    assert offered(elsewhere).latency is None
    unmeasured = replace(artifact, measurements={"latency_ms": None, "measurement": None})
    assert (offered(unmeasured).latency, offered(unmeasured).ram_bytes) == (None, None)
    assert [gate.status for gate in offered(artifact).gates] == ["passed", "undecided"]


@pytest.mark.parametrize(("size", "chunks"), [(0, 0), (1, 1), (65536, 1), (65537, 2), (200_000, 4)])
def test_chunk_lists(size: int, chunks: int) -> None:
    assert len(chunk_list(bytes(size))) == 32 * chunks


def test_operator_sets_of_onnx_are_those_that_onnx_itself_reads() -> None:
    model = onnx.load_from_string(affine_onnx(0.0, 1))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    assert operator_sets({"model.onnx": model.SerializeToString()}, "model.onnx") == {"ai.onnx": 17, "com.microsoft": 1}


def test_operator_sets_of_openvino() -> None:
    text = b'<net><layers><layer id="0" version="opset1"/><layer id="1" type="X" version="opset13"/></layers></net>'
    assert operator_sets({"model.xml": text}, "model.xml") == {"opset": 13}
    assert operator_sets({"model.xml": b"<net/>"}, "model.xml") == {}
    assert operator_sets({"model.tflite": b"TFL3"}, "model.tflite") == {}


@given(st.binary(max_size=200), st.integers(0, 400))
def test_a_broken_model_file_tells_nothing_and_raises_nothing(junk: bytes, cut: int) -> None:
    for data in (junk, affine_onnx(0.0, 1)[:cut] + junk):
        found = operator_sets({"model.onnx": data}, "model.onnx")
        assert all(isinstance(version, int) for version in found.values())


def test_a_real_http_server_serves_it(tmp_path: Path) -> None:
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    from trust.publisher import Device, Publisher

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    publisher = Publisher(tmp_path)
    publisher.publish(1.0)
    publisher.publish(2.0, is_canary=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "repo")))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        found = Device(tmp_path / "repo", tmp_path / "device", f"http://127.0.0.1:{server.server_port}/").sees()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert found["tiny/x86-64-avx2/1.ewa"] == publisher.artifact(1.0).read_bytes()
    assert found["canary/tiny/x86-64-avx2/2.ewa"] == publisher.artifact(2.0).read_bytes()
