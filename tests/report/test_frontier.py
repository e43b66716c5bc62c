"""The picture of size against accuracy, and how the report groups what many pipelines made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from edgewright.optimizer.report.frontier import best_of, frontier
from edgewright.optimizer.report.html import render
from edgewright.optimizer.report.terminal import report_text
from edgewright.optimizer.report.types import Candidate, CompileReport, TargetReport
from hypothesis import given
from hypothesis import strategies as st

SVG = "{http://www.w3.org/2000/svg}"


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(-5, 5)), min_size=1, max_size=20))
def test_the_line_joins_what_nothing_smaller_is_as_good_as(points: list[tuple[int, int]]) -> None:
    kept = best_of(points)
    for place, (size, loss) in enumerate(points):
        beaten = [other for other in points if other != (size, loss) and other[0] <= size and other[1] <= loss]
        assert (place in kept) <= (not beaten)
        assert beaten or (size, loss) in [points[other] for other in kept]
    assert [points[place][0] for place in kept] == sorted({points[place][0] for place in kept}, reverse=True)


@pytest.mark.parametrize(("width", "height"), [(760, 430), (360, 420)])
def test_the_picture_is_well_formed_and_names_what_it_shows(trained: CompileReport, width: int, height: int) -> None:
    svg = frontier(trained.targets[0], width, height)
    assert svg == frontier(trained.targets[0], width, height)
    tree = ElementTree.fromstring(svg)  # noqa: S314 - our own
    assert tree.attrib["viewBox"] == f"0 0 {width} {height}"
    texts = ["".join(item.itertext()).strip() for item in tree.iter(f"{SVG}text")]
    assert {"plain", "safe", "small", "tiny", "int8", "float32", "OpenVINO", "100 %"} <= set(texts)
    assert [text for text in texts if "released" in text] == ["21 released"]
    assert "margin −1.00" in texts
    assert "21: small, int8 in ONNX Runtime, 11.5 % of the size, -0.47 points, released" in tree.attrib["aria-label"]


@pytest.mark.parametrize("size", [1, 10**300])
@pytest.mark.parametrize("measured", [0.0, 5e-324, 1.7e308, -1.7e308])
def test_extreme_candidates_are_drawn(trained: CompileReport, size: int, measured: float) -> None:
    target = trained.targets[0]
    odd = target.candidates[-1]
    odd = replace(odd, size_bytes=size, verdicts=(replace(odd.verdicts[0], measured=measured, low=-measured, high=measured),))
    svg = frontier(replace(target, candidates=(*target.candidates[:-1], odd)), 500, 300)
    ElementTree.fromstring(svg)  # noqa: S314 - our own


def test_there_is_no_picture_without_verdicts_or_a_float_to_compare_with(trained: CompileReport) -> None:
    assert frontier(TargetReport("pi", "failed", (Candidate("litert", "int8", "failed", size_bytes=3),)), 400, 300) == ""
    target = trained.targets[0]
    only = [candidate for candidate in target.candidates if candidate.precision == "int8"]
    assert frontier(TargetReport("pi", "failed", tuple(only)), 400, 300) == ""


def test_the_page_groups_candidates_and_tells_of_each_pipeline(trained: CompileReport) -> None:
    page = render(trained)
    places = [
        page.index(f'<tr class="head"><th colspan="10" scope="rowgroup">{name}</th></tr>')
        for name in ("plain", "safe", "small", "tiny")
    ]
    assert places == sorted(places)
    assert "<p>distill{epochs=30}, 6 min 52 s</p>" in page
    assert "<li>top-1 on search 79.2 % after 30 epochs</li>" in page
    assert "leaves 43 % of the parameters and 50 % of the multiply-adds" in page
    assert "failed: finetune: the loss is not finite at the first step; lower lr." in page
    assert "Released: int8 (small) on ONNX Runtime" in page
    assert "89 % smaller" in page


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_terminal_groups_candidates_at_every_width(trained: CompileReport, width: int) -> None:
    lines = report_text(trained, Path("dist"), width).splitlines()
    assert max(map(len, lines)) <= width
    start = next(index for index, line in enumerate(lines) if line.startswith("  runtime"))
    rows = lines[start + 1 : start + 41]
    assert [row for row in rows if not row.startswith((" ", ">"))] == ["plain", "safe", "small", "tiny"]
    (released,) = (row for row in rows if row.startswith("> "))
    assert released.split()[:8] == [">", "ONNX", "Runtime", "int8", "2.12", "MB", "89", "%"]
    told = " ".join(" ".join(lines).split())
    assert "small: prune{amount=0.5},distill{epochs=30},fold-bn,quantize" in told
    assert "mine: finetune{lr=1e9},fold-bn failed: finetune: the loss is not finite" in told
    assert "and 5 more: failed" in told


def test_a_report_with_variants_reads_back_and_an_older_one_has_none(trained: CompileReport) -> None:
    value = trained.to_json()
    assert CompileReport.from_json(value) == trained
    del value["variants"]
    assert CompileReport.from_json(value).variants == ()
