from __future__ import annotations

import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from edgewright.optimizer.report.html import render
from edgewright.optimizer.report.parts import Flip, Judgement, KeptFloat, Latency, MetricValue, OperatorTime, PassInfo, Speedup
from edgewright.optimizer.report.pictures import scatter
from edgewright.optimizer.report.types import Candidate, CompileReport, DataInfo, ModelInfo, TargetReport, VariantInfo

HOSTILE = "<script>alert('x')</script><img src=\"http://evil.example/a.png\" onerror=alert(1)>\"'&{{7*7}}${x}$\x1b[31m\n"
VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """Every element and attribute of a page; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_startendtag(self, tag, attrs):
        self._take(tag, attrs)

    def handle_starttag(self, tag, attrs):
        self._take(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def _take(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]


def _hostile() -> CompileReport:
    judgement = Judgement(
        HOSTILE, "passed", HOSTILE, HOSTILE, -0.1, 0.9, 0.8, -0.2, 0.0, -0.2, -0.3, 0.3, 0.05, 10, None, 0.1, 1, HOSTILE
    )
    candidate = Candidate(
        HOSTILE,
        HOSTILE,
        "passed",
        HOSTILE,
        HOSTILE,
        split=HOSTILE,
        size_bytes=10,
        compressed_bytes=18,
        latency_ms=Latency(1.0, 2.0, 3.0),
        metrics={HOSTILE: MetricValue(1.0, 1.0)},
        verdicts=(judgement,),
        help=(HOSTILE,),
        operators=(OperatorTime(HOSTILE, HOSTILE, 1.0, 1.0),),
        kept_float=(KeptFloat(HOSTILE, HOSTILE, HOSTILE),),
        supports={HOSTILE: 3},
        flips=(Flip(1, HOSTILE, HOSTILE, HOSTILE, "negative"),),
        pipeline=HOSTILE,
        digest=HOSTILE,
        missing={"speedup": HOSTILE},
        notes=(HOSTILE,),
    )
    free = {HOSTILE: {HOSTILE: [HOSTILE]}}
    good = TargetReport(
        HOSTILE,
        "passed",
        (candidate,),
        candidate.key,
        HOSTILE,
        HOSTILE,
        HOSTILE,
        candidate.key,
        help=(HOSTILE,),
        conditions=free,
    )
    bad = TargetReport(HOSTILE, "failed", (candidate,), why=HOSTILE, help=(HOSTILE,), title=HOSTILE)
    return CompileReport(
        ModelInfo(HOSTILE, HOSTILE, HOSTILE),
        DataInfo(HOSTILE, HOSTILE, {HOSTILE: 1}),
        (HOSTILE,),
        (good, bad),
        versions={HOSTILE: HOSTILE},
        ledger=free,
        machine=free,
        notes=(HOSTILE,),
        variants=(
            VariantInfo(HOSTILE, HOSTILE, "", (PassInfo(HOSTILE, 1.0, (HOSTILE,)),), 1, 1),
            VariantInfo("broken", HOSTILE, HOSTILE),
        ),
    )


def _is_self_contained(page: Page) -> bool:
    for tag, name, value in page.attributes:
        if name.startswith("on") or (name in {"src", "href", "xlink:href", "action", "data"} and not value.startswith("#")):
            pytest.fail(f"<{tag} {name}={value!r}> reaches outside")
    return not set(page.tags) & {"script", "img", "link", "iframe", "object", "embed", "base", "form"}


def test_hostile_texts_are_only_text() -> None:
    text = render(_hostile())
    page = Page(text)
    assert _is_self_contained(page)
    assert not re.search(r"<script|<img", text)
    assert "\x1b" not in text
    assert "{{7*7}}" in "".join(page.words)


def test_the_page_needs_nothing_else(example_page: str) -> None:
    page = Page(example_page)
    assert _is_self_contained(page)
    assert "url(http" not in example_page
    assert "@import" not in example_page
    assert set(re.findall(r"https?://[^\s\"'<]+", example_page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_ids_are_unique_and_links_have_ends(example_page: str) -> None:
    page = Page(example_page)
    assert len(set(page.ids)) == len(page.ids)
    links = {value[1:] for _, name, value in page.attributes if name in {"href", "xlink:href"}}
    assert links <= set(page.ids)


def test_the_same_report_gives_the_same_bytes(example: CompileReport, example_page: str) -> None:
    assert example_page == render(CompileReport.from_json(example.to_json()))


def test_another_process_gives_the_same_bytes(example_page: str, tmp_path: Path) -> None:
    script = Path(__file__).parent / "example.py"
    subprocess.run([sys.executable, str(script), str(tmp_path), "example"], check=True, env={"PYTHONHASHSEED": "3", "PATH": ""})
    assert (tmp_path / "example.html").read_text(encoding="utf-8") == example_page


def test_the_headline_says_it_in_plain_words(example_page: str) -> None:
    words = "".join(Page(example_page).words)
    assert "Released: int8 on LiteRT" in words
    assert (
        "74 % smaller, 1.92x faster (95 % interval 1.87 to 1.96), top-1 79.61 % against the reference's 79.81 %; "
        "change −0.20 points (bound −0.71, margin −1.00, n = 2,963)"
    ) in words


def test_what_was_refused_comes_first_with_what_would_help(refused: CompileReport) -> None:
    words = "".join(Page(render(refused)).words)
    assert words.index("Nothing released") < words.index("What would help") < words.index("Released: int8")
    assert "give 3,427 accepting samples instead of 400" in words


def _report(*candidates: Candidate, **more: object) -> CompileReport:
    return CompileReport(
        ModelInfo("m.onnx", "00", "onnx"), DataInfo("d.npz", "11"), targets=(TargetReport("pi", "failed", candidates, **more),)
    )


def test_nothing_tried() -> None:
    words = "".join(Page(render(_report())).words)
    assert "No candidate was made for this profile." in words
    assert "No profile was asked for" in render(CompileReport(ModelInfo("m", "", "onnx"), DataInfo("d", "")))


def test_missing_numbers_are_dashes_with_their_reason() -> None:
    words = "".join(Page(render(_report(Candidate("litert", "int8", "failed", missing={"size_bytes": "it crashed"})))).words)
    assert "size: it crashed" in words
    assert "latency, speed-up, verdict: not measured" in words


def test_what_a_download_costs_stands_beneath_the_size(example: CompileReport, example_page: str) -> None:
    cells = Page(example_page).words
    assert cells.count("Compressed, as for a download: zlib, level 9.") == len(example.targets)
    place = cells.index("4.82 MB")
    assert cells[place + 1] == "4.28 MB compressed"
    unknown = "".join(Page(render(_report(Candidate("litert", "int8", "failed", size_bytes=3)))).words)
    assert "compressed" not in unknown


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e-9, 1.0, 5947260756577362.0, 1.7e308, -1.7e308])
def test_numbers_of_any_size_are_shown(value: float) -> None:
    judgement = Judgement("auc", "failed", "auc >= -0.01", None, value, 1.0, value, -value, value, value, value / 3, n=10**40)
    candidate = Candidate(
        "litert",
        "int8",
        "failed",
        size_bytes=10**400,
        compressed_bytes=10**400,
        latency_ms=Latency(abs(value), abs(value), math.inf),
        speedup=Speedup(abs(value), abs(value), abs(value)),
        verdicts=(judgement,),
    )
    assert "</html>" in render(_report(candidate, Candidate("openvino", "int8", "failed", verdicts=(judgement,))))


def test_the_picture_is_well_formed_and_stays_inside(example: CompileReport) -> None:
    for target in example.targets:
        for width, height in ((760, 400), (360, 380)):
            tree = ElementTree.fromstring(scatter(target, width, height))  # noqa: S314 - our own
            assert tree.attrib["viewBox"] == f"0 0 {width} {height}"
            texts = ["".join(item.itertext()).strip() for item in tree.iter("{http://www.w3.org/2000/svg}text")]
            assert "int8" in texts
            assert any("released" in text for text in texts)


def test_no_picture_without_verdicts() -> None:
    assert scatter(TargetReport("pi", "failed", (Candidate("litert", "int8", "failed"),)), 400, 300) == ""


def test_a_candidate_that_was_not_timed_stands_apart(example: CompileReport) -> None:
    timed, untimed = example.targets[0], example.targets[1]
    mixed = TargetReport("mixed", "failed", (*timed.candidates[:3], *untimed.candidates[3:]))
    assert "not timed" in scatter(mixed, 700, 400)
    assert "file size, MB" in scatter(untimed, 700, 400)
    assert "median latency" in scatter(timed, 700, 400)


@pytest.mark.parametrize("value", [0.0, 5e-324, 1.7e308, -1.7e308])
def test_no_drawing_holds_what_is_not_a_number(value: float) -> None:
    judgement = Judgement("auc", "failed", "auc >= -0.01", None, value, 1.0, 1.0, -value, value, value, -value, n=3)
    text = render(_report(Candidate("litert", "int8", "failed", verdicts=(judgement,))))
    assert not [item for item in re.findall(r"<svg.*?</svg>", text, re.DOTALL) if re.search(r"[\"\s](nan|inf)\b", item)]


def test_texts_that_are_copied_keep_their_hyphens(example_page: str) -> None:
    report = _report(Candidate("litert", "int8", "failed"), help=("try --gate 'top1 >= -2pt'",), why="-1 is wrong.")
    assert "--gate 'top1 >= -2pt'" in "".join(Page(render(report)).words)
    assert "top1 >= -1pt; top1[light] >= -2pt" in "".join(Page(example_page).words)


def test_what_was_judged_in_vain_is_told() -> None:
    judgement = Judgement("top1", "failed", "top1 >= -1pt", None, -0.2, 0.9, 0.7, bound=-0.3, threshold=-0.01, n=9)
    tried = Candidate("litert", "int8", "failed", split="search", measured_on="reference", verdicts=(judgement,))
    looked = Candidate("litert", "float16", "failed", split="accept", measured_on="reference", verdicts=(judgement,))
    words = "".join(Page(render(_report(tried, looked))).words)
    assert (
        "2 candidates were judged, 1 of them on accept (float kernels of this machine's CPU), and none may be released."
        in words
    )
    assert "Accuracy was not judged" not in words
    assert "1 candidate was judged, on search only (exact integer arithmetic)" in render(_report(tried)).replace("&#39;", "'")
    assert "Accuracy was not judged." in render(_report(Candidate("litert", "int8", "failed")))


def test_layers_in_float_are_grouped_by_reason() -> None:
    kept = tuple(KeptFloat(f"layer-{index}", "Conv" if index else "Softmax", "no kernel") for index in range(6))
    judgement = Judgement("top1", "failed", "top1 >= -1pt", None, -0.2, 0.9, 0.7, n=9)
    candidate = Candidate(
        "litert", "int8", "failed", verdicts=(judgement,), kept_float=kept, supports={"int8": 25, "float32": 1}
    )
    words = "".join(Page(render(_report(candidate))).words)
    assert words.count("no kernel") == 1
    assert "1 Softmax, 5 Conv" in words
    assert "2 more" in words
    assert "25 in" not in words
    assert "No layer was kept in float." in render(_report(Candidate("litert", "int8", "failed", verdicts=(judgement,))))


def test_why_this_one_names_every_gate_and_slice(example_page: str) -> None:
    words = " ".join("".join(Page(example_page).words).split())
    assert (
        "Why this one: the fastest of those that passed; within 2 % the smaller one wins; top1 >= -1pt holds on all samples"
        in words
    )
    assert "top1[light] >= -2pt holds on light=daylight (bound -0.98), light=dusk (bound -1.24)" in words


def test_looks_are_told_in_words() -> None:
    ledger = {"pi": {"look": 4, "alpha": 0.00083, "alpha_spent": 0.0475, "candidates": ["ab" * 32]}}
    report = _report(Candidate("litert", "int8", "failed"))
    words = "".join(Page(render(CompileReport(report.model, report.data, targets=report.targets, ledger=ledger))).words)
    assert "Look 4 at these data: level 0.083 % (5 % in all; fresh data start anew)." in words
    assert "4.8 % spent so far" in words
    assert "abab" not in words
