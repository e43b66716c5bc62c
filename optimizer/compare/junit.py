"""A comparison as JUnit XML, which every CI shows: a test case a judgement; a regression fails, what is open is skipped."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from . import words
from .finding import Comparison, Finding

# What XML 1.0 does not allow in any form (section 2.2).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(result: Comparison, *, is_strict: bool) -> str:
    """The document. With `is_strict` what is open fails too; figures without a rule are written to the suite's output."""
    judged = [item for item in result.findings if item.rule is not None]
    failed = sum(_fails(item, is_strict) for item in judged)
    skipped = sum(_is_open(item) and not is_strict for item in judged)
    counts = f'tests="{len(judged)}" failures="{failed}" errors="0" skipped="{skipped}"'
    name = quoteattr(_clean(f"edgewright bench compare{f' {result.label}' if result.label else ''}"))
    seconds = float(result.conditions.get("seconds", 0.0))
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites {counts}>",
        f'<testsuite name={name} {counts} time="{seconds:.3f}" timestamp={quoteattr(result.at.removesuffix("+00:00"))}>',
        *(_case(item, is_strict) for item in judged),
        f"<system-out>{escape(_clean(_output(result)))}</system-out>",
        "</testsuite>",
        "</testsuites>",
    ]
    return "\n".join(lines) + "\n"


def _case(item: Finding, is_strict: bool) -> str:
    name = f"{item.rule}{f' [{item.slice}]' if item.slice else ''}"
    head = f'<testcase classname={quoteattr(_clean(item.subject))} name={quoteattr(_clean(name))} time="0"'
    message = quoteattr(_clean(f"{words.title(item)}: {item.why}"))
    if _fails(item, is_strict):
        base, after = words.values(item)
        told = f"BASE {base}, HEAD {after}, change {words.change(item)} ({words.interval(item)}), {words.counted(item)}"
        return f'{head}><failure type="{item.status}" message={message}>{escape(_clean(told))}</failure></testcase>'
    if _is_open(item):
        return f"{head}><skipped message={message}/></testcase>"
    return f"{head}/>"


def _fails(item: Finding, is_strict: bool) -> bool:
    return item.status == "regression" or (is_strict and _is_open(item))


def _is_open(item: Finding) -> bool:
    return item.status in {"noise", "undecided"}


def _output(result: Comparison) -> str:
    rows = [
        f"{item.subject}: {words.title(item)} {' -> '.join(words.values(item))} ({words.change(item)})"
        for item in result.findings
    ]
    return "\n".join([words.headline(result), *rows, *result.notes])


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
