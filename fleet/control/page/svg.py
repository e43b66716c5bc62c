"""What the page's pictures share: elements with escaped text, ticks of an axis, and the frame that holds a picture.

Colours come from classes, so that a picture follows the page into the dark; nothing in it needs a script or a style attribute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from markupsafe import Markup

_STEPS = (1.0, 2.0, 5.0, 10.0)


def element(name: str, kind: str, **attributes: float | str) -> str:
    """An empty element of class `kind`; numbers are written with at most a hundredth.

    Underscores in names of attributes stand for hyphens: `stroke_width`.
    """
    return f"<{_head(name, kind, attributes)}/>"


def text(kind: str, words: str, **attributes: float | str) -> str:
    """A text of class `kind`."""
    return f"<{_head('text', kind, attributes)}>{escape(words)}</text>"


def line(kind: str, points: Sequence[tuple[float, float]]) -> str:
    """A line through points."""
    return element("polyline", kind, points=" ".join(f"{_value(x)},{_value(y)}" for x, y in points))


def cross(kind: str, x: float, y: float, reach: float) -> str:
    """An x-shaped mark."""
    strokes = "".join(
        f"M{_value(x - reach)} {_value(y + s * reach)}L{_value(x + reach)} {_value(y - s * reach)}" for s in (1, -1)
    )
    return element("path", kind, d=strokes)


def picture(body: str, width: float, height: float, label: str, kind: str = "picture") -> Markup:
    """The `<svg>` element of what was drawn; `label` says in words what there is to see."""
    size = f'viewBox="0 0 {_value(width)} {_value(height)}"'
    fixed = "" if kind == "picture" else f' width="{_value(width)}" height="{_value(height)}"'
    return Markup(  # noqa: S704 - every text in it went through `escape`
        f'<svg class="{escape(kind)}" role="img" aria-label="{escape(label)}" {size}{fixed}>{body}</svg>'
    )


def ticks(high: float, most: int) -> list[float]:
    """At most `most` round steps from nought to `high`, which is above nought."""
    rough = high / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9))
    return [index * step for index in range(int(high / step * (1 + 1e-9)) + 1)]


def whole_ticks(high: int, most: int) -> list[int]:
    """Whole numbers of `ticks`."""
    return list(dict.fromkeys(round(tick) for tick in ticks(max(high, 1), most) if tick == round(tick)))


def _head(name: str, kind: str, attributes: Mapping[str, float | str]) -> str:
    written = "".join(f' {key.replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    return f'{name} class="{escape(kind)}"{written}'


def _value(value: float | str) -> str:
    if isinstance(value, str):
        return escape(value)
    return f"{value:.2f}".rstrip("0").rstrip(".")
