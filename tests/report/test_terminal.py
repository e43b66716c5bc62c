from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from edgewright.optimizer.report.parts import Judgement, Latency, Speedup
from edgewright.optimizer.report.terminal import print_report, report_text
from edgewright.optimizer.report.types import Candidate, CompileReport, DataInfo, ModelInfo, TargetReport
from rich.console import Console

GOLDEN_RELEASED = """\
x86-64 with AVX2 (x86-64-avx2)
Released: int8 on OpenVINO, 73 % smaller, 1.25x faster (95 % interval 1.22 to
1.28), top-1 79.60 % against the reference's 79.81 %; change -0.21 points (bound
-0.72, margin -1.00, n = 2,963)

  runtime       precision     size  p50 ms  speed-up     top-1 (ref.)  verdict
  ONNX Runtime  float32    18.5 MB    13.6    0.816x  79.81 % (79.81)  tried
  ONNX Runtime  float16    9.30 MB    14.1    0.787x  79.78 % (79.81)  tried
  ONNX Runtime  int8       4.82 MB    9.24     1.20x  74.88 % (79.81)  failed
  OpenVINO      float32    18.7 MB    12.9    0.860x  79.81 % (79.81)  tried
  OpenVINO      float16    9.51 MB    13.0    0.854x  79.78 % (79.81)  tried
> OpenVINO      int8       5.03 MB    8.87     1.25x  79.60 % (79.81)  RELEASED
  LiteRT        float32    18.5 MB    11.1     1.00x  79.81 % (79.81)  tried
  LiteRT        float16    9.24 MB    11.2    0.991x  79.78 % (79.81)  tried
  LiteRT        int8       4.76 MB    12.1    0.917x  79.61 % (79.81)  passed
  tried: judged on search (n = 2,963) only; what may be released is judged on
  accept (n = 2,963)

int8 on OpenVINO, judged on accept:
gate                slice             ref.   cand. measured bound     n verdict
top1 >= -1pt        all samples    79.81 % 79.60 %    -0.21 -0.72 2,963 passed
top1[light] >= -2pt light=daylight 79.81 % 79.48 %    -0.33 -0.98 1,804 passed
top1[light] >= -2pt light=dusk     79.81 % 79.60 %    -0.21 -1.24   731 passed
top1[light] >= -2pt light=night    79.81 % 79.72 %    -0.09 -1.43   428 passed
"""

GOLDEN_REFUSED = """\
Raspberry Pi 4B (raspberry-pi-4b)
Nothing released: 400 samples cannot decide a margin of 0.5 points on top-1.
Nearest: float16 on LiteRT, top-1 79.61 % against the reference's 79.81 %;
change -0.20 points (bound -1.60, margin -0.50, n = 400).

  runtime   precision     size     top-1 (ref.)    change (bound)  verdict
  LiteRT    float16    9.30 MB  79.61 % (79.81)  -0.20 pt (-1.60)  undecided
  LiteRT    int8       4.82 MB  79.61 % (79.81)  -0.20 pt (-1.60)  undecided
  OpenVINO  int8             -                -                 -  failed

float16 on LiteRT, judged on accept:
gate           slice          ref.   cand. measured bound limit   n verdict
top1 >= -0.5pt all samples 79.81 % 79.61 %    -0.20 -1.60 -0.50 400 undecided

int8 on LiteRT, judged on accept:
gate           slice          ref.   cand. measured bound limit   n verdict
top1 >= -0.5pt all samples 79.81 % 79.61 %    -0.20 -1.60 -0.50 400 undecided
"""


def _one(candidate: Candidate, **more: object) -> CompileReport:
    target = TargetReport("pi", candidate.verdict, (candidate,), **more)
    return CompileReport(ModelInfo("m", "", "onnx"), DataInfo("d", ""), targets=(target,))


def test_the_table_at_80_columns(example: CompileReport, refused: CompileReport) -> None:
    assert report_text(example, Path("dist"), 80).startswith(GOLDEN_RELEASED)
    assert report_text(refused, Path("dist"), 80).startswith(GOLDEN_REFUSED)


def test_the_last_lines_are_the_paths(example: CompileReport) -> None:
    assert report_text(example, Path("dist")).splitlines()[-4:] == [
        "artifact  dist/efficientnet-lite0-x86-64-avx2.ewa",
        "artifact  dist/efficientnet-lite0-raspberry-pi-4b.ewa",
        "artifact  dist/efficientnet-lite0-arm64-linux.ewa",
        "report    dist/report.html",
    ]


def test_a_long_path_is_not_broken(example: CompileReport) -> None:
    out = Path("/very/long") / ("folder" * 30)
    assert f"report    {out}/report.html" in report_text(example, out).splitlines()


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(example: CompileReport, refused: CompileReport, width: int) -> None:
    for report in (example, refused):
        assert max(len(line) for line in report_text(report, Path("d"), width).splitlines()) <= width


def test_wide_terminals_show_more(example: CompileReport) -> None:
    text = report_text(example, Path("dist"), 120)
    assert "95 % interval" in text
    assert "      n  verdict" in text
    assert "judged on  verdict" in report_text(example, Path("dist"), 140)


@pytest.mark.parametrize("width", [80, 120])
def test_extreme_values_keep_the_table_in_one_line_a_row(width: int) -> None:
    judgement = Judgement("a-metric-with-a-long-name", "passed", "", "s" * 90, -1e300, 1.0, 1.0, bound=-1e300, n=10**30)
    candidate = Candidate(
        "a-runtime-with-a-very-long-name",
        "float8-e4m3-with-more",
        "passed",
        variant="v" * 40,
        size_bytes=10**300,
        latency_ms=Latency(1e200),
        speedup=Speedup(1e200, 1e-9, 1e250),
        verdicts=(judgement,),
    )
    lines = report_text(_one(candidate, chosen=candidate.key), Path("d"), width).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("  runtime"))
    assert lines[start + 1] == "v" * 13 + "…"
    assert lines[start + 2].startswith("> ")
    assert lines[start + 2].endswith("RELEASED")
    assert all(len(line) <= width for line in lines[start : start + 3])


def test_names_cannot_drive_the_terminal() -> None:
    nasty = "a\x1b[2J\x07\u202eb[red]c"
    judgement = Judgement(nasty, "failed", nasty, nasty, -0.1, 0.9, 0.8, -0.2, 0.0, -0.2, -0.05, why=nasty)
    candidate = Candidate(nasty, nasty, "failed", nasty, nasty, verdicts=(judgement,), missing={"size_bytes": nasty})
    text = report_text(_one(candidate, title=nasty, why=nasty, help=(nasty,)), Path("d"))
    assert not any(char in text for char in "\x1b\x07\u202e")
    assert "[red]" in text


def test_a_dash_has_its_reason() -> None:
    candidate = Candidate("litert", "int8", "failed", "the operator X is unknown", missing={"latency_ms": "it was not lowered"})
    text = report_text(_one(candidate), Path("d"))
    assert "latency: it was not lowered" in text
    assert "LiteRT int8: failed: the operator X is unknown" in text


def test_no_candidates_at_all() -> None:
    report = CompileReport(
        ModelInfo("m", "", "onnx"), DataInfo("d", ""), targets=(TargetReport("pi", "failed", why="no runtime."),)
    )
    assert report_text(report, Path("d")).splitlines() == ["pi", "Nothing released: no runtime.", "", "report    d/report.html"]


def _judged(split: str, verdict: str = "passed", n: int = 155, precision: str = "int8", **more: object) -> Candidate:
    why = f"the 95 % bound -0.50pt lies on {n} samples."
    judgement = Judgement("top1", verdict, "top1 >= -1pt", None, 0.0, 0.001, 0.001, bound=-0.005, threshold=-0.01, n=n, why=why)
    return Candidate("litert", precision, verdict, why, split=split, measured_on="target", verdicts=(judgement,), **more)


def _report(*candidates: Candidate, chosen: str | None = None, ledger: object = None, **more: object) -> CompileReport:
    target = TargetReport("pi", "passed" if chosen else "undecided", candidates, chosen, **more)
    data = DataInfo("d", "", {"search": 155, "accept": 920})
    return CompileReport(ModelInfo("m", "", "onnx"), data, targets=(target,), ledger={"pi": ledger} if ledger else {})


def test_what_was_only_tried_is_never_undecided() -> None:
    text = report_text(
        _report(_judged("search", "undecided", precision="float32"), _judged("accept", n=920), chosen="litert/int8"), Path("d")
    )
    assert "undecided" not in text
    assert "tried: judged on search (n = 155) only; what may be released is judged on accept (n = 920)" in text
    assert next(line for line in text.splitlines() if "float32" in line).endswith("tried")
    assert "LiteRT float32: undecided" not in text


def test_what_failed_on_search_reads_failed() -> None:
    text = report_text(_report(_judged("search", "failed")), Path("d"))
    assert next(line for line in text.splitlines() if line.startswith("  LiteRT")).endswith("failed")
    assert "LiteRT int8: failed: top1 >= -1pt on all samples: the 95 % bound -0.50pt lies on 155 samples." in text
    assert "failed: judged on search (n = 155) only" in " ".join(text.split())


def test_the_values_show_wrong_labels_at_once() -> None:
    text = report_text(_report(_judged("accept"), chosen="litert/int8"), Path("d"))
    assert "top-1 0.10 % against the reference's 0.10 %; change 0.00 points" in " ".join(text.split())
    assert "0.10 % (0.10)" in text


def test_a_line_for_each_gate_and_slice_that_was_looked_at() -> None:
    whole = Judgement("top1", "passed", "top1 >= -1pt", None, 0.0, 0.96, 0.96, bound=-0.007, threshold=-0.01, n=959)
    part = Judgement(
        "f1", "undecided", "f1[sex] >= -0.5pt", "sex=f", 0.0, 0.95, 0.95, bound=-0.016, threshold=-0.005, n=473, why="w."
    )
    candidate = Candidate("litert", "int8", "undecided", "sex=f: w.", split="accept", verdicts=(whole, part))
    lines = report_text(_report(candidate, why="sex=f: w."), Path("d"), 100).splitlines()
    assert "Nothing released: f1[sex] >= -0.5pt on sex=f: w. Nearest:" in " ".join(lines)
    assert lines[lines.index("int8 on LiteRT, judged on accept:") :][2:4] == [
        "top1 >= -1pt       all samples  96.00 %  96.00 %      0.00  -0.70  -1.00  959  passed",
        "f1[sex] >= -0.5pt  sex=f        95.00 %  95.00 %      0.00  -1.60  -0.50  473  undecided",
    ]


def test_the_look_is_one_line() -> None:
    ledger = {"look": 4, "alpha": 0.05 * 0.2 / 12, "alpha_spent": 0.0475, "candidates": ["ab" * 32]}
    report = _report(_judged("accept"), chosen="litert/int8", ledger=ledger)
    assert "look 4 at these data: level 0.083 % (5 % in all; fresh data start anew)" in report_text(report, Path("d"))
    assert "look" not in report_text(replace(report, ledger={"pi": ["odd"]}), Path("d"))


def test_a_disturbed_machine_is_told() -> None:
    candidate = _judged("accept", latency_ms=Latency(1.0), speedup=Speedup(1.9, 1.8, 2.0))
    report = _report(candidate, chosen="litert/int8", conditions={"disturbed": True})
    said = " ".join(report_text(report, Path("d")).split())
    assert "1.90x faster (95 % interval 1.80 to 2.00); the machine was disturbed while timing" in said


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_figure_is_cut(width: int) -> None:
    many = [
        _judged("search", precision=f"p{index}", size_bytes=size, latency_ms=Latency(p50), speedup=Speedup(123.4, 100.0, 150.0))
        for index, (size, p50) in enumerate([(123_456_789, 123.4), (999, 0.00512), (10**300, 1e200), (5, 12345.6)])
    ]
    text = report_text(_report(*many), Path("d"), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 100])
def test_compressed_sizes_are_shown_where_they_say_something(trained: CompileReport, width: int) -> None:
    assert "zipped" not in report_text(trained, Path("d"), width)
    (target,) = trained.targets
    sparse = [
        replace(item, variant="sparse", compressed_bytes=round((item.size_bytes or 0) * 0.52))
        for item in target.candidates
        if not item.variant
    ]
    report = replace(trained, targets=(replace(target, candidates=(*target.candidates, *sparse)),))
    lines = report_text(report, Path("d"), width).splitlines()
    assert max(map(len, lines)) <= width
    head = next(line for line in lines if line.startswith("  runtime"))
    assert head.split()[2:5] == ["size", "smaller", "zipped"]
    last = [line for line in lines if line.startswith("  LiteRT        int8")][-1]
    assert last[: head.index("zipped") + len("zipped")].endswith("4.76 MB     74 %  2.48 MB")
    assert "  zipped: what a download takes (zlib, level 9)" in lines


def test_microseconds_are_readable() -> None:
    assert "5.1 us" in report_text(_report(_judged("search", latency_ms=Latency(0.00512))), Path("d"), 80)


def test_a_pipe_has_100_columns(example: CompileReport) -> None:
    stream = io.StringIO()
    print_report(example, Console(file=stream, width=80), Path("d"))
    assert [line.rstrip() for line in stream.getvalue().splitlines()] == report_text(example, Path("d"), 100).splitlines()
