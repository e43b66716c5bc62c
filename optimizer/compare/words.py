"""How figures, changes and verdicts are written: the terminal, the comment, the page and the tests' report say the same."""

from __future__ import annotations

from collections.abc import Sequence

from ..report.words import NONE, number, printable, size
from .finding import Comparison, Finding, Side, Status
from .rules import Scale

VERDICTS: dict[Status, str] = {
    "regression": "regression",
    "none": "no regression",
    "noise": "noise",
    "undecided": "undecided",
    "shown": "shown",
}
SIGNS: dict[Status, str] = {"regression": "✕", "none": "✓", "noise": "~", "undecided": "?", "shown": "·"}
_COUNTED = {
    "turns": "pairs of loads, timed in turns",
    "processes": "pairs of fresh processes, in turns",
    "samples": "paired samples",
    "records": "windows of records, not in turns",
    "exact": "exact",
}


def said(scale: Scale, unit: str, value: float, *, is_share: bool = False) -> str:
    """A number on its scale: "+5.2 %", "+0.31 ms", "-0.5 pt", "20 ms"."""
    if scale == "relative":
        return f"{_signed(100 * value, 2)} %"
    if is_share:
        return f"{_signed(100 * value, 2)} pt" if scale == "change" else f"{100 * value:.2f} %"
    if scale == "change":
        sign = "-" if value < 0 else "+"
        return sign + amount(unit, abs(value))
    return amount(unit, value)


def amount(unit: str, value: float | None, *, is_share: bool = False) -> str:
    """A figure in its unit."""
    if value is None:
        return NONE
    if unit == "B":
        return size(value)
    if is_share:
        return f"{100 * value:.2f} %"
    return f"{number(value, 4)} {unit}".rstrip()


def change(found: Finding) -> str:
    """What was measured, on the finding's scale."""
    return NONE if found.measured is None else said(found.scale, found.unit, found.measured, is_share=found.is_share)


def interval(found: Finding) -> str:
    """Its bounds; "exact" where there is nothing to bound."""
    if found.how == "exact" and found.measured is not None:
        return "exact"
    if found.low is None and found.high is None:
        return NONE
    ends = (
        "?" if end is None else said(found.scale, found.unit, end, is_share=found.is_share) for end in (found.low, found.high)
    )
    return " to ".join(ends)


def values(found: Finding) -> tuple[str, str]:
    """BASE's and HEAD's value."""
    return amount(found.unit, found.base, is_share=found.is_share), amount(found.unit, found.head, is_share=found.is_share)


def title(found: Finding) -> str:
    """The figure, with its slice."""
    return printable(found.figure + (f" [{found.slice}]" if found.slice else ""))


def verdict(found: Finding) -> str:
    """The verdict in words, "" where nothing is judged."""
    return "" if found.rule is None else VERDICTS[found.status]


def counted(found: Finding) -> str:
    """ "24 pairs of loads, timed in turns"."""
    return _COUNTED[found.how] if found.how == "exact" else f"{found.n:,} {_COUNTED[found.how]}"


def headline(result: Comparison) -> str:
    """The whole in one sentence."""
    judged = [item for item in result.findings if item.rule is not None]
    names = {status: _listed([title(item) for item in judged if item.status == status]) for status in VERDICTS}
    if result.status == "shown":
        return "Nothing was judged: no rule was given."
    told = {
        "regression": f"Regression: {names['regression']}.",
        "undecided": f"Undecided: {names['undecided']}. No regression is shown.",
        "noise": f"No regression is shown; too noisy to exclude one: {names['noise']}.",
        "none": "No regression.",
    }
    return told[result.status]


def sides(side: Sequence[Side]) -> str:
    """A file with the beginning of its digest, or how many of one report."""
    if len(side) == 1:
        return f"{printable(side[0].file)} ({side[0].sha256[:12]}, {size(side[0].bytes)})"
    return f"{printable(side[0].file)} ({len(side)} results)"


def level(result: Comparison) -> str:
    """What a false regression costs."""
    return f"The chance of any false regression over all rules, slices and looks is at most {100 * result.alpha:g} %."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _signed(value: float, digits: int) -> str:
    """With a sign, and fewer digits the larger it is."""
    above = abs(value)
    places = digits if above < 9.995 else 1 if above < 1000 else 0
    return f"{value + 0.0:+.{places}f}"
