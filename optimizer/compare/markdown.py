"""A comparison as Markdown: a comment for a pull request, which a later one may find by its first line and replace."""

from __future__ import annotations

from ..report.markdown import escaped
from ..report.words import printable, shorten
from . import words
from .finding import Comparison, Finding

# What a script looks for to edit its comment instead of adding another.
MARKER = "<!-- edgewright bench compare -->"
# GitHub takes comments of at most 65,536 characters.
MOST_CHARACTERS = 60_000
_MARKS = {"regression": "❌", "none": "✅", "noise": "〰️", "undecided": "❔", "shown": ""}
_MOST_NAME, _MOST_TEXT = 200, 2000


def markdown(result: Comparison) -> str:
    """The comment, ending in a newline; tables that would not fit a comment are cut and say so."""
    head = [MARKER, f"### Edgewright: {_escaped(words.headline(result))}", ""]
    tail = [f"BASE {_sides(result, 'base')}, HEAD {_sides(result, 'head')}.", ""]
    reasons = [f"- **{_title(item)}**: {_escaped(item.why)}" for item in result.findings if item.why and item.rule is not None]
    if reasons:
        tail += ["<details><summary>Reasons</summary>", "", *reasons, "", "</details>", ""]
    tail += [f"> {_escaped(note)}" for note in result.notes]
    if any(item.rule is not None for item in result.findings):
        tail += ["", f"<sub>{words.level(result)} {_how(result)}</sub>"]
    lines = ["| | figure | BASE | HEAD | change | interval | rule | verdict |", "|---|---|---:|---:|---:|---|---|---|"]
    lines += [_row(result, item) for item in result.findings]
    used = sum(len(line) + 1 for line in (*head, *tail))
    if used > MOST_CHARACTERS / 2:
        tail = [f"BASE {_sides(result, 'base')}, HEAD {_sides(result, 'head')}.", "", "Reasons are too long for a comment."]
        used = sum(len(line) + 1 for line in (*head, *tail))
    kept: list[str] = []
    for number, line in enumerate(lines):
        used += len(line) + 1
        if used > MOST_CHARACTERS:
            kept += ["", f"{len(lines) - number} more rows are too long for a comment."]
            break
        kept.append(line)
    return "\n".join([*head, *kept, "", *tail]) + "\n"


def _row(result: Comparison, item: Finding) -> str:
    several = len({one.subject for one in result.findings}) > 1
    base, head = words.values(item)
    name = f"{_escaped(item.subject)}: {_title(item)}" if several else _title(item)
    rule = _code(item.rule) if item.rule else ""
    verdict = f"**{words.verdict(item)}**" if item.status == "regression" else words.verdict(item)
    cells = (_MARKS[item.status], name, base, head, words.change(item), words.interval(item), rule, verdict)
    return "| " + " | ".join(cells) + " |"


def _how(result: Comparison) -> str:
    told = {words.counted(item) for item in result.findings if item.how != "exact"}
    return _escaped(f"Counted: {'; '.join(sorted(told))}.") if told else ""


def _sides(result: Comparison, which: str) -> str:
    return _code(words.sides(result.base if which == "base" else result.head))


def _title(item: Finding) -> str:
    return _escaped(words.title(item))


def _escaped(text: str) -> str:
    return escaped(shorten(text, _MOST_TEXT))


def _code(text: str) -> str:
    """Text in code style within a table: what would end it is replaced."""
    return f"`{shorten(printable(text), _MOST_NAME).replace('`', chr(39)).replace('|', '¦')}`"
