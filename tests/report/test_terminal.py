from __future__ import annotations

from pathlib import Path

import pytest
from edgewright.optimizer.report.parts import Judgement, Latency, Speedup
from edgewright.optimizer.report.terminal import report_text
from edgewright.optimizer.report.types import Candidate, CompileReport, DataInfo, ModelInfo, TargetReport

GOLDEN_RELEASED = """\
x86-64 with AVX2 (x86-64-avx2)
Released: int8 on OpenVINO, 73 % smaller, 1.25x faster (95 % interval 1.22 to
1.28), top-1 -0.21 points (bound -0.72, margin -1.00, n = 2,963)

  runtime       precision     size  p50 ms  speed-up     top-1 (bound)  verdict
  ONNX Runtime  float32    18.5 MB    13.6    0.816x   0.00 pt (-0.08)  passed
  ONNX Runtime  float16    9.30 MB    14.1    0.787x  -0.03 pt (-0.11)  passed
  ONNX Runtime  int8       4.82 MB    9.24     1.20x  -4.93 pt (-5.44)  failed
  OpenVINO      float32    18.7 MB    12.9    0.860x   0.00 pt (-0.08)  passed
  OpenVINO      float16    9.51 MB    13.0    0.854x  -0.03 pt (-0.11)  passed
> OpenVINO      int8       5.03 MB    8.87     1.25x  -0.21 pt (-0.72)  RELEASED
  LiteRT        float32    18.5 MB    11.1     1.00x   0.00 pt (-0.08)  passed
  LiteRT        float16    9.24 MB    11.2    0.991x  -0.03 pt (-0.11)  passed
  LiteRT        int8       4.76 MB    12.1    0.917x  -0.20 pt (-0.71)  passed
"""

GOLDEN_REFUSED = """\
Raspberry Pi 4B (raspberry-pi-4b)
Nothing released: 400 samples cannot decide a margin of 0.5 points on top-1.

  runtime   precision     size  p50 ms  speed-up     top-1 (bound)  verdict
  LiteRT    float16    9.30 MB       -         -  -0.20 pt (-1.60)  undecided
  LiteRT    int8       4.82 MB       -         -  -0.20 pt (-1.60)  undecided
  OpenVINO  int8             -       -         -                 -  failed
"""


def _one(candidate: Candidate, **more: object) -> CompileReport:
    target = TargetReport("pi", candidate.verdict, (candidate,), **more)
    return CompileReport(ModelInfo("m", "", "onnx"), DataInfo("d", ""), targets=(target,))


def test_the_table_at_80_columns(example: CompileReport, refused: CompileReport) -> None:
    assert report_text(example, Path("dist")).startswith(GOLDEN_RELEASED)
    assert report_text(refused, Path("dist")).startswith(GOLDEN_REFUSED)


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
    assert "judged on" in text


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
    assert lines[start + 1].startswith("> ")
    assert lines[start + 1].endswith("RELEASED")
    assert all(len(line) <= width for line in lines[start : start + 2])


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
