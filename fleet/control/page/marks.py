"""Small drawings for table cells: a bar of a share, and a bar of a rollout's members by what came of them."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from .svg import element, picture
from .views import Counts

_HEIGHT = 16.0
_LEAST = 3.0  # pixels: what there is can be seen


def share_bar(share: float, width: float = 140.0) -> Markup:
    """A bar as long as `share`, held to [0, 1], of `width` pixels."""
    held = min(max(share, 0.0), 1.0)
    rail = element("rect", "rail", x=0, y=4, width=width, height=8)
    return picture(
        rail + element("rect", "fill", x=0, y=4, width=max(held * width, 1.0), height=8), width, _HEIGHT, f"{held:.0%}", "mark"
    )


def outcome_bar(counts: Counts, width: float = 220.0) -> Markup:
    """Members in the order good, bad, silent, waiting, to come: each kind of its own height and filling, not only colour.

    A kind that has members can be seen, however few they are.
    """
    kinds = (("good", counts.good), ("bad", counts.bad), ("silent", counts.silent), ("waiting", counts.waiting))
    total = max(counts.members, 1)
    widths = [max(width * number / total, _LEAST) if number else 0.0 for _, number in kinds]
    scale = min(1.0, width / max(sum(widths), 1e-9))
    parts = [element("rect", "rail", x=0, y=4, width=width, height=8)]
    at = 0.0
    for (kind, _), full in zip(kinds, widths, strict=True):
        length = full * scale
        if length:
            tall, top = {"bad": (16.0, 0.0), "waiting": (4.0, 6.0)}.get(kind, (8.0, 4.0))
            inset = 0.75 if kind == "silent" else 0.0
            size = {"x": at + inset, "y": top + inset, "width": max(length - 1.0 - inset, 1.0), "height": tall - 2 * inset}
            parts.append(element("rect", kind, **size))
        at += length
    return picture("".join(parts), width, _HEIGHT, counts_text(counts), "mark")


def counts_text(counts: Counts) -> str:
    """ "12 good, 1 bad, 3 without an answer, 40 to come": what there is none of is left out."""
    kinds = (
        (counts.good, "good"),
        (counts.bad, "bad"),
        (counts.silent, "silent"),
        (counts.waiting, "without an answer yet"),
        (counts.left, "to come"),
    )
    return ", ".join(f"{number:,} {word}" for number, word in kinds if number) or "no members"


def effect_mark(
    value: float, low: float, high: float, bounds: Sequence[float], most: float = 0.5, width: float = 140.0
) -> Markup:
    """A distance from 0 to `most` as a dot with the interval that it lies in; strokes across are the bounds of severity."""

    def x(distance: float) -> float:
        return 4 + (width - 8) * min(max(distance, 0.0), most) / most

    parts = [element("rect", "rail", x=0, y=7, width=width, height=2)]
    parts += [element("rect", "tick", x=x(bound) - 0.5, y=3, width=1, height=10) for bound in bounds if bound <= most]
    parts.append(element("rect", "whisker", x=x(low), y=6.5, width=max(x(high) - x(low), 1.0), height=3))
    parts.append(element("circle", "fill", cx=x(value), cy=8, r=4))
    return picture("".join(parts), width, _HEIGHT, f"{value:.2f}, between {low:.2f} and {high:.2f}", "mark")
