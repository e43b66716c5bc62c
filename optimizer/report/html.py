"""report.html: one page that needs nothing else, for the screen, a phone and paper.

The page holds its own style and pictures, no script and no outside address; every text that came from a model, a file or a
user is escaped by the template engine. The same report gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ...core.compression import METHOD
from . import marks, pictures, sentences, words
from .frontier import frontier
from .parts import Judgement, Latency, OperatorTime
from .types import Candidate, CompileReport, TargetReport

if TYPE_CHECKING:
    from jinja2 import Template

TOP_OPERATORS = 15
# Width and height on a screen and on a phone.
_FRONTIER = ((760, 430), (360, 420))
_SCATTER = ((760, 400), (360, 380))
_STATUS_SIGN = {"passed": "✓", "failed": "✕", "undecided": "?", "reported": "·", "tried": "·"}
_NUMBER_SIGN = re.compile(r"(?<![\w.-])-(?=\d)")


def render(report: CompileReport) -> str:
    """The page's text, UTF-8, ending in a newline."""
    targets = sorted(report.targets, key=lambda target: target.released)
    views = [_target(index, target, report) for index, target in enumerate(targets, 1)]
    page = _template().render(
        report=report, model=_model(report), targets=views, variants=_variants(report), provenance=_provenance(report)
    )
    return "\n".join(line.rstrip() for line in page.splitlines() if line.strip()) + "\n"


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(words=words)
    environment.filters["minus"] = _minus
    environment.filters["clean"] = words.printable
    return environment.from_string((files(__package__) / "templates" / "report.html.j2").read_text(encoding="utf-8"))


def _minus(text: str) -> str:
    """A true minus sign before figures; identifiers keep their hyphens."""
    return _NUMBER_SIGN.sub("−", text)


def _markup(svg: str) -> Any:
    from markupsafe import Markup

    return Markup(svg)  # noqa: S704 - drawn by marks and pictures, which escape what they are given


def _model(report: CompileReport) -> list[tuple[str, str]]:
    model, data = report.model, report.data
    splits = ", ".join(f"{words.count(size)} {words.printable(name)}" for name, size in data.splits.items())
    facts = [
        ("Format", words.printable(model.format)),
        ("Parameters", words.quantity(model.parameters)),
        ("Multiply-adds", words.quantity(model.macs)),
        ("Weights", words.size(model.weight_bytes)),
        ("Data", words.printable(data.name) + (f" ({splits})" if splits else "")),
        ("Gates", "; ".join(words.printable(gate) for gate in report.gates) or "none"),
    ]
    return [(name, value) for name, value in facts if value != words.NONE]


def _target(index: int, target: TargetReport, report: CompileReport) -> dict[str, Any]:
    lead, facts = sentences.headline(target)
    shown = target.winner or sentences.nearest(target)
    return {
        "id": f"target-{index}",
        "title": words.printable(target.title or target.profile),
        "profile": words.printable(target.profile),
        "status": "released" if target.released else target.verdict,
        "sign": _STATUS_SIGN["passed" if target.released else target.verdict],
        "lead": lead,
        "facts": facts,
        "why": sentences.why_this_one(target),
        "help": [words.printable(text) for text in _advice(target)],
        "artifact": words.printable(target.artifact or ""),
        "judged": sentences.judged_text(target),
        "look": sentences.look_text(report.ledger.get(target.profile)),
        "tried": sentences.tried_note(target, report),
        "frontiers": [_markup(frontier(target, *size)) for size in _FRONTIER] if _has_variants(target) else [],
        # Where nothing is timed it would show sizes, as the frontier does.
        "pictures": [_markup(pictures.scatter(target, *size)) for size in _SCATTER]
        if any(candidate.latency_ms for candidate in target.candidates) or not _has_variants(target)
        else [],
        "sent_as": METHOD if any(candidate.compressed_bytes for candidate in target.candidates) else "",
        "rows": _rows(target),
        "metric": _metric(target),
        "remarks": _remarks(target),
        "shown": _shown(target, shown) if shown else None,
        "conditions": _flat(target.conditions),
        "seconds": words.seconds(target.seconds),
    }


def _advice(target: TargetReport) -> list[str]:
    """What would help: the target's advice, then each candidate's that is not the released one's."""
    own = list(target.help)
    for candidate in () if target.released else target.candidates:
        own += [f"{words.candidate_title(candidate)}: {text}" for text in candidate.help]
    return list(dict.fromkeys(own))


def _metric(target: TargetReport) -> str:
    names = {judgement.metric for candidate in target.candidates if (judgement := words.leading(candidate))}
    return words.metric_title(names.pop()) if len(names) == 1 else "Metric"


def _has_variants(target: TargetReport) -> bool:
    return any(candidate.variant for candidate in target.candidates)


def _variants(report: CompileReport) -> list[dict[str, Any]]:
    """Each pipeline beside the plain model, with what its passes did."""
    return [
        {
            "name": words.printable(item.name),
            "pipeline": words.printable(item.pipeline),
            "passes": sentences.pass_lines(item),
            "left": sentences.what_is_left(item, report.model),
            "size": ""
            if item.parameters is None
            else f"{words.quantity(item.parameters)} parameters, {words.quantity(item.macs)} multiply-adds",
        }
        for item in report.variants
    ]


def _rows(target: TargetReport) -> list[dict[str, Any]]:
    largest = max((candidate.size_bytes or 0 for candidate in target.candidates), default=0)
    rows = [_row(target, number, candidate, largest) for number, candidate in enumerate(target.candidates, 1)]
    before = None
    for row, candidate in zip(rows, target.candidates, strict=True):
        is_first = _has_variants(target) and candidate.variant != before
        row["head"] = words.variant_title(candidate.variant) if is_first else ""
        before = candidate.variant
    return rows


def _row(target: TargetReport, number: int, candidate: Candidate, largest: int) -> dict[str, Any]:
    latency = candidate.latency_ms or Latency()
    judgement = words.leading(candidate)
    unit = words.unit_of(judgement) if judgement else None
    speed = candidate.speedup
    return {
        "number": number,
        "runtime": words.runtime_title(candidate.runtime),
        "precision": words.printable(candidate.precision),
        "is_released": candidate.key == target.chosen,
        "is_baseline": candidate.key == target.baseline,
        "verdict": sentences.standing(candidate),
        "sign": _STATUS_SIGN[sentences.standing(candidate)],
        "size": words.size(candidate.size_bytes),
        "compressed": words.size(candidate.compressed_bytes),
        "smaller": words.smaller(target, candidate) if _has_variants(target) else words.NONE,
        "bar": _markup(marks.bar(candidate.size_bytes / largest if candidate.size_bytes and largest else None, 56.0)),
        "latency": [words.short_milliseconds(value) for value in (latency.p50, latency.p90, latency.p99)],
        "times": words.times(speed),
        "times_range": f"{words.number(speed.low)} to {words.number(speed.high)}"
        if speed and speed.low and speed.high
        else words.NONE,
        "slice": words.printable(judgement.slice or "") if judgement else "",
        "value": words.metric_value(judgement.metric, judgement.candidate) if judgement else words.NONE,
        "reference": words.metric_value(judgement.metric, judgement.reference) if judgement else words.NONE,
        "measured": unit.text(judgement.measured) if unit and judgement else words.NONE,
        "bound": unit.text(judgement.bound) if unit and judgement else words.NONE,
        "n": words.count(judgement.n) if judgement else words.NONE,
    }


def _remarks(target: TargetReport) -> list[tuple[str, str]]:
    """Beneath the table: why a candidate did not pass, and the reason for each dash; equal remarks share a line."""
    found: dict[str, list[int]] = {}
    for number, candidate in enumerate(target.candidates, 1):
        texts = [words.printable(note) for note in candidate.notes]
        if candidate.split and candidate.verdicts:
            texts.append(f"judged on the {words.printable(candidate.split)} split")
        if candidate.measured_on:
            texts.append(f"judged on {words.measured_on(candidate)}")
        if why := sentences.reason(candidate):
            texts.append(f"{sentences.standing(candidate)}: {why}")
        for text in [*texts, *words.reasons(candidate)]:
            found.setdefault(text, []).append(number)
    return [(", ".join(map(str, numbers)), text) for text, numbers in found.items()]


def _shown(target: TargetReport, candidate: Candidate) -> dict[str, Any]:
    flips = [(f, words.count(f.index)) for f in candidate.flips]
    negative = sum(item.negative_flips or 0 for item in candidate.verdicts if item.slice is None)
    return {
        "title": words.candidate_title(candidate),
        "is_released": target.released,
        "pipeline": words.printable(candidate.pipeline),
        "digest": words.printable(candidate.digest or ""),
        "groups": _groups(candidate),
        "operators": _operators(candidate.operators),
        "is_int8": candidate.precision == "int8",
        "kept": sentences.kept_in_float(candidate),
        "flips": [(number, *(_scalar(value) for value in (f.label, f.reference, f.candidate)), f.kind) for f, number in flips],
        "flips_total": words.count(candidate.flips_total),
        "negative": words.count(negative),
        "has_more_flips": (candidate.flips_total or 0) > len(candidate.flips),
    }


def _scalar(value: Any) -> str:
    if value is None:
        return words.NONE
    return words.number(value, 5) if isinstance(value, float) else words.printable(str(value))


def _groups(candidate: Candidate) -> list[dict[str, Any]]:
    """Forest plots: the verdicts of one metric and unit on one scale."""
    groups: dict[tuple[str, words.Unit], list[Judgement]] = {}
    for item in candidate.verdicts:
        groups.setdefault((item.metric, words.unit_of(item)), []).append(item)
    return [_group(metric, unit, items) for (metric, unit), items in groups.items()]


def _group(metric: str, unit: words.Unit, items: Sequence[Judgement]) -> dict[str, Any]:
    shown = marks.axis(items)
    limits = {item.threshold for item in items}
    shared = limits.pop() if len(limits) == 1 else None
    what = {"difference": "candidate less reference", "ratio": "candidate over reference", "value": "the candidate's value"}
    return {
        "title": words.metric_title(metric),
        "limit": "Margin" if words.kind_of(items[0]) == "difference" else "Gate",
        "what": what[words.kind_of(items[0])] + (f", {unit.suffix}" if unit.suffix else ""),
        "scale": _markup(marks.scale(shown, unit, shared)),
        "rows": [
            {
                "name": sentences.slice_text(item),
                "gate": words.printable(item.gate),
                "reference": words.metric_value(item.metric, item.reference),
                "candidate": words.metric_value(item.metric, item.candidate),
                "n": words.count(item.n),
                "mark": _markup(marks.interval(item, shown, words.is_lower_better(item))),
                "measured": unit.text(item.measured),
                "range": f"{unit.text(item.low)} to {unit.text(item.high)}"
                if item.low is not None or item.high is not None
                else words.NONE,
                "bound": unit.text(item.bound),
                "limit": unit.text(item.threshold),
                "flips": words.count(item.negative_flips),
                "needed": words.count(item.n_needed),
                "status": item.status,
                "sign": _STATUS_SIGN[item.status],
                "why": words.printable(item.why).rstrip("."),
            }
            for item in items
        ],
    }


def _operators(operators: Sequence[OperatorTime]) -> dict[str, Any] | None:
    if not operators:
        return None
    ranked = sorted(operators, key=lambda row: -(row.microseconds or 0.0))
    top, rest = ranked[:TOP_OPERATORS], ranked[TOP_OPERATORS:]
    largest = max((row.share or 0.0 for row in top), default=0.0)
    rest_time = sum(row.microseconds or 0.0 for row in rest)
    return {
        "rows": [
            {
                "name": words.printable(row.name),
                "type": words.printable(row.type),
                "time": words.number(row.microseconds),
                "share": words.percent(row.share),
                "bar": _markup(marks.bar(row.share / largest if row.share and largest else None, 140.0)),
            }
            for row in top
        ],
        "rest": len(rest),
        "rest_time": words.number(rest_time),
        "rest_share": words.percent(sum(row.share or 0.0 for row in rest)),
        "total": len(ranked),
    }


def _provenance(report: CompileReport) -> list[tuple[str, list[tuple[str, str]]]]:
    source = [
        ("model", f"{report.model.name} ({report.model.format})"),
        ("model digest", report.model.digest),
        ("data", report.data.name),
        ("data digest", report.data.digest),
        ("seed", _scalar(report.seed)),
        ("compile time", words.seconds(report.seconds)),
    ]
    pipelines = {(c.pipeline, f"{c.precision} on {words.runtime_title(c.runtime)}") for t in report.targets if (c := t.winner)}
    shipped = [(name, text) for text, name in sorted(pipelines) if text]
    parts = [
        ("Source", source),
        ("Pipelines", shipped),
        ("Versions", sorted(report.versions.items())),
        ("Machine", _flat(report.machine)),
        ("Looks at the judging data", _looks(report.ledger)),
    ]
    cleaned = [(title, [(words.printable(n), words.printable(v)) for n, v in rows]) for title, rows in parts]
    return [(title, rows) for title, rows in cleaned if rows]


def _looks(ledger: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A row a profile: which look it was, at which level; what is no extract of a ledger as it is."""
    told = {name: sentences.look_text(entry) + sentences.spent_text(entry) for name, entry in ledger.items()}
    return [(name, told[name]) if told[name] else row for name, row in zip(ledger, _flat(ledger), strict=True)]


def _flat(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of free JSON: text as it is, lists with commas, anything deeper as JSON."""
    return [(words.printable(name).replace("_", " "), words.printable(_one_line(item))) for name, item in value.items()]


def _one_line(value: Any) -> str:
    if isinstance(value, tuple) and all(not isinstance(item, (tuple, dict)) for item in value):
        return ", ".join(_scalar(item) for item in value)
    if isinstance(value, (tuple, dict)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int) and not isinstance(value, bool):
        return words.count(value)
    return _scalar(value)
