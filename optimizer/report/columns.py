"""Tables for a terminal whose figures are never cut: what does not fit is a whole column, the least important first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import words

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Column:
    """A column and its cells. `rank`: of those with one, the highest is left out first; None stays in any case.

    `limit` is the most characters of a text, which is cut with an ellipsis; figures have none. `is_folded` breaks a longer text
    into lines instead.
    """

    title: str
    cells: Sequence[str]
    rank: int | None = None
    limit: int | None = None
    is_figure: bool = False
    is_folded: bool = False

    @property
    def width(self) -> int:
        """Characters that the column needs."""
        longest = max(map(len, (self.title, *self.cells)))
        return longest if self.limit is None else min(longest, self.limit)

    @property
    def is_empty(self) -> bool:
        """Whether no cell says anything."""
        return all(cell == words.NONE for cell in self.cells)


def fitting(columns: Sequence[Column], width: int, gap: int = 2) -> list[Column]:
    """The columns that fit `width` characters with `gap` between them: empty ones go first, then by rank."""
    kept = list(columns)
    while sum(column.width + gap for column in kept) - gap > width:
        droppable = [column for column in kept if column.rank is not None]
        if not droppable:
            break
        kept.remove(max(droppable, key=lambda column: (column.is_empty, column.rank)))
    return kept


def table_of(
    columns: Sequence[Column],
    width: int,
    styles: Sequence[str],
    last_styles: Sequence[str],
    least_gap: int = 2,
    heads: Mapping[int, str] | None = None,
) -> Table:
    """A table of what fits; a row's style, and that of its last cell, which holds the verdict.

    Columns stand two apart, or `least_gap` where that saves a column. `heads` are titles above rows, in the first column.
    """
    from rich.table import Table
    from rich.text import Text

    shown, close = fitting(columns, width), fitting(columns, width, least_gap)
    gap = 2 if len(shown) == len(close) else least_gap
    shown = close if gap == least_gap else shown
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for column in shown:
        table.add_column(
            column.title,
            no_wrap=not column.is_folded,
            justify="right" if column.is_figure else "left",
            min_width=column.width if column.limit is None else None,
            max_width=column.limit,
            overflow="fold" if column.is_folded else "ellipsis",
        )
    for row, style in enumerate(styles):
        if heads and row in heads:
            table.add_row(Text(heads[row], style="bold"))
        *cells, last = (column.cells[row] for column in shown)
        table.add_row(*(Text(cell, style=style) for cell in cells), Text(last, style=f"{style} {last_styles[row]}".strip()))
    return table
