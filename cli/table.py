"""Tables for terminals: as narrow as their cells, and never wider than 100 columns."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

WIDTH = 100
_GAP = 2
_LEAST = 8  # columns that a cell keeps when others need the room


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> str:
    """Lines with the cells one below the other; where they do not fit the widest columns are cut, with `…` for the rest.

    The columns of `numbers` stand to the right.
    """
    cells = [[_plain(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = WIDTH - _GAP * (len(widths) - 1)
    while sum(widths) > room and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for row in cells:
        fitted = [cell if len(cell) <= width else f"{cell[: width - 1]}…" for cell, width in zip(row, widths, strict=True)]
        placed = [
            f"{cell:>{width}}" if index in numbers else f"{cell:<{width}}"
            for index, (cell, width) in enumerate(zip(fitted, widths, strict=True))
        ]
        lines.append((" " * _GAP).join(placed).rstrip())
    return "\n".join(lines)


def ago(seconds: float | None) -> str:
    """A time that has passed, in short; `never` for None."""
    if seconds is None:
        return "never"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return f"{max(0, int(seconds))}s ago"


def since(moment: float | None) -> str:
    """How long ago a moment was, seconds since 1970."""
    return ago(None if moment is None else time.time() - moment)


def stamp(moment: float) -> str:
    """A moment in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))


def _plain(cell: str) -> str:
    """One line without what could move the cursor: cells hold what devices say."""
    return "".join(letter if letter.isprintable() else "�" for letter in " ".join(cell.split())) or "-"
