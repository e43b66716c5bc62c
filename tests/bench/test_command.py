"""`edgewright bench FILE...` as a user has it: every runtime's file, options, refusals, what a terminal shows."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from edgewright.cli.bench_table import told
from edgewright.cli.main import group
from edgewright.core.artifact import ArtifactContent
from edgewright.core.artifact import TestVectors as Vectors
from edgewright.core.artifact_write import write_artifact
from edgewright.core.errors import EdgewrightError
from edgewright.core.executor import TensorSpec
from edgewright.core.manifest import (
    DataRecord,
    GateRecord,
    Manifest,
    RuntimeRecord,
    SourceRecord,
    TargetRecord,
    Tolerance,
)
from edgewright.device_profiles.detect import detect
from edgewright.device_profiles.host import measured_on
from edgewright.device_profiles.loader import load, to_toml
from edgewright.ir.model import Model
from edgewright.runtimes import registry
from edgewright.runtimes.bench.latency import Budget, measure
from edgewright.runtimes.bench.record import BenchReport, spread_of

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "bench-1.json").read_text())
QUICK = Budget(windows=5, runs=10, warm_up_s=0.02, window_s=0.0)
ENTRIES = {"onnxruntime": "one.onnx", "openvino": "one.xml", "litert": "one.tflite"}
TEXT = """
<ir_version: 9, opset_import: ["" : 17]>
small (float[BATCH,16] x) => (float[BATCH,3] y) <float[16,3] w> { h = MatMul(x, w) y = Relu(h) }
"""


def source(batch):
    proto = onnx.parser.parse_model(TEXT.replace("BATCH", batch))
    w = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    return proto.SerializeToString()


def artifact(path, target):
    """An artifact in the folder, released for `target`; its name."""
    x = np.zeros((1, 16), np.float32)
    vectors = Vectors({"x": x}, {"y": np.zeros((1, 3), np.float32)}, {"y": Tolerance(1e-6, 1e-6)}, "a test")
    manifest = Manifest(
        name="small",
        source=SourceRecord("small.onnx", "onnx", "0" * 64),
        data=DataRecord("data.npz", "1" * 64, {"accept": 1000}),
        pipeline="canonicalize",
        precision="float32",
        target=target,
        runtime=RuntimeRecord("onnxruntime", "1.32.0"),
        entry="model.onnx",
        inputs=(TensorSpec("x", "float32", (1, 16)),),
        outputs=(TensorSpec("y", "float32", (1, 3)),),
        gates=(GateRecord("top1 >= -1pt", "passed"),),
        versions={},
        measured_on=None,
    )
    write_artifact(path, ArtifactContent(manifest, {"model.onnx": source("1")}, vectors, {}))
    return path.name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One model for each runtime, one with a free batch, and labelled data that it answers right nine times of ten."""
    made = tmp_path_factory.mktemp("models")
    for runtime in registry.NAMES:
        lowered = registry.get(runtime).lower(Model.from_bytes(source("1")), load("x86-64-avx2"))
        for name, data in lowered.files.items():
            (made / f"one{Path(name).suffix}").write_bytes(data)
    (made / "free.onnx").write_bytes(source("N"))
    x = np.random.default_rng(1).standard_normal((200, 16)).astype(np.float32)
    executor = registry.get("onnxruntime").load({"m.onnx": source("N")}, "m.onnx", 1)
    y = executor.run({"x": x})["y"].argmax(axis=1)
    y[:20] = (y[:20] + 1) % 3
    np.savez(made / "data.npz", x=x, y=y)
    np.savez(made / "bare.npz", x=x)
    return made


@pytest.fixture
def shapes():
    """Shapes of the inputs that were measured with."""
    return []


@pytest.fixture
def run(folder, shapes, monkeypatch):
    """`run(*arguments)` in the folder of models, with short windows."""

    def quick(executor, inputs, **rest):
        shapes.extend(item["x"].shape for item in inputs)
        return measure(executor, inputs, **rest | {"budget": QUICK})

    monkeypatch.chdir(folder)
    monkeypatch.setattr("edgewright.runtimes.bench.here.measure", quick)

    def invoke(*arguments):
        return CliRunner().invoke(group, ["bench", *arguments])

    return invoke


def report(result):
    """The JSON that a command printed, held to the schema."""
    assert result.exit_code == 0, result.output
    value = json.loads(result.output)
    jsonschema.validate(value, SCHEMA)
    assert BenchReport.from_json(value).to_json() == value
    return BenchReport.from_json(value)


@pytest.mark.parametrize("runtime", registry.NAMES)
def test_every_runtime_s_file_with_everything_that_can_be_told(runtime, run, capfd):
    options = ("--threads", "2", "--starts", "1", "--operators", "--data", "data.npz", "--metric", "top1", "--metric", "f1")
    (found,) = report(run(ENTRIES[runtime], *options, "--json")).results
    measured = found.measurement
    assert (found.runtime, measured.runtime, measured.threads, found.threads, found.batch) == (runtime, runtime, 2, 2, 1)
    assert measured.runtime_version in registry.get(runtime).version()
    assert measured.cold_start_ms > measured.first_ms > 0
    assert measured.process_peak_bytes > measured.rss_growth_bytes >= 0
    assert measured.throughput > 0
    assert found.accuracy["top1"].value == 0.9
    assert found.accuracy["top1"].low < 0.9 < found.accuracy["top1"].high
    assert found.accuracy["f1"].n == 200
    rows = found.operators["rows"]
    assert rows
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert capfd.readouterr().err == ""


def test_every_combination_in_order_and_a_table_of_a_hundred_columns(run, folder):
    result = run("one.onnx", "free.onnx", "--threads", "1,2", "--batch", "1", "--starts", "0", "--json", "out.json")
    assert result.exit_code == 0, result.output
    found = BenchReport.from_json(json.loads((folder / "out.json").read_text()))
    assert [(item.file, item.threads) for item in found.results] == [
        ("one.onnx", 1),
        ("one.onnx", 2),
        ("free.onnx", 1),
        ("free.onnx", 2),
    ]
    assert all(item.measurement.cold_start_ms is None and item.measurement.rss_growth_bytes is None for item in found.results)
    lines = result.output.splitlines()
    assert lines[0].split() == ["file", "thr", "bat", "p50", "ms", "p90", "ms", "p99", "ms", "samples/s"]
    assert all(len(line) <= 100 for line in lines)


def test_a_free_batch_is_run_as_asked(run, shapes):
    found = report(run("free.onnx", "--batch", "1,8", "--starts", "0", "--json")).results
    assert [item.batch for item in found] == [1, 8]
    assert shapes == [(1, 16), (8, 16)]


def test_a_pattern_names_model_files_alone(run):
    found = report(run("o*.*", "--starts", "0", "--json")).results
    assert [item.file for item in found] == ["one.onnx", "one.tflite", "one.xml"]
    assert len({item.sha256 for item in found}) == 3


def test_against_another_file(run):
    (found,) = report(run("one.onnx", "--against", "one.tflite", "--rounds", "5", "--starts", "0", "--json")).results
    assert found.against["file"] == "one.tflite"
    assert found.against["low"] <= found.against["ratio"] <= found.against["high"]


def test_a_profile_that_is_this_machine_has_a_cost_and_another_has_none(run, tmp_path):
    here = tmp_path / "here.toml"
    here.write_text(
        to_toml(detect("here"))
        + 'price_per_hour = { value = 0.5, source = "the bill" }\npower_w = { value = 100, source = "a meter" }\n'
    )
    (found,) = report(run("one.onnx", "--profile", str(here), "--electricity", "0.4", "--starts", "0", "--json")).results
    assert (found.profile, found.measured_on) == ("here", "target")
    hours = 1e6 / found.measurement.throughput / 3600
    assert found.cost["per_million"] == pytest.approx(hours * (0.5 + 0.1 * 0.4))
    assert found.cost["kwh_per_million"] == pytest.approx(hours * 0.1)
    other = ("one.onnx", "--profile", "raspberry-pi-4b", "--electricity", "0.4", "--starts", "0")
    (found,) = report(run(*other, "--json")).results
    assert (found.profile, found.measured_on, found.cost) == ("raspberry-pi-4b", None, None)
    said = " ".join(run(*other).output.split())
    assert "no cost is told" in said
    assert "this is not its CPU, so the latency says nothing of it" in said


def test_an_artifact_brings_its_name_its_threads_and_its_profile(run, folder):
    profile = load("x86-64-avx2")
    made = artifact(folder / "of-ours.ewa", TargetRecord(profile.name, profile.arch, tuple(profile.isa), 2))
    (found,) = report(run(made, "--data", "data.npz", "--starts", "1", "--json")).results
    assert (found.name, found.runtime, found.threads, found.profile) == ("small", "onnxruntime", 2, "x86-64-avx2")
    assert found.measured_on == measured_on(profile, "onnxruntime", "latency")
    assert found.accuracy["top1"].measured_on == measured_on(profile, "onnxruntime", "accuracy", "float32")
    assert found.measurement.cold_start_ms > 0
    # A profile of that name with another CPU is not the one that this package knows.
    other = artifact(folder / "of-others.ewa", TargetRecord(profile.name, profile.arch, ("avx2",), 1))
    (found,) = report(run(other, "--starts", "0", "--json")).results
    assert (found.profile, found.measured_on) == (None, None)


def test_rules_say_what_they_ask_what_was_done_and_that_it_is_not_kept(run):
    result = run("one.onnx", "--rules", "mlperf-tiny:kws", "--data", "data.npz", "--starts", "0")
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "inferences/s; not kept" in said
    assert "asked latency: 5 windows, each of one input, of at least 10 s and 10 runs" in said
    assert "done 5 windows, each of one input, of at least 0.0 s and 10 runs" in said
    assert "asked accuracy of keyword spotting: top1 of at least 0.9 on 1000 inputs" in said
    assert "done top1 0.9000 on 200 inputs" in said
    assert "no result of MLCommons" in said


def test_one_result_is_a_block_of_a_hundred_columns(run):
    result = run("one.tflite", "--starts", "1", "--operators", "--data", "data.npz")
    labels = {line.split()[0] for line in result.output.splitlines() if not line.startswith(" ")}
    assert {"file", "runtime", "cpu", "latency", "percentiles", "throughput", "cold", "memory", "top1", "operators"} <= labels
    assert all(len(line) <= 100 for line in result.output.splitlines())


def test_results_of_several_places_are_told_with_their_spread(run):
    (here,) = report(run("one.tflite", "--starts", "0", "--json")).results
    there = here.__class__.from_json(here.to_json() | {"place": "kitchen"})
    shown = told(BenchReport((here, there), spread_of((here, there))))
    assert "kitchen" in shown
    assert any(line.split()[:5] == ["one", "1", "1", "p50_ms", "2"] for line in shown.splitlines())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.onnx"], "cannot read none.onnx"),
        (["one.onnx", "none.tflite"], "cannot read none.tflite"),
        (["one.bin"], "unknown kind of model file '.bin'"),
        (["x*.onnx"], "no model file is named like 'x*.onnx'"),
        (["one.tflite", "--batch", "8"], "one.tflite takes batches of 1, not of 8; give --batch 1"),
        (["free.onnx", "one.xml", "--batch", "8"], "one.xml takes batches of 1, not of 8"),
        (["free.onnx", "--batch", "8", "--against", "one.onnx"], "one.onnx takes batches of 1, not of 8"),
        (["one.onnx", "--threads", "0"], "'--threads' '0' is no list of numbers from 1 to 1024"),
        (["one.onnx", "--threads", "1,,2"], "'--threads' '1,,2' is no list"),
        (["one.onnx", "--threads", "2,2"], "each once"),
        (["one.onnx", "--threads", "¹"], "is no list"),
        (["one.onnx", "--batch", "many"], "'--batch' 'many' is no list"),
        (["one.onnx", "--json", "one.tflite"], "--json one.tflite names a model file"),
        (["one.onnx", "--profile", "raspbery-pi-4b"], "did you mean 'raspberry-pi-4b'"),
        (["one.onnx", "--rules", "mlperf"], "unknown rules 'mlperf'"),
        (["one.onnx", "--rules", "mlperf-tiny:kwz"], "did you mean 'kws'"),
        (["free.onnx", "--rules", "mlperf-tiny", "--batch", "1,2"], "one input a run"),
        (["one.onnx", "--metric", "top1"], "--metric has nothing to say without --data"),
        (["one.onnx", "--data", "data.npz", "--metric", "tpo1"], "unknown metric 'tpo1'"),
        (["one.onnx", "--data", "data.npz", "--metric", "cosine"], "compares with another model"),
        (["one.onnx", "--data", "bare.npz"], "has no labels"),
        (["one.onnx", "--data", "none.npz"], "none.npz"),
    ],
)
def test_a_request_that_cannot_be_met_measures_nothing(arguments, said, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = {file: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr("edgewright.runtimes.bench.here.measure", None)
    result = CliRunner().invoke(group, ["bench", *arguments])
    assert isinstance(result.exception, EdgewrightError), result.exception
    assert said in str(result.exception)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_a_runtime_that_is_not_installed_is_named(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("edgewright.runtimes.bench.opening._PACKAGES", {"onnxruntime": ("no-such-package",)})
    result = CliRunner().invoke(group, ["bench", "one.onnx"])
    assert "pip install 'edgewright[onnxruntime]'" in str(result.exception)


def test_help_speaks_of_bench_alone():
    said = CliRunner().invoke(group, ["bench", "--help"], prog_name="edgewright").output
    assert "Usage: edgewright bench [OPTIONS] FILE..." in said
    assert "Example: edgewright bench" in said
