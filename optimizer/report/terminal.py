"""The result in the terminal: a table for each profile that fits 80 columns, the reasons beneath, the paths last.

Nothing is said by colour alone, nothing in a model's or column's name reaches the terminal as a control sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.compression import METHOD
from . import sentences, words
from .columns import Column, table_of
from .parts import Judgement
from .types import Candidate, CompileReport, TargetReport

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPED_WIDTH = 100
_COMPRESSIBLE = 2 / 3  # of a file's bytes: trained weights, whatever their precision, take more
_STYLES = {"passed": "green", "failed": "red", "undecided": "yellow"}
_NAME_WIDTH = 14
_GATE_WIDTH = 24
_MOST_NAMES = 4


def print_report(report: CompileReport, console: Console, out: Path) -> None:
    """Print the tables; `out` is the folder that holds the artifacts and report.html. What is no terminal has 100 columns."""
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    _print(report, console, out)


def report_text(report: CompileReport, out: Path, width: int = PIPED_WIDTH) -> str:
    """The same as plain text without styles, `width` columns wide."""
    from rich.console import Console

    console = Console(width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        _print(report, console, out)
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _print(report: CompileReport, console: Console, out: Path) -> None:
    _print_variants(report, console)
    for target in report.targets:
        _print_target(target, report, console)
    for target in report.targets:
        if target.artifact:
            _line(console, f"artifact  {out / words.printable(target.artifact)}")
    _line(console, f"report    {out / 'report.html'}")


def _line(console: Console, text: str, style: str = "") -> None:
    """One line as it is: paths are copied from here, so they are never broken."""
    console.print(words.printable(text), style=style, markup=False, highlight=False, soft_wrap=True)


def _paragraph(console: Console, text: str, indent: int = 0, style: str = "") -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(words.printable(text), style=style), (0, 0, 0, indent)))


def _print_variants(report: CompileReport, console: Console) -> None:
    """Each pipeline beside the plain model: its text, what its passes did, or how it broke."""
    for item in report.variants:
        _paragraph(console, f"{item.name}: {item.pipeline}", style="bold")
        for title, notes in sentences.pass_lines(item):
            _paragraph(console, f"{title}: {'; '.join(notes) or 'done'}", 2)
        if left := sentences.what_is_left(item, report.model):
            _paragraph(console, left, 2)
    if report.variants:
        console.print()


def _print_target(target: TargetReport, report: CompileReport, console: Console) -> None:
    name = f"{target.title} ({target.profile})" if target.title and target.title != target.profile else target.profile
    lead, facts = sentences.headline(target)
    _paragraph(console, name, style="bold")
    _paragraph(console, f"{lead}: {facts}" if not target.released else f"{lead}, {facts}" if facts else lead)
    if target.candidates:
        console.print()
        console.print(_table(target, console.width))
        note = sentences.tried_note(target, report)
        if note:
            _paragraph(console, note, 2)
        if any(map(_is_compressible, target.candidates)):
            _paragraph(console, f"zipped: what a download takes ({METHOD})", 2)
    for candidate in sentences.judged_on_accept(target):
        console.print()
        _paragraph(console, f"{words.candidate_title(candidate)}, judged on accept:")
        console.print(_gates(candidate.verdicts, console.width))
    look = sentences.look_text(report.ledger.get(target.profile))
    if look:
        _paragraph(console, look, 2)
    notes = _notes(target)
    if notes:
        console.print()
    for text in notes:
        _paragraph(console, text, 2)
    if not target.released:
        for text in target.help:
            _paragraph(console, f"would help: {text}", 2)
    console.print()


def _table(target: TargetReport, width: int) -> Table:
    candidates = target.candidates
    heads = _heads(candidates)
    zips = any(map(_is_compressible, candidates))
    leads = [words.leading(candidate) for candidate in candidates]
    metrics = {words.metric_title(judgement.metric) for judgement in leads if judgement}
    is_mixed = len(metrics) > 1
    metric = "metric" if is_mixed or not metrics else words.shorten(metrics.pop(), 9)
    verdicts = ["RELEASED" if item.key == target.chosen else sentences.standing(item) for item in candidates]
    columns = [
        Column("  runtime", [_name(target, candidate) for candidate in candidates], limit=_NAME_WIDTH),
        Column("precision", [words.printable(candidate.precision) for candidate in candidates], limit=9),
        Column("size", [words.size(candidate.size_bytes) for candidate in candidates], 1, is_figure=True),
        *([Column("smaller", [words.smaller(target, item) for item in candidates], 0, is_figure=True)] if heads else []),
        *([Column("zipped", [words.size(item.compressed_bytes) for item in candidates], 2, is_figure=True)] if zips else []),
        Column("p50 ms", [words.p50(candidate.latency_ms) for candidate in candidates], 3, is_figure=True),
        Column("speed-up", [words.times(candidate.speedup) for candidate in candidates], 4, is_figure=True),
        Column("95 % interval", [_interval(candidate) for candidate in candidates], 7, is_figure=True),
        Column(f"{metric} (ref.)", [_values(item, is_mixed=is_mixed) for item in leads], 0, is_figure=True),
        Column("change (bound)", [_change(item) for item in leads], 5, is_figure=True),
        Column("n", [words.count(item.n if item else None) for item in leads], 6, is_figure=True),
        Column("judged on", [candidate.measured_on or words.NONE for candidate in candidates], 8),
        Column("verdict", verdicts),
    ]
    styles = ["bold" if candidate.key == target.chosen else "" for candidate in candidates]
    last_styles = [_STYLES.get(sentences.standing(item), "") for item in candidates]
    return table_of(columns, width, styles, last_styles, heads=heads)


def _is_compressible(candidate: Candidate) -> bool:
    """Whether a download is so much smaller than the file, as zeros and shared weights make it, that it must be told."""
    size, compressed = candidate.size_bytes, candidate.compressed_bytes
    return size is not None and compressed is not None and compressed < _COMPRESSIBLE * size


def _heads(candidates: Sequence[Candidate]) -> dict[int, str]:
    """The variant's name above the first of its candidates, where there is more than the plain model."""
    if not any(candidate.variant for candidate in candidates):
        return {}
    names = [words.variant_title(candidate.variant) for candidate in candidates]
    return {row: name for row, name in enumerate(names) if row == 0 or names[row - 1] != name}


def _name(target: TargetReport, candidate: Candidate) -> str:
    return ("> " if candidate.key == target.chosen else "  ") + words.runtime_title(candidate.runtime)


def _interval(candidate: Candidate) -> str:
    speed = candidate.speedup
    return f"{words.number(speed.low)} to {words.number(speed.high)}" if speed and speed.low and speed.high else words.NONE


def _values(judgement: Judgement | None, *, is_mixed: bool) -> str:
    """ "98.91 % (98.93)": the candidate's value and the reference's; where rows have several metrics, with its name."""
    if judgement is None or (judgement.candidate is None and judgement.reference is None):
        return words.NONE
    ours, theirs = (words.metric_value(judgement.metric, value) for value in (judgement.candidate, judgement.reference))
    name = f"{words.shorten(words.metric_title(judgement.metric), 9)} " if is_mixed else ""
    return f"{name}{ours} ({theirs.removesuffix(' %')})"


def _change(judgement: Judgement | None) -> str:
    if judgement is None or judgement.measured is None:
        return words.NONE
    unit = words.unit_of(judgement)
    short = {"points": " pt", "%": " %"}.get(unit.suffix, "")
    return f"{unit.text(judgement.measured)}{short} ({unit.text(judgement.bound)})"


def _gates(judgements: tuple[Judgement, ...], width: int) -> Table:
    """What was looked at: one line a gate and slice."""
    units = [words.unit_of(item) for item in judgements]
    both = list(zip(judgements, units, strict=True))
    columns = [
        Column("gate", [words.printable(item.gate or item.metric) for item in judgements], None, _GATE_WIDTH, is_folded=True),
        Column("slice", [sentences.slice_text(item) for item in judgements], None, 16, is_folded=True),
        Column("ref.", [words.metric_value(item.metric, item.reference) for item in judgements], 2, is_figure=True),
        Column("cand.", [words.metric_value(item.metric, item.candidate) for item in judgements], 3, is_figure=True),
        Column("measured", [unit.text(item.measured) for item, unit in both], 1, is_figure=True),
        Column("bound", [unit.text(item.bound) for item, unit in both], is_figure=True),
        Column("limit", [unit.text(item.threshold) for item, unit in both], 5, is_figure=True),
        Column("n", [words.count(item.n) for item in judgements], 4, is_figure=True),
        Column("verdict", [item.status for item in judgements]),
    ]
    return table_of(columns, width, [""] * len(judgements), [_STYLES.get(item.status, "") for item in judgements], 1)


def _notes(target: TargetReport) -> list[str]:
    """Why a candidate did not pass, and the reason for each dash; candidates with the same note share a line."""
    found: dict[str, list[str]] = {}
    for candidate in target.candidates:
        name = f"{words.runtime_title(candidate.runtime)} {words.printable(candidate.precision)}"
        name += f" ({words.printable(candidate.variant)})" if candidate.variant else ""
        why = sentences.reason(candidate)
        if why:
            found.setdefault(f"{sentences.standing(candidate)}: {why}", []).append(name)
        for text in words.reasons(candidate):
            found.setdefault(f"- {text}", []).append(name)
    everyone = len(target.candidates)
    return [
        text if text.startswith("- ") and len(names) == everyone else f"{_some(names)}: {text.removeprefix('- ')}"
        for text, names in found.items()
    ]


def _some(names: Sequence[str]) -> str:
    """The names, or of many the first and how many more there are."""
    return ", ".join(names) if len(names) <= _MOST_NAMES else f"{', '.join(names[:3])} and {len(names) - 3} more"
