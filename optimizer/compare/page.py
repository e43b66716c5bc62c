"""A comparison as one HTML page that needs nothing else: no script, no outside address, every text escaped."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..report.words import printable
from . import words
from .finding import Comparison, Finding
from .picture import interval_picture

if TYPE_CHECKING:
    from jinja2 import Template


def page(result: Comparison) -> str:
    """The page's text, ending in a newline."""
    subjects = list(dict.fromkeys(item.subject for item in result.findings))
    facts = [("BASE", words.sides(result.base)), ("HEAD", words.sides(result.head)), ("Compared", result.at)]
    if result.label:
        facts.append(("Label", printable(result.label)))
    conditions = [(name.replace("_", " "), printable(_flat(value))) for name, value in result.conditions.items()]
    made = _template().render(
        headline=words.headline(result),
        status=result.status,
        facts=facts,
        tables=[
            (printable(subject), [_row(item) for item in result.findings if item.subject == subject]) for subject in subjects
        ],
        reasons=[(words.title(item), printable(item.why)) for item in result.findings if item.why],
        notes=[printable(note) for note in result.notes],
        level=words.level(result) if any(item.rule is not None for item in result.findings) else "",
        conditions=conditions,
        version=result.version,
    )
    return "\n".join(line.rstrip() for line in made.splitlines() if line.strip()) + "\n"


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((files(__package__) / "templates" / "compare.html.j2").read_text(encoding="utf-8"))


def _row(item: Finding) -> dict[str, Any]:
    from markupsafe import Markup

    base, head = words.values(item)
    return {
        "status": item.status,
        "sign": words.SIGNS[item.status],
        "verdict": words.verdict(item) or "not judged",
        "title": words.title(item),
        "base": base,
        "head": head,
        "change": words.change(item),
        "interval": words.interval(item),
        "picture": Markup(interval_picture(item)),  # noqa: S704 - numbers alone
        "rule": printable(item.rule or ""),
        "counted": words.counted(item),
    }


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
