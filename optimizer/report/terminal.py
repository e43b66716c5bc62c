"""The result in the terminal: a table for each profile that fits 80 columns, the reasons beneath, the paths last.

Nothing is said by colour alone, nothing in a model's or column's name reaches the terminal as a control sequence.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import words
from .types import Candidate, CompileReport, TargetReport

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE = 114
_STYLES = {"passed": "green", "failed": "red", "undecided": "yellow"}
_NAME_WIDTH = 14


def print_report(report: CompileReport, console: Console, out: Path) -> None:
    """Print the tables; `out` is the folder that holds the artifacts and report.html."""
    for target in report.targets:
        _print_target(target, console)
    for target in report.targets:
        if target.artifact:
            _line(console, f"artifact  {out / words.printable(target.artifact)}")
    _line(console, f"report    {out / 'report.html'}")


def report_text(report: CompileReport, out: Path, width: int = 80) -> str:
    """The same as plain text without styles, `width` columns wide."""
    from rich.console import Console

    console = Console(width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        print_report(report, console, out)
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _line(console: Console, text: str, style: str = "") -> None:
    """One line as it is: paths are copied from here, so they are never broken."""
    console.print(words.printable(text), style=style, markup=False, highlight=False, soft_wrap=True)


def _paragraph(console: Console, text: str, indent: int = 0, style: str = "") -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(words.printable(text), style=style), (0, 0, 0, indent)))


def _print_target(target: TargetReport, console: Console) -> None:
    name = f"{target.title} ({target.profile})" if target.title and target.title != target.profile else target.profile
    lead, facts = words.headline(target)
    _paragraph(console, name, style="bold")
    _paragraph(console, f"{lead}: {facts}" if not target.released else f"{lead}, {facts}" if facts else lead)
    if target.candidates:
        console.print()
        console.print(_table(target, is_wide=console.width >= WIDE))
    for text in _notes(target):
        _paragraph(console, text, 2)
    if not target.released:
        for text in target.help:
            _paragraph(console, f"would help: {text}", 2)
    console.print()


def _table(target: TargetReport, *, is_wide: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    judgements = [judgement for candidate in target.candidates if (judgement := words.leading(candidate))]
    metrics = {words.metric_title(judgement.metric) for judgement in judgements}
    metric = words.shorten(metrics.pop(), 9) if len(metrics) == 1 else "metric"
    table.add_column("  runtime", no_wrap=True, max_width=_NAME_WIDTH, overflow="ellipsis")
    table.add_column("precision", no_wrap=True, max_width=9, overflow="ellipsis")
    for title, width in (("size", 7), ("p50 ms", 6), ("speed-up", 8)):
        table.add_column(title, no_wrap=True, justify="right", max_width=width, overflow="ellipsis")
    if is_wide:
        table.add_column("95 % interval", no_wrap=True, justify="right", max_width=16, overflow="ellipsis")
    table.add_column(f"{metric} (bound)", no_wrap=True, justify="right", max_width=17, overflow="ellipsis")
    if is_wide:
        table.add_column("n", no_wrap=True, justify="right", max_width=8, overflow="ellipsis")
        table.add_column("judged on", no_wrap=True, max_width=9)
    table.add_column("verdict", no_wrap=True, min_width=9, max_width=9)
    for candidate in target.candidates:
        is_released = candidate.key == target.chosen
        style = "bold" if is_released else ""
        *cells, verdict = _cells(candidate, is_released=is_released, is_wide=is_wide)
        table.add_row(
            *(Text(cell, style=style) for cell in cells), Text(verdict, style=f"{style} {_STYLES.get(candidate.verdict, '')}")
        )
    return table


def _cells(candidate: Candidate, *, is_released: bool, is_wide: bool) -> list[str]:
    judgement, speed = words.leading(candidate), candidate.speedup
    unit = words.unit_of(judgement) if judgement else None
    change = words.NONE
    if judgement and unit:
        short = {"points": " pt", "%": " %"}.get(unit.suffix, "")
        change = f"{unit.text(judgement.measured)}{short} ({unit.text(judgement.bound)})"
    interval = f"{words.number(speed.low)} to {words.number(speed.high)}" if speed and speed.low and speed.high else words.NONE
    precision = words.printable(candidate.precision) + (f" {words.printable(candidate.variant)}" if candidate.variant else "")
    return [
        ("> " if is_released else "  ") + words.runtime_title(candidate.runtime),
        precision,
        words.size(candidate.size_bytes),
        words.p50(candidate.latency_ms),
        words.times(speed),
        *([interval] if is_wide else []),
        change,
        *([words.count(judgement.n if judgement else None), candidate.measured_on or words.NONE] if is_wide else []),
        "RELEASED" if is_released else candidate.verdict,
    ]


def _notes(target: TargetReport) -> list[str]:
    """Why a candidate did not pass, and the reason for each dash; candidates with the same note share a line."""
    found: dict[str, list[str]] = {}
    for candidate in target.candidates:
        name = f"{words.runtime_title(candidate.runtime)} {words.printable(candidate.precision)}"
        if candidate.verdict != "passed":
            found.setdefault(f"{candidate.verdict}: {candidate.why or 'no reason was given'}", []).append(name)
        for text in words.reasons(candidate):
            found.setdefault(f"- {text}", []).append(name)
    everyone = len(target.candidates)
    return [
        text if text.startswith("- ") and len(names) == everyone else f"{', '.join(names)}: {text.removeprefix('- ')}"
        for text, names in found.items()
    ]
