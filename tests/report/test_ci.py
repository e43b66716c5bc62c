"""The gates of a compile as Markdown and JUnit XML, and `edgewright ci gates`, which writes them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from edgewright.cli.main import group
from edgewright.core.errors import DataError
from edgewright.optimizer.report.junit import gates_junit
from edgewright.optimizer.report.markdown import escaped, gates_markdown
from edgewright.optimizer.report.write import json_text

NASTY = "a|b` <img src=x> @you [l](http://x.org) *b* #1 www.x.org\n$m$"


def test_markdown_tells_each_profile_and_gate(refused: Any) -> None:
    told = gates_markdown(refused)
    assert "**raspberry-pi-4b**: Nothing released. 400 samples cannot decide" in told
    assert (
        "| top1 &#62;= -0.5pt | all samples | 79.81 % | 79.61 % | -0.20 points | -1.60 points | 400 | **undecided** |" in told
    )
    assert "**x86-64-avx2**: Released: int8 on OpenVINO." in told
    rows = [line for line in told.splitlines() if line.startswith("|")]
    assert len(rows) == 2 * 2 + 1 + 4
    assert {row.count("|") for row in rows} == {9}


def test_no_name_formats_links_or_mentions(refused: Any) -> None:
    assert not re.search(r"[|`<>@*\[\]\n$]|#(?!\d+;)|www\.|//", escaped(NASTY))
    target = replace(refused.targets[1], profile=NASTY)
    named = replace(refused, model=replace(refused.model, name=NASTY), targets=(target,))
    told = gates_markdown(named)
    assert told.count("\n\n") == gates_markdown(replace(refused, targets=(refused.targets[1],))).count("\n\n")
    assert "@" not in told
    assert "<" not in told
    suite = ElementTree.fromstring(gates_junit(named)).find("testsuite")  # noqa: S314 - our own text
    assert suite is not None
    assert suite.get("name") == NASTY.replace("\n", " ")


def test_junit_counts_what_it_holds(refused: Any) -> None:
    root = ElementTree.fromstring(gates_junit(refused))  # noqa: S314 - our own text
    assert (root.get("tests"), root.get("failures")) == ("7", "2")
    kinds = [[found.get("type") for found in suite.iter("failure")] for suite in root]
    assert kinds == [["undecided", "undecided"], []]
    assert [len(suite) for suite in root] == [2, 5]


@pytest.mark.parametrize(("status", "code"), [("passed", 0), ("failed", 2), ("undecided", 3)])
def test_the_command_ends_as_the_compile_did(refused: Any, tmp_path: Path, status: str, code: int) -> None:
    first = refused.targets[0] if status == "undecided" else replace(refused.targets[0], verdict="failed")
    targets = (refused.targets[1],) if status == "passed" else (first, refused.targets[1])
    (tmp_path / "report.json").write_text(json_text(replace(refused, targets=targets)))
    files = ["--markdown", str(tmp_path / "m.md"), "--junit", str(tmp_path / "j.xml")]
    done = CliRunner().invoke(group, ["ci", "gates", str(tmp_path / "report.json"), *files], standalone_mode=False)
    assert done.return_value == code
    assert status in done.output
    assert (tmp_path / "m.md").read_text().startswith("#### Gates of efficientnet-lite0.onnx\n")
    assert (tmp_path / "j.xml").read_bytes().startswith(b"<?xml")


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("[]")
    done = CliRunner().invoke(group, ["ci", "gates", str(tmp_path / "report.json")])
    assert isinstance(done.exception, DataError)
