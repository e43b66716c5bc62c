"""What a compile released as Markdown: the part of a comment on a pull or merge request that tells of the gates."""

from __future__ import annotations

import re

from . import sentences, words
from .parts import Judgement
from .types import Candidate, CompileReport, TargetReport

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~&@$/]|(?<=www)\.", re.IGNORECASE)
_MARKS = {"passed": "passed", "failed": "**failed**", "undecided": "**undecided**", "reported": "reported"}


def escaped(text: str) -> str:
    """`text` on one line as Markdown shows it letter by letter: no name of a model formats, links, mentions or ends a cell."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", words.printable(text))


def gates_markdown(report: CompileReport) -> str:
    """Each profile's headline and, where it was judged, a table of its gates."""
    looked = sentences.look_text(report.ledger)
    parts = [f"#### Gates of {escaped(report.model.name)}"]
    for target in report.targets:
        parts.append(_headline(target))
        shown = shown_candidate(target)
        if shown is not None and shown.verdicts:
            parts.append(_table(shown.verdicts))
    if looked:
        parts.append(f"{looked[0].upper()}{looked[1:]}.")
    return "\n\n".join(parts) + "\n"


def shown_candidate(target: TargetReport) -> Candidate | None:
    """Whose gates are shown: the released candidate's, else those of what came nearest."""
    return target.winner or sentences.nearest(target)


def _headline(target: TargetReport) -> str:
    what, why = sentences.headline(target)
    return f"**{escaped(target.profile)}**: {escaped(what)}. {escaped(why)}".rstrip(". ") + "."


def _table(judgements: tuple[Judgement, ...]) -> str:
    rows = ["| gate | on | before | after | measured | bound | samples | verdict |", "|---|---|--:|--:|--:|--:|--:|---|"]
    for item in judgements:
        unit = words.unit_of(item)
        cells = [
            escaped(item.gate or item.metric),
            escaped(sentences.slice_text(item)),
            words.metric_value(item.metric, item.reference),
            words.metric_value(item.metric, item.candidate),
            unit.full(item.measured),
            unit.full(item.bound),
            words.NONE if item.n is None else words.count(item.n),
            _MARKS[item.status],
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)
