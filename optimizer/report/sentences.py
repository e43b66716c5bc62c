"""What the report says of a target, of a candidate's standing in it, and of the looks that were taken at the judging data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from . import words
from .parts import Judgement, Status
from .types import Candidate, CompileReport, ModelInfo, TargetReport, VariantInfo

SEARCH = "search"
# All looks at the same judging data share this error level.
TOTAL_ALPHA = 0.05

Standing = Literal["passed", "failed", "undecided", "tried"]


def is_tried(candidate: Candidate) -> bool:
    """Whether it was judged only for choosing between candidates, so that nothing was to be decided on it."""
    return candidate.split == SEARCH


def standing(candidate: Candidate) -> Standing:
    """The verdict as it is shown: of a candidate that was only tried, nothing but a failure is one."""
    return "tried" if is_tried(candidate) and candidate.verdict != "failed" else candidate.verdict


def judged_on_accept(target: TargetReport) -> list[Candidate]:
    """The candidates that looked at the judging data, the released one first."""
    looked = [candidate for candidate in target.candidates if candidate.verdicts and not is_tried(candidate)]
    return sorted(looked, key=lambda candidate: candidate.key != target.chosen)


def nearest(target: TargetReport) -> Candidate | None:
    """Where nothing is released: what came nearest, by where it was judged, its worst verdict and then its place."""
    order: dict[Status, int] = {"failed": 0, "undecided": 1, "passed": 2}
    judged = [candidate for candidate in target.candidates if candidate.verdicts]
    return max(judged, key=lambda candidate: (not is_tried(candidate), order[candidate.verdict]), default=None)


def headline(target: TargetReport) -> tuple[str, str]:
    """The verdict in plain words: what happened, and the figures or the reason."""
    winner = target.winner
    if winner is None:
        why = told(target.why, _judgements(target)) or "No candidate passed its gates."
        near = nearest(target)
        judgement = words.leading(near) if near else None
        if near is None or judgement is None:
            return "Nothing released", why
        return (
            "Nothing released",
            f"{why.rstrip('.')}. Nearest: {words.candidate_title(near)}, {words.judgement_text(judgement)}.",
        )
    judgement = words.leading(winner)
    facts = [words.size_change(target), words.speed_change(target), words.judgement_text(judgement) if judgement else ""]
    return f"Released: {words.candidate_title(winner)}", ", ".join(fact for fact in facts if fact)


def _judgements(target: TargetReport) -> list[Judgement]:
    """All verdicts, those of the judging data before those of the search."""
    ordered = sorted(target.candidates, key=is_tried)
    return [judgement for candidate in ordered for judgement in candidate.verdicts]


def told(why: str, judgements: Iterable[Judgement]) -> str:
    """`why` with the gate and the slice named, where it is the sentence of one of `judgements`."""
    for judgement in judgements:
        if judgement.why and judgement.gate and why in (judgement.why, f"{judgement.slice}: {judgement.why}"):
            return f"{gate_text(judgement)}: {words.printable(judgement.why)}"
    return words.printable(why)


def gate_text(judgement: Judgement) -> str:
    """ "top1 >= -1pt on all samples"."""
    return f"{words.printable(judgement.gate or judgement.metric)} on {slice_text(judgement)}"


def slice_text(judgement: Judgement) -> str:
    """The slice's name, or "all samples"."""
    return words.printable(judgement.slice) if judgement.slice else "all samples"


def why_this_one(target: TargetReport) -> str:
    """Why the released candidate is: what chose it, and each gate with the slices it holds on; without a full stop."""
    winner = target.winner
    if winner is None:
        return ""
    sentences = {text for item in winner.verdicts for text in (item.why, f"{item.slice}: {item.why}")}
    held: dict[str, list[str]] = {}
    for item in winner.verdicts:
        if item.status == "passed":
            bound = f" (bound {words.unit_of(item).text(item.bound)})" if item.bound is not None else ""
            held.setdefault(words.printable(item.gate or item.metric), []).append(slice_text(item) + bound)
    parts = [] if target.why in sentences else [words.printable(target.why).rstrip(".")]
    parts += [f"{gate} holds on {', '.join(slices)}" for gate, slices in held.items()]
    return "; ".join(part for part in parts if part)


def reason(candidate: Candidate) -> str:
    """Why a candidate did not pass, with gate and slice; empty for one that passed or of which nothing was to be decided."""
    is_verdict = any(candidate.why in (item.why, f"{item.slice}: {item.why}") for item in candidate.verdicts)
    if candidate.verdict == "passed" or (standing(candidate) == "tried" and (is_verdict or not candidate.why)):
        return ""
    return told(candidate.why, candidate.verdicts) or "no reason was given"


def pass_lines(item: VariantInfo) -> list[tuple[str, list[str]]]:
    """Each pass of a variant with how long it took, and what it told."""
    return [
        (f"{words.printable(p.text)}, {words.seconds(p.seconds)}", [words.printable(note).rstrip(".") for note in p.notes])
        for p in item.passes
    ]


def what_is_left(item: VariantInfo, plain: ModelInfo) -> str:
    """What a variant's float model has of the plain one, or how it broke; empty where it is the plain one."""
    if item.why:
        return f"failed: {words.printable(item.why)}"
    left = [
        f"{ours / theirs:.0%} of the {what}".replace("%", " %")
        for what, ours, theirs in (
            ("parameters", item.parameters, plain.parameters),
            ("multiply-adds", item.macs, plain.macs),
        )
        if ours is not None and theirs
    ]
    return f"leaves {' and '.join(left)}" if left and item.passes else ""


def judged_text(target: TargetReport) -> str:
    """On whose kernels accuracy was judged, or which candidates were judged in vain."""
    winner = target.winner
    if winner is not None:
        return f"Accuracy judged on {words.measured_on(winner)}." if winner.measured_on else "Accuracy was not judged."
    judged = [candidate for candidate in target.candidates if candidate.verdicts]
    if not judged:
        return "Accuracy was not judged."
    looked = judged_on_accept(target)
    kernels = ", ".join(dict.fromkeys(words.measured_on(item) for item in looked or judged if item.measured_on))
    count = "1 candidate was" if len(judged) == 1 else f"{len(judged)} candidates were"
    where = "on search only" if not looked else f"{len(looked)} of them on accept" if len(judged) > 1 else "also on accept"
    return f"{count} judged, {where}{f' ({kernels})' if kernels else ''}, and none may be released."


def tried_note(target: TargetReport, report: CompileReport) -> str:
    """The footnote of what was judged on search only, or nothing where no candidate was."""
    tried = [candidate for candidate in target.candidates if is_tried(candidate)]
    if not tried:
        return ""
    sizes = [item.n for candidate in tried for item in candidate.verdicts if item.n is not None]
    own = [item.n for candidate in judged_on_accept(target) for item in candidate.verdicts if item.n is not None]
    accept = report.data.splits.get("accept") or max(own, default=None)
    few = f" (n = {words.count(max(sizes))})" if sizes else ""
    many = f" (n = {words.count(accept)})" if accept else ""
    verdict = "tried" if any(standing(candidate) == "tried" for candidate in tried) else "failed"
    return f"{verdict}: judged on search{few} only; what may be released is judged on accept{many}"


def look_text(entry: Any) -> str:
    """ "look 4 at these data: level 0.083 % (5 % in all; fresh data start anew)", or nothing where there was no look."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("look"), int) or not isinstance(entry.get("alpha"), float):
        return ""
    level, total = f"{100 * entry['alpha']:.2g} %", f"{100 * TOTAL_ALPHA:g} %"
    return f"look {words.count(entry['look'])} at these data: level {level} ({total} in all; fresh data start anew)"


def spent_text(entry: Any) -> str:
    """What the looks so far have spent, or nothing."""
    spent = entry.get("alpha_spent") if isinstance(entry, Mapping) and look_text(entry) else None
    return f"; {100 * spent:.2g} % spent so far" if isinstance(spent, float) else ""


def kept_in_float(candidate: Candidate) -> list[tuple[str, str, list[str]]]:
    """(reason, number of layers by type, names) of what stayed in float, equal reasons together, the most layers first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for layer in candidate.kept_float:
        found.setdefault(words.printable(layer.why), []).append((words.printable(layer.type), words.printable(layer.node)))
    rows = []
    for why, layers in found.items():
        kinds = [kind for kind, _ in layers]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        rows.append((why, counts, [name for _, name in layers]))
    return sorted(rows, key=lambda row: -len(row[2]))
