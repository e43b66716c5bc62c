"""Comparing reports of `edgewright bench`: from windows, wider for what passed between, and never across machines."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from edgewright.runtimes.bench.measurement import Measurement
from edgewright.runtimes.bench.record import BenchReport, BenchResult, Figure

WINDOWS = (1.00, 1.01, 0.99, 1.005, 0.995)


def measurement(factor=1.0, **changes):
    windows = tuple(factor * value for value in WINDOWS)
    made = Measurement(
        median_ms=factor, p50_ms=factor, p90_ms=1.2 * factor, p99_ms=2 * factor, p90_upper_ms=None, runs=250,
        window_ms=windows, spread=0.02, warm_up_runs=10, is_shortened=False, drift=0.01, is_disturbed=False, threads=1,
        runtime="onnxruntime", runtime_version="1", cpu="a CPU", cpu_flags=(),
        window_p90_ms=tuple(1.2 * value for value in windows),
        rss_growths_bytes=(1_000_000, 1_010_000, 990_000, 1_000_000, 1_005_000),
    )  # fmt: skip
    return replace(made, **changes)


def result(factor=1.0, top1=None, name="model", **changes):
    accuracy = None if top1 is None else {"top1": Figure(top1, top1 - 0.01, top1 + 0.01, 0.95, 4000)}
    made = BenchResult(
        f"{name}.ewa", name, "ab" * 32, 1000, "onnxruntime", None, "here", 1, 1,
        measurement=measurement(factor), accuracy=accuracy,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def compared(tmp_path, run, check):
    """Compares two lists of results under rules: exit code, findings by figure, notes (or the error)."""

    def call(base, head, *rules, options=()):
        for name, results in (("base", base), ("head", head)):
            (tmp_path / f"{name}.json").write_text(json.dumps(BenchReport(tuple(results)).to_json()))
        asked = [part for rule in rules for part in ("--fail-on", rule)]
        code, out, error = run(tmp_path / "base.json", tmp_path / "head.json", *asked, *options, "--json")
        if error:
            return code, error, []
        found = json.loads(out)
        check(found)
        return code, {item["figure"]: item for item in found["findings"]}, found["notes"]

    return call


@pytest.mark.parametrize(
    ("factor", "status", "code"), [(1.0, "none", 0), (1.2, "regression", 2), (1.05, "undecided", 0), (1.02, "noise", 0)]
)
def test_windows_and_what_passed_between_make_the_interval(compared, factor, status, code):
    found, figures, notes = compared([result()], [result(factor)], "p50_ms > +5%")
    assert (found, figures["p50_ms"]["status"]) == (code, status)
    # The windows alone would bound the ratio to about 2 %; records cannot be that sure.
    assert figures["p50_ms"]["high"] - figures["p50_ms"]["low"] > 0.06
    assert any("not measured in turns" in note for note in notes)


def test_a_disturbed_record_shows_no_regression(compared):
    head = result(1.5, measurement=measurement(1.5, drift=0.04, is_disturbed=True))
    code, figures, _ = compared([result()], [head], "p50_ms > +5%")
    assert (code, figures["p50_ms"]["status"]) == (0, "undecided")
    assert "disturbed" in figures["p50_ms"]["why"]


def test_a_kernel_that_changed_much_widens_the_interval(compared):
    head = result(1.2, measurement=measurement(1.2, drift=0.25, is_disturbed=True))
    _, figures, _ = compared([result()], [head], "p50_ms > +5%")
    assert figures["p50_ms"]["low"] < 0
    assert figures["p50_ms"]["high"] > 0.45


@pytest.mark.parametrize(
    ("rule", "code"), [("p90_ms > +5%", 2), ("p50_ms > +0.1ms", 2), ("p50_ms > 2ms", 0), ("memory > +5%", 0), ("size > +1%", 0)]
)
def test_every_figure_that_a_record_holds_can_be_judged(compared, rule, code):
    assert compared([result()], [result(1.3)], rule)[0] == code


def test_metrics_are_compared_as_of_independent_samples(compared):
    code, figures, _ = compared([result(top1=0.9)], [result(top1=0.85)], "top1 < -0.5pt")
    assert code == 2
    lost = figures["top1"]
    assert lost["measured"] == pytest.approx(-0.05)
    # Each interval reaches one point at 95 %; together 1.41, at the one-sided 95 % of the rule 1.645 / 1.96 of that.
    assert lost["high"] == pytest.approx(-0.05 + 0.01 * 2**0.5 * 1.645 / 1.96, abs=1e-4)
    assert compared([result(top1=0.9)], [result(top1=0.895)], "top1 < -0.5pt")[0] == 0


@pytest.mark.parametrize(("rule", "code"), [("top1 < -2%", 2), ("top1 < 80%", 0), ("top1 < 90%", 2)])
def test_a_share_and_a_level_of_a_metric(compared, rule, code):
    assert compared([result(top1=0.9)], [result(top1=0.85)], rule)[0] == code


def test_results_are_paired_by_what_they_are_and_the_rest_is_named(compared):
    base = [result(name="a"), result(name="b")]
    head = [result(name="b"), result(1.5, name="a"), result(name="c")]
    code, _, notes = compared(base, head, "p50_ms > +5%")
    assert code == 2
    assert any(note.startswith("c (onnxruntime") for note in notes)


def test_several_records_of_one_file_count_each_as_one(compared):
    _, figures, _ = compared(
        [result(1 + n / 100) for n in range(6)], [result(1.01 + n / 100) for n in range(6)], "p50_ms > +50%"
    )
    assert figures["p50_ms"]["n"] == 6


@pytest.mark.parametrize(
    ("base", "head", "rule", "told"),
    [
        (result(), result(measurement=measurement(cpu="another")), "p50_ms > +5%", "times of different CPUs"),
        (result(), result(measurement=None), "p50_ms > +5%", "recorded without p50_ms"),
        (result(), result(), "cold_start_ms > +5%", "recorded without cold_start_ms"),
        (result(), result(), "top1 < -1pt", "recorded without top1"),
        (result(), result(threads=2), "p50_ms > +5%", "threads 1 and HEAD with 2"),
        (result(), result(batch=8), "p50_ms > +5%", "batch 1 and HEAD with 8"),
        (result(), result(), "top1[site] < -1pt", "each sample's answer"),
        (result(top1=0.0), result(top1=0.5), "top1 < -1%", "no share of that"),
    ],
)
def test_what_records_cannot_tell_is_refused(compared, base, head, rule, told):
    code, error, _ = compared([base], [head], rule)
    assert code == 1
    assert told in error


def test_reports_without_a_common_result_or_with_none_are_refused(compared):
    others = [result(name="c"), result(name="d")]
    assert "no record of BASE" in compared([result(name="a"), result(name="b")], others, "p50_ms > +5%")[1]
    assert "holds no result" in compared([], [result()], "p50_ms > +5%")[1]


def test_data_beside_a_report_are_refused(compared, builds):
    code, error, _ = compared([result()], [result()], options=("--data", str(builds / "lost.npz")))
    assert code == 1
    assert "report holds no answers" in error


def test_a_file_is_measured_as_the_report_beside_it_was(builds, run, tmp_path, check):
    made = result(1000.0, name="base", batch=25, measurement=None)
    (tmp_path / "base.json").write_text(json.dumps(BenchReport((made,)).to_json()))
    code, out, _ = run(tmp_path / "base.json", builds / "same.onnx", "--fail-on", "size > 1MB", "--seconds", "0.4", "--json")
    found = json.loads(out)
    check(found)
    assert code == 0
    assert found["head"][0]["file"].endswith("same.onnx")
