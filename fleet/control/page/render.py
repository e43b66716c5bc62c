"""Templates to text: everything that is put in is escaped, and shown without control characters."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ....core.canonical import digest
from . import words
from .marks import counts_text

STYLE, SCRIPT = "style.css", "live.js"


def render(template: str, **values: Any) -> str:
    """The page `template`, UTF-8 text ending in a newline."""
    page = _environment().get_template(f"{template}.html.j2").render(style=name_of(STYLE), script=name_of(SCRIPT), **values)
    return "\n".join(line.rstrip() for line in page.splitlines() if line.strip()) + "\n"


@cache
def static(name: str) -> bytes:
    """A file that pages load: style.css or live.js."""
    return (files(__package__) / "static" / name).read_bytes()


@cache
def name_of(name: str) -> str:
    """What a static file is called in its address, without the ending: by its content, so that it can be kept for ever."""
    return f"{name.partition('.')[0]}-{digest(static(name))[:16]}"


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader(__package__ or "", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    found.filters.update(
        ago=words.ago,
        count=words.count,
        counts=counts_text,
        digest=words.digest,
        minute=words.minute,
        percent=words.percent,
        plural=words.plural,
        sentence=words.sentence,
        stamp=words.stamp,
        version=words.version,
    )
    return found


def _shown(value: Any) -> Any:
    """Texts without control characters; a sign of per cent stays with its number."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return words.printable(value).replace(" %", "\N{NO-BREAK SPACE}%")
    return value
