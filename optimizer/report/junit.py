"""What a compile released as JUnit XML, which every CI shows: a suite for each profile, a case for each gate and slice."""

from __future__ import annotations

from xml.etree import ElementTree

from . import sentences, words
from .markdown import shown_candidate
from .types import CompileReport, TargetReport


def gates_junit(report: CompileReport) -> bytes:
    """The file's bytes. What failed or is undecided is a failure of that type, with the reason as its message."""
    root = ElementTree.Element("testsuites", name="edgewright gates")
    for target in report.targets:
        root.append(_suite(target, report.model.name))
    for count in ("tests", "failures"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _suite(target: TargetReport, model: str) -> ElementTree.Element:
    profile = words.printable(target.profile)
    suite = ElementTree.Element("testsuite", name=profile)
    place = f"{words.printable(model)}.{profile}"
    what, why = sentences.headline(target)
    _case(suite, place, "release", "" if target.released else target.verdict, f"{what}: {why}")
    shown = shown_candidate(target)
    for item in shown.verdicts if shown is not None else ():
        wrong = item.status if item.status in ("failed", "undecided") else ""
        _case(suite, place, sentences.gate_text(item), wrong, words.printable(item.why))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    return suite


def _case(suite: ElementTree.Element, place: str, name: str, wrong: str, told: str) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=place, name=name)
    if wrong:
        ElementTree.SubElement(case, "failure", type=wrong, message=told)
