"""A comparison as plain text: a table that fits 100 columns, the reasons beneath, the headline last."""

from __future__ import annotations

from ..report.words import printable
from . import words
from .finding import Comparison, Finding

_HEAD = ("", "figure", "BASE", "HEAD", "change", "interval", "rule", "verdict")
_GAP = "  "
_WIDTH = 100
_LEAST = 10


def text(result: Comparison) -> str:
    """All lines, without the last line's end."""
    lines = [f"BASE  {words.sides(result.base)}", f"HEAD  {words.sides(result.head)}", ""]
    subjects = list(dict.fromkeys(item.subject for item in result.findings))
    for subject in subjects:
        if len(subjects) > 1:
            lines.append(printable(subject))
        lines += [*_table([_row(item) for item in result.findings if item.subject == subject]), ""]
    lines += [f"{words.SIGNS[item.status]} {words.title(item)}: {printable(item.why)}" for item in result.findings if item.why]
    lines += [f"note: {printable(note)}" for note in result.notes]
    if any(item.rule is not None for item in result.findings):
        lines.append(words.level(result))
    lines.append(words.headline(result))
    return "\n".join(lines)


def _row(item: Finding) -> tuple[str, ...]:
    base, head = words.values(item)
    rule = printable(item.rule or "-")
    return (
        words.SIGNS[item.status],
        words.title(item),
        base,
        head,
        words.change(item),
        words.interval(item),
        rule,
        words.verdict(item) or "-",
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their cells; where they do not fit the widest are cut, with `…` for the rest."""
    cells = [_HEAD, *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    room = _WIDTH - len(_GAP) * (len(widths) - 1)
    while sum(widths) > room and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    return [
        _GAP.join(
            f"{cell if len(cell) <= width else cell[: width - 1] + '…':<{width}}"
            for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]
