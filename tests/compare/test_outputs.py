"""What a comparison looks like in each form; names that would break a form are shown, not obeyed."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from compare_samples import comparison, finding
from edgewright.core.canonical import dumps
from edgewright.optimizer.compare.junit import junit
from edgewright.optimizer.compare.markdown import MARKER, MOST_CHARACTERS, markdown
from edgewright.optimizer.compare.page import page
from edgewright.optimizer.compare.terminal import text

HOSTILE = "evil|<script>alert(1)</script>`@everyone`\n# [x](http://a) \x1b[31m\x00"
ALL = (
    finding("regression", why="+12.0 % (+8.00 % to +15.0 %) lies beyond +5.00 %.", measured=0.12, low=0.08, high=0.15),
    finding("undecided", figure="p99_ms", rule="p99_ms > +5%", low=0.02, high=0.2, n_needed=40),
    finding("noise", figure="cold_start_ms", rule="cold_start_ms > +5%", how="processes", low=None, high=None),
    finding("none", figure="top1", rule="top1 < -0.5pt", unit="", scale="change", how="samples", base=0.9, head=0.901,
            measured=0.001, low=-0.002, high=0.004, threshold=-0.005, is_share=True, is_higher_better=True),
    finding("shown", figure="size", unit="B", how="exact", base=1e6, head=1.1e6, measured=0.1, low=0.1, high=0.1),
)  # fmt: skip


@pytest.mark.parametrize(
    ("status", "relaxed", "strict"),
    [("regression", 2, 2), ("undecided", 0, 3), ("noise", 0, 3), ("none", 0, 0), ("shown", 0, 0)],
)
def test_the_worst_finding_makes_the_exit_code(status, relaxed, strict):
    found = comparison(finding("none"), finding(status), finding("shown")) if status != "shown" else comparison(finding(status))
    assert found.status == status
    assert (found.exit_code(False), found.exit_code(True)) == (relaxed, strict)


def test_json_is_as_published(check):
    for made in (comparison(*ALL, label="x", notes=("a note.",)), comparison(finding("shown"))):
        check(json.loads(dumps(made.to_json())))


def test_the_terminal_says_all_within_100_columns():
    told = text(comparison(*ALL, notes=("a note.",)))
    lines = told.splitlines()
    assert all(len(line) <= 100 for line in lines[3:9])
    for word in ("+12.0 %", "+0.10 pt", "90.00 %", "1.10 MB", "exact", "regression", "noise", "undecided", "note: a note."):
        assert word in told
    assert lines[-1] == "Regression: p90_ms."


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([finding("none")], "No regression."),
        ([finding("noise")], "No regression is shown; too noisy to exclude one: p90_ms."),
        ([finding("undecided")], "Undecided: p90_ms. No regression is shown."),
        ([finding("shown")], "Nothing was judged: no rule was given."),
    ],
)
def test_the_last_line_is_the_verdict(found, told):
    assert text(comparison(*found)).splitlines()[-1] == told


def test_several_models_have_a_table_each():
    told = text(comparison(finding(), finding("shown", subject="other")))
    assert [line for line in told.splitlines() if line in {"model", "other"}] == ["model", "other"]


def test_a_comment_has_a_marker_and_a_row_a_finding():
    told = markdown(comparison(*ALL))
    lines = told.splitlines()
    assert lines[0] == MARKER
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 1 + len(ALL)
    assert all(row.count("|") == 9 for row in rows)
    assert "**regression**" in rows[1]


def test_names_can_break_no_form():
    evil = comparison(finding("regression", subject=HOSTILE, why=HOSTILE), finding("none", slice=HOSTILE), label=HOSTILE)
    for told in (markdown(evil), page(evil)):
        assert "<script" not in told
        assert "\x1b" not in told
    comment = markdown(evil)
    assert "@everyone" not in comment.replace("`", "")
    assert "](http" not in comment
    assert all(line.count("|") == 9 for line in comment.splitlines() if line.startswith("| "))
    assert "\x1b" not in text(evil)
    root = ElementTree.fromstring(junit(evil, is_strict=False))  # noqa: S314 - our own text
    assert "<script>" in next(root.iter("failure")).get("message")


def test_a_comment_that_is_too_long_is_cut_and_says_so():
    told = markdown(comparison(*(finding("none", figure="top1", slice=f"column={number:0200}") for number in range(600))))
    assert len(told) <= MOST_CHARACTERS + 500
    assert "more rows are too long for a comment." in told


@pytest.mark.parametrize(("is_strict", "failures", "skipped"), [(False, 1, 2), (True, 3, 0)])
def test_junit_counts_what_failed_and_what_is_open(is_strict, failures, skipped):
    root = ElementTree.fromstring(junit(comparison(*ALL, label="abc"), is_strict=is_strict))  # noqa: S314 - our own text
    suite = root.find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", str(failures), str(skipped))
    assert len(list(root.iter("failure"))) == failures
    assert len(list(root.iter("skipped"))) == skipped
    assert "size 1.00 MB -> 1.10 MB" in root.findtext("testsuite/system-out")


class _Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "rect", "line", "circle"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_page_stands_alone():
    told = page(comparison(*ALL, label="abc"))
    seen = _Seen()
    seen.feed(told)
    assert seen.open == []
    assert {tag for tag, _ in seen.tags}.isdisjoint({"script", "link", "img", "iframe"})
    assert not [attrs for _, attrs in seen.tags if {"href", "src"} & set(attrs)]
    assert sum(tag == "svg" for tag, _ in seen.tags) == len(ALL)
    assert "abc" in told
    assert page(comparison(*ALL, label="abc")) == told


def test_a_page_of_what_could_not_be_measured_has_no_picture():
    empty = replace(finding("undecided"), measured=None, low=None, high=None)
    assert "<svg" not in page(comparison(empty))
